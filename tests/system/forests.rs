//! Containers with a known forest: the metrics are equal to `ps`, `docker top` and `pids.current`.

use rustix::process::{Pid, Signal, kill_process};

use crate::support::exposition::Exposition;
use crate::support::{Exporter, wait_for};
use crate::testkit::cgroups::{hierarchies, remove_cgroup};
use crate::testkit::engine::Engine;
use crate::testkit::oracle::{expected_of, measured, members, pids_file, ps};

/// Compares a container's metrics with the oracle. Processes must not change during the comparison.
fn assert_exact(engine: &Engine, metrics: &Exposition, name: &str) {
    let expected = expected_of(&members(engine, name));
    assert_eq!(measured(metrics, name), expected, "{name}");
    let pid = engine.pid(name);
    let label = [("name", name)];
    let current = metrics.value("pstree_container_pids_current", &label);
    assert_eq!(current, pids_file(pid, "pids.current").map(|count| count as f64), "{name}");
    // Tasks are threads and zombies. A leader that exited before its threads is not a zombie.
    assert_eq!(current, Some((expected.threads + expected.zombies) as f64), "{name}");
}

fn roots(metrics: &Exposition, name: &str) -> [f64; 3] {
    ["init", "exec", "adopted"].map(|kind| {
        metrics.value("pstree_container_root_processes", &[("name", name), ("kind", kind)]).unwrap()
    })
}

fn wait_for_processes(exporter: &Exporter, name: &str, count: f64) {
    exporter.scrape_until(&format!("{count} processes in {name}"), |metrics| {
        (metrics.value("pstree_container_processes", &[("name", name)]) == Some(count)).then_some(())
    });
}

#[test]
fn thirteen_containers_match_ps_and_docker_top() {
    let engine = Engine::shared();
    engine.run("plain", &["--", "/bin/sleep", "1000"]);
    engine.run("execs", &["--", "/bin/sleep", "1000"]);
    for _ in 0..3 {
        engine.docker(&["exec", "-d", "execs", "/bin/sh", "-c", "/bin/sleep 1000; true"]);
    }
    engine.run_workload("chain", &[], &["chain", "20"]);
    engine.run_workload("fan", &[], &["fan", "30"]);
    engine.run_workload("threads", &[], &["threads", "25"]);
    engine.run_workload("zombies", &[], &["zombies", "12"]);
    engine.run_workload("leader", &["--init"], &["zombie-leader", "3"]);
    engine.run_workload("with-init", &["--init"], &["fan", "2"]);
    engine.run_workload("pid-host", &["--pid=host"], &["fan", "4"]);
    engine.run_workload("pid-shared", &["--pid=container:plain"], &["fan", "2"]);
    engine.run_workload("paused", &[], &["fan", "3"]);
    engine.docker(&["pause", "paused"]);
    engine.run_workload("limited", &["--pids-limit=40"], &["fan", "5"]);
    engine.run("shell", &["--", "/bin/sh", "-c", "/bin/workload fan 3 & /bin/workload chain 4 & wait"]);

    for source in ["proc", "bpf"] {
        let source = format!("--collection.source={source}");
        assert_all(&engine, &Exporter::start(&[&engine.flag(), "--collection.interval=250ms", &source]));
    }
}

