//! The event counters are exact: every number is known from what the container runs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use crate::support::exposition::Exposition;
use crate::support::{Exporter, wait_for, workload};
use crate::testkit::cgroups::{ContainerCgroup, hierarchies};
use crate::testkit::engine::Engine;

/// Forks, thread starts, execs, exits with success, failure and signal.
type Counts = [u64; 6];

fn counts(metrics: &Exposition, label: (&str, &str)) -> Counts {
    let plain =
        |family: &str| metrics.value(&format!("pstree_container_{family}_total"), &[label]).expect(family);
    let exits = |outcome| {
        let labels = [label, ("outcome", outcome)];
        metrics.value("pstree_container_exits_total", &labels).expect("exits")
    };
    [
        plain("forks"),
        plain("thread_starts"),
        plain("execs"),
        exits("success"),
        exits("failure"),
        exits("signal"),
    ]
    .map(|count| count as u64)
}

fn counts_of(metrics: &Exposition, name: &str) -> Counts {
    counts(metrics, ("name", name))
}

fn difference(after: Counts, before: Counts) -> Counts {
    std::array::from_fn(|index| after[index] - before[index])
}

fn unaccounted(metrics: &Exposition) -> (f64, f64) {
    let value = |family| metrics.value(family, &[]).expect("BPF works");
    (value("pstree_events_lost_total"), value("pstree_events_unattributed_total"))
}

/// Runs gated containers at the same time and returns what was counted for each.
fn count_gated(scripts: &[(&str, &str)]) -> Vec<Counts> {
    let engine = Engine::shared();
    let exporter =
        Exporter::start(&[&engine.flag(), "--collection.interval=200ms", "--collection.source=bpf"]);
    let (before, after) = run_gated(&engine, &exporter, scripts);
    assert_eq!(after.value("pstree_events_lost_total", &[]), Some(0.0));
    let counted = |(name, _): &(&str, &str)| difference(counts_of(&after, name), counts_of(&before, name));
    scripts.iter().map(counted).collect()
}

/// Runs gated containers at the same time. Returns the metrics before the gates are opened and after all are done.
pub(crate) fn run_gated(
    engine: &Engine,
    exporter: &Exporter,
    scripts: &[(&str, &str)],
) -> (Exposition, Exposition) {
    for (name, script) in scripts {
        engine.run_gated(name, script);
    }
    exporter.scrape_until("all containers", |metrics| {
        let names = metrics.container_names();
        scripts.iter().all(|(name, _)| names.iter().any(|it| it == name)).then_some(())
    });
    // Until the container runtime has started its last process there.
    let before = wait_for("the counts do not change", || {
        let (first, second) = (exporter.fresh_scrape(), exporter.fresh_scrape());
        let all = |metrics: &Exposition| scripts.iter().map(|(name, _)| counts_of(metrics, name)).collect();
        let (first, second): (Vec<Counts>, Vec<Counts>) = (all(&first), all(&second));
        (first == second).then(|| exporter.fresh_scrape())
    });
    for (name, _) in scripts {
        engine.open_gate(name);
    }
    for (name, _) in scripts {
        engine.wait_for_done(name);
    }
    (before, exporter.fresh_scrape())
}

#[test]
fn all_forks_of_eight_shells_and_a_fork_storm_are_counted() {
    let shells = "shell() { i=0; while [ $i -lt 1250 ]; do /bin/true; i=$((i+1)); done; }; \
                  for n in 1 2 3 4 5 6 7 8; do shell & done; wait";
    let storm = "/bin/workload once forks 25000 & /bin/workload once forks 25000; wait";
    let counted = count_gated(&[("shells", shells), ("storm", storm)]);
    // The eight shells are also forked.
    assert_eq!(counted[0], [10_008, 0, 10_000, 10_008, 0, 0]);
    assert_eq!(counted[1], [50_002, 0, 2, 50_002, 0, 0]);
}

#[test]
fn exits_are_counted_by_outcome() {
    let script = "i=0; while [ $i -lt 300 ]; do /bin/true; /bin/false; /bin/sh -c 'kill -KILL $$'; \
                  i=$((i+1)); done 2>/dev/null";
    assert_eq!(count_gated(&[("outcomes", script)]), [[900, 0, 900, 300, 300, 300]]);
}

