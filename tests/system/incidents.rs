//! Incidents that the exporter must report: too many threads, refused forks, fork storms, reused pids.

use std::fs;
use std::process::Command;

use crate::support::exposition::Exposition;
use crate::support::workload::Workload;
use crate::support::{BINARY, Exporter, wait_for};
use crate::testkit::cgroups::ContainerCgroup;
use crate::testkit::engine::Engine;
use crate::testkit::oracle::pids_file;

#[test]
fn five_hundred_threads_are_one_process() {
    let engine = Engine::shared();
    engine.run_workload("threads", &[], &["threads", "500"]);
    let exporter = engine.exporter();
    let metrics = exporter.scrape_until("the threads", |metrics| {
        (metrics.value("pstree_container_threads", &[]) == Some(500.0)).then(|| metrics.clone())
    });
    assert_eq!(metrics.value("pstree_container_processes", &[]), Some(1.0));
    assert_eq!(metrics.value("pstree_container_pids_current", &[]), Some(500.0));
}

#[test]
fn refused_forks_are_counted_as_hits_of_the_limit() {
    let engine = Engine::shared();
    engine.run("bomb", &["--pids-limit=20", "--", "/bin/sh", "-c", "/bin/workload fan 100; /bin/sleep 1000"]);
    let exporter = engine.exporter();
    let metrics = exporter.scrape_until("a hit", |metrics| {
        (metrics.value("pstree_container_pids_limit_hits_total", &[]) >= Some(1.0)).then(|| metrics.clone())
    });
    assert_eq!(metrics.value("pstree_container_pids_limit", &[]), Some(20.0));
    assert!(metrics.value("pstree_container_pids_current", &[]).expect("a count") <= 20.0);
    let peak = pids_file(engine.pid("bomb"), "pids.peak").map(|peak| peak as f64);
    assert_eq!(exporter.fresh_scrape().value("pstree_container_pids_peak", &[]), peak);
}

#[test]
fn a_process_that_exits_during_a_read_is_counted_as_vanished() {
    // Every tenth read fails as it does when the process exits during the read.
    let output = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e", "trace=read", "-e", "inject=read:error=ESRCH:when=20+10"])
        .args([BINARY, "--once", "--no-docker", "--log.level=error"])
        .output()
        .expect("strace is installed");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metrics = Exposition::parse(&text);
    assert!(
        metrics.value("pstree_collection_skipped_processes_total", &[("reason", "vanished")]) > Some(0.0)
    );
    assert_eq!(metrics.value("pstree_collector_success", &[("collector", "processes")]), Some(1.0));
}

#[test]
fn a_reused_pid_is_a_new_process() {
    let (first_group, second_group) = (ContainerCgroup::new("71"), ContainerCgroup::new("72"));
    let exporter = Exporter::start(&["--no-docker", "--collection.interval=100ms"]);
    let processes = |metrics: &Exposition, group: &ContainerCgroup| {
        metrics.value("pstree_container_processes", &[("id", &group.id)])
    };
    let first = Workload::start(&["fan", "0"]);
    first_group.add(first.pid());
    exporter.scrape_until("the first process", |metrics| {
        (processes(metrics, &first_group) == Some(1.0)).then_some(())
    });
    let pid = first.pid();
    drop(first);
    // Other programs also fork, so this is repeated until the kernel assigns that pid to the test's process.
    let second = wait_for("the same pid", || {
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).expect("root may set it");
        Some(Workload::start(&["fan", "0"])).filter(|process| process.pid() == pid)
    });
    second_group.add(second.pid());
    // What was cached for the pid is not used for the new process.
    exporter.scrape_until("the second process", |metrics| {
        let counts = [&first_group, &second_group].map(|group| processes(metrics, group));
        (counts == [None, Some(1.0)]).then_some(())
    });
    drop(second);
}

#[test]
fn scrapes_are_answered_beside_a_fork_storm() {
    let engine = Engine::shared();
    // It retries rejected forks.
    engine.run("storm", &["--pids-limit=500", "--", "/bin/loads", "wild", "500", "/calm"]);
    let exporter =
        Exporter::start(&[&engine.flag(), "--collection.interval=250ms", "--collection.source=bpf"]);
    exporter.scrape_until("the storm", |metrics| {
        (metrics.value("pstree_container_forks_total", &[("name", "storm")]) > Some(100.0)).then_some(())
    });
    for _ in 0..50 {
        let metrics = exporter.scrape();
        assert_eq!(metrics.value("pstree_collector_success", &[("collector", "processes")]), Some(1.0));
    }
}
