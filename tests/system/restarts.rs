//! What happens to names and series while containers and the engine come and go.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::engine::Engine;
use crate::support::{Exporter, wait_at_most, wait_for};

fn names(exporter: &Exporter) -> BTreeSet<String> {
    exporter.scrape().container_names().into_iter().collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn rename_restart_pause_and_remove_show_in_the_next_collection() {
    let engine = Engine::start();
    let id = engine.run_workload("before", &["--label", "com.docker.compose.service=shop"], &["fan", "2"]);
    let exporter = engine.exporter();
    exporter.scrape_until("the container", |metrics| (metrics.container_names() == ["before"]).then_some(()));
    let series = format!("/docker/{id}");
    let starts = |exporter: &Exporter| {
        exporter.fresh_scrape().value("pstree_container_observed_starts_total", &[("id", &series)])
    };
    assert_eq!(starts(&exporter), Some(3.0));

    engine.docker(&["rename", "before", "after"]);
    wait_at_most(Duration::from_secs(2), "the new name", || {
        (names(&exporter) == set(&["after"])).then_some(())
    });

    engine.docker(&["pause", "after"]);
    exporter.scrape_until("paused", |metrics| {
        (metrics.value("pstree_container_paused", &[]) == Some(1.0)).then_some(())
    });
    engine.docker(&["unpause", "after"]);
    exporter.scrape_until("unpaused", |metrics| {
        (metrics.value("pstree_container_paused", &[]) == Some(0.0)).then_some(())
    });

    engine.docker(&["restart", "--time=0", "after"]);
    // The same id goes on counting where it stopped; two of the runtime's own may be met before the init is there.
    let started = exporter.scrape_until("three more starts", |metrics| {
        let count = metrics.value("pstree_container_observed_starts_total", &[("id", &series)]);
        count.filter(|&count| count >= 6.0)
    });
    assert!(started <= 8.0, "{started}");
    wait_for("its name", || (names(&exporter) == set(&["after"])).then_some(()));

    engine.docker(&["rm", "--force", "after"]);
    let gone = exporter.fresh_scrape();
    assert!(gone.samples.iter().all(|(_, labels, _)| !labels.contains_key("id")), "series stayed behind");
}

#[test]
fn a_new_container_has_its_name_within_two_seconds() {
    let engine = Engine::start();
    let exporter = engine.exporter();
    exporter.scrape_until("Docker", |metrics| {
        (metrics.value("pstree_docker_up", &[]) == Some(1.0)).then_some(())
    });
    for number in 0..5 {
        let name = format!("new-{number}");
        engine.run(&name, &["--", "/bin/sleep", "1000"]);
        wait_at_most(Duration::from_secs(2), "its name", || names(&exporter).contains(&name).then_some(()));
        assert_eq!(names(&exporter).len(), number + 1, "shown under two names");
    }
}

#[test]
fn names_come_over_tcp_and_by_the_usual_variable() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|it| it.local_addr())
        .expect("a free port")
        .port();
    let address = format!("tcp://127.0.0.1:{port}");
    let engine = Engine::start_with(&[&format!("--host={address}"), "--tls=false"]);
    engine.run("web", &["--", "/bin/sleep", "1000"]);
    let named = |exporter: Exporter| {
        exporter.scrape_until("the name", |metrics| (metrics.container_names() == ["web"]).then_some(()));
    };
    named(Exporter::start(&[&format!("--docker.host={address}")]));
    let mut command = std::process::Command::new(crate::support::BINARY);
    command.env("DOCKER_HOST", &address);
    named(Exporter::spawn(command));
}

#[test]
fn row_21_a_stopped_daemon_stops_no_collection() {
    let engine = Engine::start();
    engine.run("kept", &["--", "/bin/sleep", "1000"]);
    // The usual interval: the state of Docker must not wait for the next collection to be shown.
    let exporter = Exporter::start(&[&engine.flag()]);
    exporter.scrape_until("the name", |metrics| (metrics.container_names() == ["kept"]).then_some(()));
    engine.signal(Signal::STOP);
    wait_at_most(Duration::from_secs(5), "pstree_docker_up 0", || {
        (exporter.scrape().value("pstree_docker_up", &[]) == Some(0.0)).then_some(())
    });
    let metrics = exporter.fresh_scrape();
    assert_eq!(metrics.container_names(), ["kept"]);
    engine.signal(Signal::CONT);
    exporter.scrape_until("Docker is back", |metrics| {
        (metrics.value("pstree_docker_up", &[]) == Some(1.0)).then_some(())
    });
}

#[test]
fn row_22_a_daemon_that_restarts_leaves_no_gap() {
    let mut engine = Engine::start_with(&["--live-restore"]);
    engine.run_workload("first", &[], &["fan", "2"]);
    engine.run("second", &["--", "/bin/sleep", "1000"]);
    let exporter = engine.exporter();
    exporter.scrape_until("both", |metrics| (metrics.container_names().len() == 2).then_some(()));
    let wanted = set(&["first", "second"]);
    let mut checks = 0;
    engine.down();
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        assert_eq!(names(&exporter), wanted, "while Docker is away");
        checks += 1;
    }
    exporter.scrape_until("Docker is away", |metrics| {
        (metrics.value("pstree_docker_up", &[]) == Some(0.0)).then_some(())
    });
    engine.up();
    wait_at_most(Duration::from_secs(10), "Docker is back", || {
        assert_eq!(names(&exporter), wanted, "while Docker comes back");
        checks += 1;
        (exporter.scrape().value("pstree_docker_up", &[]) == Some(1.0)).then_some(())
    });
    assert!(checks > 10);
    // Events are followed again.
    engine.docker(&["rename", "second", "third"]);
    wait_at_most(Duration::from_secs(4), "the new name", || {
        (names(&exporter) == set(&["first", "third"])).then_some(())
    });
}