#[test]
fn a_process_with_many_threads_counts_once() {
    let groups = ("groups", "/bin/workload once groups 1000 4");
    let execs = ("execs", "/bin/workload once thread-execs 500");
    let counted = count_gated(&[groups, execs]);
    assert_eq!(counted[0], [2_001, 6_000, 1, 2_001, 0, 0]);
    assert_eq!(counted[1], [501, 500, 501, 501, 0, 0]);
}

#[test]
fn counters_continue_after_a_restart_of_the_container_during_a_stop_of_the_exporter() {
    let engine = Engine::shared();
    let exporter =
        Exporter::start(&[&engine.flag(), "--collection.interval=200ms", "--collection.source=bpf"]);
    engine.run("web", &["--", "/bin/sh", "-c", "/bin/workload once forks 500; exec /bin/sleep 1000"]);
    let all_forks = |at_least: f64| {
        exporter.scrape_until(&format!("{at_least} forks"), |metrics| {
            let forks = metrics.value("pstree_container_forks_total", &[("name", "web")])?;
            (forks >= at_least).then_some(forks)
        })
    };
    all_forks(501.0);
    let command = format!("/proc/{}/comm", engine.pid("web"));
    wait_for("the last exec", || (fs::read_to_string(&command).expect("it runs") == "sleep\n").then_some(()));
    let once = counts_of(&exporter.fresh_scrape(), "web")[0] as f64;
    exporter.signal(Signal::STOP);
    engine.docker(&["restart", "--time=0", "web"]);
    exporter.signal(Signal::CONT);
    // The runtime's own forks in the container are the same each time.
    assert_eq!(all_forks(2.0 * once), 2.0 * once);
    // It has the same id, so it is the same container.
    assert_eq!(exporter.fresh_scrape().select("pstree_container_forks_total", &[]).count(), 1);
}

/// A cgroup below that of a container, as a container creates it itself.
fn inside(group: &ContainerCgroup, name: &str) -> PathBuf {
    let unified = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
    let root = unified.into_iter().find(|root| root.join("cgroup.controllers").exists()).expect("cgroup v2");
    root.join(&group.id[1..]).join(name)
}

/// Moves a shell there, which forks the workload, which forks this number of children.
fn fork_in(directory: &PathBuf, children: u64) {
    let script = format!(
        "echo $$ >{}/cgroup.procs && {} once forks {children}; true",
        directory.display(),
        workload::binary().display()
    );
    let status = Command::new("sh").args(["-c", &script]).status().expect("sh runs");
    assert!(status.success());
    wait_for("the cgroup is removed", || fs::remove_dir(directory).ok());
}

#[test]
fn events_of_removed_cgroups_below_a_container_count_for_the_container() {
    let group = ContainerCgroup::new("b1");
    let process = workload::Workload::start(&["fan", "1"]);
    group.add(process.pid());
    let exporter = Exporter::start(&["--no-docker", "--collection.interval=1s", "--collection.source=bpf"]);
    let label = ("id", group.id.as_str());
    let before = counts(&exporter.fresh_scrape(), label);
    for (number, depth) in ["a", "b/c", "d/e/f/g"].iter().enumerate() {
        let directory = inside(&group, depth);
        fs::create_dir_all(&directory).expect("a cgroup can be made");
        fork_in(&directory, 100 + number as u64);
    }
    let expected = 3 + 100 + 101 + 102;
    let after = exporter.scrape_until("all forks", |metrics| {
        let after = counts(metrics, label);
        (after[0] - before[0] >= expected).then_some(after)
    });
    // Each shell adds one exit, but no fork: it came from outside.
    assert_eq!(difference(after, before), [expected, 0, 3, expected + 3, 0, 0]);
    assert_eq!(unaccounted(&exporter.fresh_scrape()), (0.0, 0.0));
    for parent in ["b", "d/e/f", "d/e", "d"] {
        fs::remove_dir(inside(&group, parent)).expect("our own cgroup");
    }
    drop(process);
}

