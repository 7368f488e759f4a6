//! A person's `docker exec -it` is distinguished from health checks and scripts by its controlling terminal.

use std::ops::RangeInclusive;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::Exporter;
use crate::support::exposition::Exposition;
use crate::testkit::engine::Engine;

const SESSIONS: &str = "pstree_container_terminal_sessions";
const OLDEST: &str = "pstree_container_oldest_terminal_session_start_time_seconds";

fn sessions(metrics: &Exposition, name: &str) -> f64 {
    metrics.value(SESSIONS, &[("name", name)]).expect("always exported")
}

fn wait_for_roots(exporter: &Exporter, name: &str, execs: f64) -> Exposition {
    exporter.scrape_until(&format!("{execs} exec roots of {name}"), |metrics| {
        let labels = [("name", name), ("kind", "exec")];
        (metrics.value("pstree_container_root_processes", &labels) == Some(execs)).then(|| metrics.clone())
    })
}

fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// The Unix times between which the process with this command started, according to `ps`, which rounds to seconds.
fn started(command: &str) -> RangeInclusive<f64> {
    let before = unix_now();
    let ps = Command::new("ps").args(["-eo", "etimes=,args="]).output().expect("ps runs");
    let age = String::from_utf8_lossy(&ps.stdout)
        .lines()
        .find_map(|line| line.strip_suffix(command)?.trim().parse::<f64>().ok())
        .expect("ps shows it");
    before - age - 1.0..=unix_now() - age + 1.0
}

#[test]
fn only_what_entered_by_exec_and_has_a_terminal_is_a_session() {
    let engine = Engine::shared();
    // The init of a container that was started with a terminal is no session.
    engine.run("idle", &["--tty", "--", "/bin/sleep", "1000"]);
    for source in ["proc", "bpf"] {
        engine.run(source, &["--", "/bin/sleep", "1001"]);
        engine.docker(&["exec", "--detach", source, "/bin/sleep", "1002"]);
        let flags = ["--collection.interval=100ms", &format!("--collection.source={source}")];
        let exporter = Exporter::start(&[&[engine.flag().as_str()], &flags[..]].concat());
        let metrics = wait_for_roots(&exporter, source, 1.0);
        assert_eq!((sessions(&metrics, "idle"), sessions(&metrics, source)), (0.0, 0.0), "{source}");
        let name = [("name", source)];
        assert_eq!(metrics.value(OLDEST, &name), None, "{source}: absent without a session");

        let command = format!("/bin/sleep 1003{}", source.len());
        let script = format!("{command}; true");
        engine.docker(&["exec", "--tty", "--detach", source, "/bin/sh", "-c", &script]);
        // What a session starts on a terminal of its own, as script(1) does, is not another session.
        engine.docker(&["exec", "--tty", "--detach", source, "/bin/workload", "script"]);
        wait_for_roots(&exporter, source, 3.0);
        let metrics = exporter.scrape_until("the children of the sessions", |metrics| {
            let is_there = ["sh;sleep", "workload;workload"].map(|path| {
                metrics.value("pstree_container_tree_node_processes", &[("name", source), ("path", path)])
            });
            (is_there == [Some(1.0); 2]).then(|| metrics.clone())
        });
        assert_eq!((sessions(&metrics, "idle"), sessions(&metrics, source)), (0.0, 2.0), "{source}");
        let oldest = metrics.value(OLDEST, &name).expect("there is one");
        let expected = started(&format!("/bin/sh -c {script}"));
        assert!(expected.contains(&oldest), "{source}: {oldest} instead of {expected:?}");

        let page = exporter.get(&format!("/containers/{source}"), &[]).text();
        assert_eq!(page.matches(">exec tty<").count(), 2, "{source}");
        let json = exporter.get(&format!("/api/v1/containers/{source}/tree"), &[]).text();
        assert!(json.contains("\"terminal_sessions\":2"), "{source}: {json}");
        let kinds = |text: &str| json.matches(text).count();
        assert_eq!(kinds("\"kind\":\"exec\",\"terminal\":true"), 2, "{source}: {json}");
        assert_eq!(kinds("\"kind\":\"exec\",\"terminal\":false"), 1, "{source}: {json}");
        assert_eq!(kinds("\"terminal\""), 3, "{source}: only roots that entered by exec");
    }
}
