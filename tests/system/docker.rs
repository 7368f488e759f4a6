//! Names and series while containers change, and while Docker restarts or hangs.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::support::exposition::Exposition;
use crate::support::{Exporter, wait_for};
use crate::testkit::child::KillOnDrop;
use crate::testkit::engine::{Engine, IMAGE};
use crate::testkit::prometheus::free_address;

fn names(exporter: &Exporter) -> BTreeSet<String> {
    exporter.scrape().container_names().into_iter().collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn a_rename_a_pause_a_restart_and_a_removal_are_exported() {
    let engine = Engine::shared();
    let id = engine.run_workload("before", &["--label", "com.docker.compose.service=shop"], &["fan", "2"]);
    let exporter =
        Exporter::start(&[&engine.flag(), "--collection.interval=250ms", "--collection.source=bpf"]);
    exporter.scrape_until("the container", |metrics| (metrics.container_names() == ["before"]).then_some(()));
    let series = format!("/docker/{id}");
    let forks = |metrics: &Exposition| {
        metrics.value("pstree_container_forks_total", &[("id", &series)]).expect("the kernel counts")
    };
    let at_first = forks(&exporter.fresh_scrape());

    engine.docker(&["rename", "before", "after"]);
    wait_for("the new name", || (names(&exporter) == set(&["after"])).then_some(()));
    assert_eq!(forks(&exporter.fresh_scrape()), at_first, "the counter continues under the new name");

    engine.docker(&["pause", "after"]);
    exporter.scrape_until("paused", |metrics| {
        (metrics.value("pstree_container_paused", &[]) == Some(1.0)).then_some(())
    });
    engine.docker(&["unpause", "after"]);
    exporter.scrape_until("unpaused", |metrics| {
        (metrics.value("pstree_container_paused", &[]) == Some(0.0)).then_some(())
    });

    engine.docker(&["restart", "--time=0", "after"]);
    // The id is the same, so the counter continues: at least the two children of the workload are new.
    exporter.scrape_until("more forks", |metrics| {
        (metrics.container_names() == ["after"] && forks(metrics) >= at_first + 2.0).then_some(())
    });

    engine.docker(&["rm", "--force", "after"]);
    let gone = exporter.fresh_scrape();
    assert!(
        gone.samples.iter().all(|(_, labels, _)| !labels.contains_key("id")),
        "series of a removed container"
    );
}

#[test]
fn a_new_container_is_exported_under_its_name_only() {
    let engine = Engine::shared();
    // Its series wait for the name, here longer than by default: Docker may be slow.
    let exporter =
        Exporter::start(&[&engine.flag(), "--collection.interval=250ms", "--debug.timeout-scale=10"]);
    exporter.scrape_until("Docker", |metrics| {
        (metrics.value("pstree_docker_up", &[]) == Some(1.0)).then_some(())
    });
    for number in 0..3 {
        let name = format!("new-{number}");
        engine.run(&name, &["--", "/bin/sleep", "1000"]);
        wait_for("its name", || {
            let names = names(&exporter);
            assert!(names.iter().all(|name| name.starts_with("new-")), "{names:?}");
            names.contains(&name).then_some(())
        });
    }
}

#[test]
fn names_are_read_over_tcp_and_from_the_address_in_docker_host() {
    let address = format!("tcp://{}", free_address());
    let engine = Engine::start(&[&format!("--host={address}"), "--tls=false"]);
    engine.run("web", &["--", "/bin/sleep", "1000"]);
    let wait_for_name = |exporter: Exporter| {
        exporter.scrape_until("the name", |metrics| (metrics.container_names() == ["web"]).then_some(()));
    };
    wait_for_name(Exporter::start(&[&format!("--docker.host={address}")]));
    let mut command = Command::new(crate::support::BINARY);
    command.env("DOCKER_HOST", &address);
    wait_for_name(Exporter::spawn(command));
}

#[test]
fn collections_continue_while_the_daemon_hangs() {
    let engine = Engine::start(&[]);
    engine.run("kept", &["--", "/bin/sleep", "1000"]);
    let exporter =
        Exporter::start(&[&engine.flag(), "--collection.interval=250ms", "--debug.timeout-scale=0.5"]);
    exporter.scrape_until("the name", |metrics| (metrics.container_names() == ["kept"]).then_some(()));
    engine.signal(Signal::STOP);
    exporter.scrape_until("pstree_docker_up 0", |metrics| {
        (metrics.value("pstree_docker_up", &[]) == Some(0.0)).then_some(())
    });
    let metrics = exporter.fresh_scrape();
    assert_eq!(metrics.container_names(), ["kept"]);
    engine.signal(Signal::CONT);
    exporter.scrape_until("Docker is back", |metrics| {
        (metrics.value("pstree_docker_up", &[]) == Some(1.0)).then_some(())
    });
}

#[test]
fn names_stay_while_the_daemon_restarts() {
    let mut engine = Engine::start(&["--live-restore"]);
    engine.run_workload("first", &[], &["fan", "2"]);
    engine.run("second", &["--", "/bin/sleep", "1000"]);
    let exporter = engine.exporter();
    exporter.scrape_until("both", |metrics| (metrics.container_names().len() == 2).then_some(()));
    let both = set(&["first", "second"]);
    let wait_for_docker = |is_up: f64| {
        exporter.scrape_until("the state of Docker", |metrics| {
            let names: BTreeSet<String> = metrics.container_names().into_iter().collect();
            assert_eq!(names, both);
            (metrics.value("pstree_docker_up", &[]) == Some(is_up)).then_some(())
        });
    };
    engine.down();
    wait_for_docker(0.0);
    // Several collections without Docker.
    for _ in 0..3 {
        exporter.fresh_scrape();
        assert_eq!(names(&exporter), both);
    }
    engine.up();
    wait_for_docker(1.0);
    engine.docker(&["rename", "second", "third"]);
    wait_for("the new name", || (names(&exporter) == set(&["first", "third"])).then_some(()));
}

/// BuildKit's client ends the build when it is killed. Debian's client has BuildKit built in.
#[test]
fn a_build_step_of_buildkit_is_a_container_of_its_own() {
    let engine = Engine::shared();
    let exporter = engine.exporter();
    let directory = std::env::temp_dir().join(format!("pstree-build-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a scratch directory");
    let dockerfile = format!("FROM {IMAGE}\nRUN /bin/sleep 1001 & /bin/sleep 1002; true\n");
    std::fs::write(directory.join("Dockerfile"), dockerfile).expect("a scratch file");
    let build = Command::new("/usr/bin/docker")
        .arg("--host")
        .arg(engine.address())
        .args(["build", "--network=none", "--no-cache"])
        .arg(&directory)
        .env("DOCKER_BUILDKIT", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(KillOnDrop)
        .expect("docker is installed");
    let step = |metrics: &Exposition| {
        let (labels, _) = metrics.select("pstree_container_info", &[("runtime", "buildkit")]).next()?;
        Some(labels["id"].clone())
    };
    let id = exporter.scrape_until("the step and its processes", |metrics| {
        let id = step(metrics)?;
        // The shell and two programs.
        (metrics.value("pstree_container_processes", &[("id", &id)]) == Some(3.0)).then_some(id)
    });
    assert!(id.starts_with("/docker/buildkit/") || id.contains(":docker:"), "{id}");
    assert_eq!(exporter.scrape().container_names().len(), 1, "nothing else is a container");
    drop(build);
    exporter.scrape_until("the end of the step", |metrics| step(metrics).is_none().then_some(()));
    let _ = std::fs::remove_dir_all(&directory);
}