#[test]
fn events_of_a_cgroup_that_no_collection_saw_are_counted_as_unattributed() {
    let parent = ContainerCgroup::new("c1");
    let exporter = Exporter::start(&["--no-docker", "--collection.interval=2s", "--collection.source=bpf"]);
    exporter.fresh_scrape();
    let directory = inside(&parent, "..").join(format!("{:0>64}", "c2"));
    // The exporter is stopped, so no collection runs.
    exporter.signal(Signal::STOP);
    fs::create_dir(&directory).expect("a cgroup can be made");
    fork_in(&directory, 50);
    exporter.signal(Signal::CONT);
    let (lost, unattributed) = exporter.scrape_until("unattributed events", |metrics| {
        let (lost, unattributed) = unaccounted(metrics);
        (unattributed > 0.0).then_some((lost, unattributed))
    });
    // 51 forks, 1 exec, 51 exits and that of the shell.
    assert_eq!((lost, unattributed), (0.0, 104.0));
}

#[test]
fn events_before_a_container_was_first_seen_are_counted_for_it() {
    let group = ContainerCgroup::new("d1");
    let exporter =
        Exporter::start(&["--no-docker", "--collection.interval=200ms", "--collection.source=bpf"]);
    exporter.fresh_scrape();
    let script = format!(
        "for procs in $(echo {}); do echo $$ >$procs; done; {} once forks 70; true",
        hierarchies()
            .iter()
            .map(|root| format!("{}{}/cgroup.procs", root.display(), group.id))
            .collect::<Vec<_>>()
            .join(" "),
        workload::binary().display()
    );
    assert!(Command::new("sh").args(["-c", &script]).status().expect("sh runs").success());
    let gone = exporter.fresh_scrape();
    assert_eq!(
        gone.select("pstree_container_forks_total", &[]).count(),
        0,
        "a container without processes has no series"
    );
    let process = workload::Workload::start(&["fan", "1"]);
    group.add(process.pid());
    let forks = exporter.scrape_until("the container", |metrics| {
        metrics.value("pstree_container_forks_total", &[("id", &group.id)])
    });
    assert_eq!(forks, 71.0);
    drop(process);
}

#[test]
fn removed_cgroups_free_their_place_in_the_map() {
    const ROUNDS: usize = 120;
    let group = ContainerCgroup::new("d2");
    let process = workload::Workload::start(&["fan", "1"]);
    group.add(process.pid());
    let exporter = Exporter::start(&[
        "--no-docker",
        "--collection.interval=100ms",
        "--collection.source=bpf",
        "--bounds.event-cgroups=48",
    ]);
    let label = ("id", group.id.as_str());
    let before = counts(&exporter.fresh_scrape(), label);
    for round in 0..ROUNDS {
        let directory = inside(&group, &format!("round-{round}"));
        fs::create_dir(&directory).expect("a cgroup can be made");
        fork_in(&directory, 1);
        if round % 8 == 7 {
            // The first reads the final counts, the second removes them.
            exporter.fresh_scrape();
            exporter.fresh_scrape();
        }
    }
    let metrics = exporter.fresh_scrape();
    assert_eq!(difference(counts(&metrics, label), before)[0], 2 * ROUNDS as u64);
    assert_eq!(unaccounted(&metrics), (0.0, 0.0));
    drop(process);
}

#[test]
fn lost_events_of_a_full_map_are_counted_and_logged_once() {
    let group = ContainerCgroup::new("e1");
    let process = workload::Workload::start(&["fan", "1"]);
    group.add(process.pid());
    let exporter = Exporter::start(&[
        "--no-docker",
        "--collection.interval=200ms",
        "--collection.source=bpf",
        "--bounds.event-cgroups=1",
    ]);
    let before = exporter.fresh_scrape();
    // This test runs in the root cgroup, which takes the only place in the map.
    assert!(Command::new("true").status().expect("true runs").success());
    let directory = inside(&group, "a");
    fs::create_dir(&directory).expect("a cgroup can be made");
    fork_in(&directory, 40);
    let lost = exporter.scrape_until("lost events", |metrics| {
        let (lost, _) = unaccounted(metrics);
        (lost >= 83.0).then_some(lost)
    });
    // 41 forks, 1 exec, 42 exits.
    assert_eq!(lost, 84.0);
    let line = exporter.log_line("--bounds.event-cgroups");
    assert!(line.contains("level=warn") && line.contains("pstree_events_lost_total"), "{line}");
    let after = exporter.fresh_scrape();
    assert!(!exporter.log_so_far().iter().any(|line| line.contains("event-cgroups")), "logged once");
    for family in ["pstree_container_processes", "pstree_container_threads"] {
        assert_eq!(before.value(family, &[]), after.value(family, &[]), "{family}");
    }
    drop(process);
}
