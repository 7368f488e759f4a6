//! What the exporter is there for: too many processes, too deep, too dead, too many forks.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::groups::Group;
use crate::support::workload::Workload;
use crate::support::{BINARY, Exporter, wait_for};
use crate::truth::ps;

#[test]
fn row_10_a_chain_of_five_thousand() {
    let engine = Engine::start();
    engine.run_workload("deep", &[], &["chain", "5000"]);
    let exporter = engine.exporter();
    let metrics = exporter.scrape_until("the chain", |metrics| {
        (metrics.value("pstree_container_processes", &[]) == Some(5000.0)).then(|| metrics.clone())
    });
    assert_eq!(metrics.value("pstree_container_tree_depth", &[]), Some(5000.0));
    assert_eq!(metrics.value("pstree_container_processes_by_depth", &[("depth", "16+")]), Some(4985.0));
    assert_eq!(metrics.sum("pstree_container_tree_node_processes", &[]), 5000.0);
}

#[test]
fn row_11_ten_thousand_zombies() {
    let engine = Engine::start();
    engine.run("bystander", &["--", "/bin/sleep", "1000"]);
    engine.run_workload("morgue", &[], &["zombies", "10000"]);
    let zombies_of_ps = ps().values().filter(|row| row.state == 'Z').count();
    assert!(zombies_of_ps >= 10_000);
    // Started when they were dead already: nothing is known of them from before.
    let exporter = engine.exporter();
    let label = [("name", "morgue")];
    let metrics = exporter.scrape_until("the zombies", |metrics| {
        metrics.value("pstree_container_zombie_processes", &label).is_some().then(|| metrics.clone())
    });
    assert_eq!(metrics.value("pstree_container_zombie_processes", &label), Some(10_000.0));
    assert_eq!(metrics.value("pstree_container_threads", &label), Some(1.0));
    assert_eq!(
        metrics.value(
            "pstree_container_zombie_processes_by_parent",
            &[("name", "morgue"), ("parent", "workload")]
        ),
        Some(10_000.0)
    );
    assert_eq!(metrics.value("pstree_container_pids_current", &label), Some(10_001.0));
    assert_eq!(metrics.value("pstree_container_processes", &[("name", "bystander")]), Some(1.0));
}

#[test]
fn row_13_five_hundred_threads() {
    let engine = Engine::start();
    engine.run_workload("threads", &[], &["threads", "500"]);
    let exporter = engine.exporter();
    let metrics = exporter.scrape_until("the threads", |metrics| {
        (metrics.value("pstree_container_threads", &[]) == Some(500.0)).then(|| metrics.clone())
    });
    assert_eq!(metrics.value("pstree_container_processes", &[]), Some(1.0));
    assert_eq!(metrics.value("pstree_container_pids_current", &[]), Some(500.0));
}

#[test]
fn a_refused_fork_is_a_hit_of_the_limit() {
    let engine = Engine::start();
    engine.run("bomb", &["--pids-limit=20", "--", "/bin/sh", "-c", "/bin/workload fan 100; /bin/sleep 1000"]);
    let exporter = engine.exporter();
    let metrics = exporter.scrape_until("a hit", |metrics| {
        (metrics.value("pstree_container_pids_limit_hits_total", &[]) >= Some(1.0)).then(|| metrics.clone())
    });
    assert_eq!(metrics.value("pstree_container_pids_limit", &[]), Some(20.0));
    assert!(metrics.value("pstree_container_pids_current", &[]) <= Some(20.0));
    let peak = crate::truth::pids_file(engine.pid("bomb"), "pids.peak").map(|peak| peak as f64);
    assert_eq!(exporter.fresh_scrape().value("pstree_container_pids_peak", &[]), peak);
}

#[test]
fn row_02_esrch_in_the_middle_of_a_read() {
    // Every tenth read fails as it does for a process that exits in mid-read.
    let output = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e", "trace=read", "-e", "inject=read:error=ESRCH:when=20+10"])
        .args([BINARY, "--once", "--no-docker", "--log.level=error"])
        .output()
        .expect("strace is installed");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metrics = crate::support::exposition::Exposition::parse(&text);
    assert!(
        metrics.value("pstree_collection_skipped_processes_total", &[("reason", "vanished")]) > Some(0.0)
    );
    assert_eq!(metrics.value("pstree_collector_success", &[("collector", "processes")]), Some(1.0));
}

#[test]
fn row_07_a_pid_that_the_kernel_hands_out_again() {
    let group = Group::make("7");
    let exporter = Exporter::start(&["--no-docker", "--collection.interval=100ms"]);
    let label = [("id", group.id.as_str())];
    let starts = |count: f64| {
        exporter.scrape_until("a start", |metrics| {
            (metrics.value("pstree_container_observed_starts_total", &label) == Some(count))
                .then(|| metrics.clone())
        })
    };
    let first = Workload::start(&["fan", "0"]);
    group.add(first.pid());
    starts(1.0);
    let pid = first.pid();
    drop(first);
    // Others fork, too: until the kernel gives that pid to a process of ours.
    let second = wait_for("the same pid", || {
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).expect("as root");
        Some(Workload::start(&["fan", "0"])).filter(|process| process.pid() == pid)
    });
    group.add(second.pid());
    let metrics = starts(2.0);
    assert_eq!(metrics.value("pstree_container_processes", &label), Some(1.0));
}

#[test]
fn a_fork_storm_next_door_delays_no_scrape() {
    let engine = Engine::start();
    engine.run(
        "storm",
        &["--pids-limit=500", "--", "/bin/sh", "-c", "while :; do /bin/workload forks 100 & /bin/true; done"],
    );
    let exporter = engine.exporter();
    exporter.scrape_until("the storm", |metrics| {
        (metrics.sum("pstree_container_observed_starts_total", &[]) > 100.0).then_some(())
    });
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let begun = Instant::now();
        assert_eq!(exporter.get("/metrics", &[]).status, 200);
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(exporter.scrape().value("pstree_collector_success", &[("collector", "processes")]), Some(1.0));
}