fn assert_all(engine: &Engine, exporter: &Exporter) {
    wait_for_processes(exporter, "execs", 7.0);
    wait_for_processes(exporter, "shell", 9.0);
    let metrics = exporter.fresh_scrape();
    let names = [
        "plain",
        "execs",
        "chain",
        "fan",
        "threads",
        "zombies",
        "leader",
        "with-init",
        "pid-host",
        "pid-shared",
        "limited",
        "shell",
        "paused",
    ];
    for name in names {
        assert_exact(engine, &metrics, name);
    }
    assert_eq!(metrics.sum("pstree_containers", &[]), names.len() as f64);
    assert_eq!(metrics.value("pstree_containers", &[("runtime", "docker")]), Some(names.len() as f64));

    // How the roots entered the container.
    assert_eq!(roots(&metrics, "plain"), [1.0, 0.0, 0.0]);
    assert_eq!(roots(&metrics, "execs"), [1.0, 3.0, 0.0]);
    assert_eq!(roots(&metrics, "with-init"), [1.0, 0.0, 0.0]);
    assert_eq!(roots(&metrics, "pid-host"), [1.0, 0.0, 0.0]);
    assert_eq!(roots(&metrics, "pid-shared"), [1.0, 0.0, 0.0]);
    // A leader that exited before its threads is not a zombie. Threads are not processes.
    let value = |family: &str, name: &str| metrics.value(family, &[("name", name)]);
    assert_eq!(value("pstree_container_zombie_processes", "leader"), Some(0.0));
    assert_eq!(value("pstree_container_processes", "threads"), Some(1.0));
    assert_eq!(value("pstree_container_threads", "threads"), Some(25.0));
    assert_eq!(value("pstree_container_tree_depth", "chain"), Some(20.0));
    assert_eq!(value("pstree_container_paused", "paused"), Some(1.0));
    assert_eq!(value("pstree_container_paused", "plain"), Some(0.0));
    assert_eq!(
        metrics.value("pstree_container_processes_by_state", &[("name", "paused"), ("state", "disk_sleep")]),
        Some(4.0)
    );
    assert_eq!(value("pstree_container_pids_limit", "limited"), Some(40.0));
    assert_eq!(value("pstree_container_pids_limit", "plain"), None, "unlimited has no sample");
    assert_ages(engine, &metrics);
    // These containers have fewer than ten commands, for which docs/metrics.md states about 65 series at most.
    for name in names {
        let series =
            metrics.samples.iter().filter(|(_, labels, _)| labels.get("name").is_some_and(|it| it == name));
        let count = series.count();
        assert!(count <= 72, "{name} has {count} series");
    }
}

/// Compares with `ps`, which reports the age of a process in seconds.
fn assert_ages(engine: &Engine, metrics: &Exposition) {
    let started = metrics
        .value("pstree_container_oldest_root_start_time_seconds", &[("name", "plain"), ("kind", "init")]);
    let pid = engine.pid("plain").to_string();
    let ps = std::process::Command::new("ps").args(["-o", "etimes=", "-p", &pid]).output().expect("ps runs");
    let age: f64 = String::from_utf8_lossy(&ps.stdout).trim().parse().expect("seconds");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - started.expect("known") - age).abs() < 3.0, "{started:?} with an age of {age}");
}

#[test]
fn containers_and_host_together_have_all_processes_of_ps() {
    let engine = Engine::shared();
    engine.run_workload("fan", &[], &["fan", "10"]);
    engine.run_workload("dead", &[], &["zombies", "5"]);
    let exporter = engine.exporter();
    // Kernel threads start and exit, so this is repeated until none does between the two counts.
    wait_for("the same count", || {
        let metrics = exporter.fresh_scrape();
        let rows = ps();
        let seen = metrics.sum("pstree_host_processes", &[]) + metrics.sum("pstree_container_processes", &[]);
        let kernel_threads = rows.values().filter(|row| row.pid == 2 || row.parent == 2).count();
        // The row of ps itself is not counted.
        let matches = seen == (rows.len() - 1) as f64
            && metrics.value("pstree_host_kernel_threads", &[]) == Some(kernel_threads as f64);
        matches.then_some(())
    });
}

#[test]
fn hostile_process_names_are_exported_as_printable_text() {
    let engine = Engine::shared();
    let names: [&[u8]; 6] = [b") R 1 1", b"a\nb", b"\xff", b"\"}\\", b"\x1b[31m", "\u{202e}x".as_bytes()];
    for (number, name) in names.iter().enumerate() {
        let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        engine.run_workload(&format!("hostile-{number}"), &["--init"], &["name", &hex]);
    }
    let exporter = engine.exporter();
    let metrics = exporter
        .scrape_until("all", |metrics| (metrics.container_names().len() == 6).then(|| metrics.clone()));
    for number in 0..names.len() {
        let name = format!("hostile-{number}");
        let value = |family: &str| metrics.value(family, &[("name", &name)]);
        assert_eq!(value("pstree_container_processes"), Some(2.0));
        assert_eq!(value("pstree_container_tree_depth"), Some(2.0), "{name} lost its parent");
    }
    assert!(!metrics.text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'));
}

#[test]
fn a_foreign_process_in_a_containers_pid_namespace_is_counted_apart() {
    let engine = Engine::shared();
    engine.run("victim", &["--", "/bin/sleep", "1000"]);
    let pid = engine.pid("victim").to_string();
    // It enters the pid namespace but not the cgroup. nsenter forks; the child is inside.
    let mut nsenter = std::process::Command::new("nsenter")
        .args(["-t", &pid, "-p", "sleep", "1000"])
        .spawn()
        .expect("nsenter runs");
    let exporter = engine.exporter();
    exporter.scrape_until("a foreign process", |metrics| {
        (metrics.value("pstree_container_namespace_intruders", &[("name", "victim")]) == Some(1.0))
            .then_some(())
    });
    let metrics = exporter.scrape();
    assert_eq!(metrics.value("pstree_container_processes", &[("name", "victim")]), Some(1.0));
    let child = ps().values().find(|row| row.parent == nsenter.id()).map(|row| row.pid);
    let child = Pid::from_raw(child.expect("nsenter forks") as i32).expect("a pid");
    kill_process(child, Signal::KILL).expect("our own process");
    nsenter.wait().expect("nsenter ends with its child");
    exporter.scrape_until("no foreign process", |metrics| {
        (metrics.value("pstree_container_namespace_intruders", &[("name", "victim")]) == Some(0.0))
            .then_some(())
    });
}

#[test]
fn orphans_in_a_shared_pid_namespace_are_adopted_roots() {
    let engine = Engine::shared();
    engine.run("owner", &["--", "/bin/sleep", "1000"]);
    engine.run_workload("guest", &["--pid=container:owner"], &["orphan"]);
    let exporter = engine.exporter();
    wait_for_processes(&exporter, "guest", 3.0);
    assert_eq!(roots(&exporter.scrape(), "guest"), [1.0, 0.0, 0.0]);
    let init = engine.pid("guest");
    let middle = ps().values().find(|row| row.parent == init).map(|row| row.pid).expect("a child");
    let middle = Pid::from_raw(middle as i32).expect("a pid");
    kill_process(middle, Signal::USR1).expect("our own process");
    exporter.scrape_until("an adopted root", |metrics| {
        (roots(metrics, "guest") == [1.0, 0.0, 1.0]).then_some(())
    });
    assert_exact(&engine, &exporter.fresh_scrape(), "guest");
}

#[test]
fn a_cgroup_with_the_name_of_another_container_counts_for_the_outer_container() {
    let engine = Engine::shared();
    let victim = engine.run("victim", &["--", "/bin/sleep", "1000"]);
    let outer = engine.run_workload("outer", &[], &["fan", "2"]);
    let parents: Vec<_> =
        hierarchies().iter().map(|root| root.join(format!("docker/{outer}/docker"))).collect();
    let child = wait_for("a child", || {
        let init = engine.pid("outer");
        ps().values().find(|row| row.parent == init).map(|row| row.pid)
    });
    for parent in &parents {
        let inner = parent.join(&victim);
        std::fs::create_dir_all(&inner).expect("root may create cgroups");
        std::fs::write(inner.join("cgroup.procs"), child.to_string()).expect("root may move processes");
    }
    // Started afterwards, so that it has not cached the process before.
    let exporter = engine.exporter();
    wait_for_processes(&exporter, "outer", 3.0);
    let metrics = exporter.fresh_scrape();
    assert_eq!(metrics.value("pstree_container_processes", &[("name", "victim")]), Some(1.0));
    assert_eq!(metrics.sum("pstree_containers", &[]), 2.0);
    assert_eq!(metrics.value("pstree_container_pids_current", &[("name", "outer")]), Some(3.0));
    engine.docker(&["kill", "outer"]);
    for parent in &parents {
        remove_cgroup(&parent.join(&victim));
        remove_cgroup(parent);
    }
}
