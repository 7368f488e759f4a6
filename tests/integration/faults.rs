//! Faults and bad input, tested with the real binary.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::Exporter;
use crate::support::exposition::Exposition;
use crate::support::fixture::{CONTAINER_ID, Fixture, Process, container_cgroup};
use crate::support::workload::Workload;

fn scrape(fixture: &Fixture) -> Exposition {
    fixture.exporter(&["--no-docker"]).scrape()
}

fn skipped(metrics: &Exposition, reason: &str) -> f64 {
    metrics.value("pstree_collection_skipped_processes_total", &[("reason", reason)]).expect("always there")
}

fn succeeded(metrics: &Exposition) -> bool {
    metrics.value("pstree_collector_success", &[("collector", "processes")]) == Some(1.0)
}

#[test]
fn processes_that_exit_between_listing_and_reading_are_counted_as_vanished() {
    let fixture = Fixture::with_container();
    for pid in [11, 12] {
        fixture.member(pid, 10, 210);
    }
    fixture.remove("proc/11/stat");
    fixture.remove("proc/12/cgroup");
    let metrics = scrape(&fixture);
    assert_eq!((skipped(&metrics, "vanished"), succeeded(&metrics)), (2.0, true));
    assert_eq!(metrics.sum("pstree_container_processes", &[]), 1.0);
}

#[test]
fn collections_succeed_while_processes_start_and_exit_all_the_time() {
    let exporter = Exporter::start(&["--no-docker", "--collection.interval=100ms"]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                drop(Workload::start(&["forks", "500"]));
            }
        });
        // Stops the storm even if an assertion fails.
        let _end = OnDrop(|| is_over.store(true, Ordering::Relaxed));
        let mut vanished = 0.0;
        for _ in 0..5 {
            let metrics = exporter.fresh_scrape();
            assert!(succeeded(&metrics));
            assert_eq!(skipped(&metrics, "malformed"), 0.0);
            let now = skipped(&metrics, "vanished");
            assert!(now >= vanished, "{now} after {vanished}");
            vanished = now;
        }
    });
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_denied_process_is_skipped() {
    let fixture = Fixture::with_container();
    fixture.member(11, 10, 210);
    fixture.remove("proc/11/stat");
    // No user can read this file, not even root, to whom the modes of plain files do not apply.
    symlink("/proc/sys/net/ipv4/route/flush", fixture.path("proc/11/stat")).unwrap();
    let metrics = scrape(&fixture);
    assert_eq!((skipped(&metrics, "denied"), succeeded(&metrics)), (1.0, true));
    assert_eq!(metrics.sum("pstree_container_processes", &[]), 1.0);
}

#[test]
fn a_malformed_stat_costs_that_process_only() {
    let fixture = Fixture::with_container();
    let broken: [&[u8]; 8] =
        [b"", b"garbage", b"11 (", b"(a) S 1", b"1 (a)", b"1 )a( S 1", b"\xff\xff\xff", b"11 (a) S 1 1"];
    for (pid, stat) in (11..).zip(broken) {
        fixture.member(pid, 10, 210);
        fixture.write(&format!("proc/{pid}/stat"), stat);
    }
    let metrics = scrape(&fixture);
    assert_eq!((skipped(&metrics, "malformed"), succeeded(&metrics)), (8.0, true));
    assert_eq!(metrics.sum("pstree_container_processes", &[]), 1.0);
}

#[test]
fn hostile_commands_keep_their_parent_and_show_no_control_character() {
    let fixture = Fixture::with_container();
    let names: [&[u8]; 8] =
        [b") R 1 1", b"a\nb", b"\xff", b"", b"\"}\\", b"\x1b[31mred", "\u{202e}bidi".as_bytes(), b"\x9b\x7f"];
    for (pid, comm) in (11..).zip(names) {
        fixture.process(&Process {
            pid,
            parent: 10,
            comm,
            start: 210,
            cgroup: &container_cgroup(),
            ..Process::default()
        });
    }
    let metrics = scrape(&fixture);
    assert_eq!(metrics.value("pstree_container_tree_max_children", &[]), Some(8.0));
    assert_eq!(metrics.sum("pstree_container_root_processes", &[]), 1.0);
    let is_control = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!metrics.text.contains(is_control));
}

#[test]
fn numbers_at_the_integer_limits() {
    let fixture = Fixture::with_container();
    for pid in [11, u32::MAX] {
        fixture.process(&Process {
            pid,
            parent: u32::MAX - 1,
            threads: u32::MAX,
            start: u64::MAX,
            cgroup: &container_cgroup(),
            ..Process::default()
        });
    }
    let metrics = scrape(&fixture);
    assert_eq!(metrics.sum("pstree_container_processes", &[]), 3.0);
    assert_eq!(metrics.sum("pstree_container_threads", &[]), 1.0 + 2.0 * f64::from(u32::MAX));
}

#[test]
fn a_reused_pid_is_a_new_process() {
    let fixture = Fixture::with_container();
    fixture.member(11, 10, 210);
    fixture.member(12, 11, 220);
    let exporter = fixture.exporter(&["--no-docker", "--collection.interval=100ms"]);
    let starts = |metrics: &Exposition| metrics.sum("pstree_container_observed_starts_total", &[]);
    let before = exporter.scrape();
    assert_eq!(before.value("pstree_container_tree_depth", &[]), Some(3.0));
    // Pid 11 is reused by a younger process, so its former child 12 is now older than its "parent".
    fixture.member(11, 10, 300);
    let after = exporter.scrape_until("the younger process", |metrics| {
        (metrics.value("pstree_container_tree_depth", &[]) == Some(2.0)).then(|| metrics.clone())
    });
    assert!(starts(&after) >= starts(&before) + 1.0, "{} after {}", starts(&after), starts(&before));
    assert_eq!(after.value("pstree_container_root_processes", &[("kind", "adopted")]), Some(1.0));
}

#[test]
fn cycles_of_parents_end() {
    let fixture = Fixture::with_container();
    fixture.member(11, 12, 210);
    fixture.member(12, 13, 210);
    fixture.member(13, 11, 210);
    fixture.member(14, 14, 210);
    let metrics = scrape(&fixture);
    assert_eq!(metrics.sum("pstree_container_processes", &[]), 5.0);
    assert_eq!(metrics.value("pstree_container_tree_depth", &[]), Some(3.0));
}

#[test]
fn a_child_without_its_parent_is_a_root() {
    let fixture = Fixture::with_container();
    fixture.member(11, 4_000, 210);
    let metrics = scrape(&fixture);
    assert_eq!(metrics.sum("pstree_container_root_processes", &[]), 2.0);
}

const V1_ROOT: &str = "8:pids:/\n1:name=systemd:/\n";

/// A pure cgroup v1 machine with one container, which has one process in its own pid namespace, and its shim.
fn v1_machine() -> (Fixture, String) {
    let fixture = Fixture::new();
    let cgroup = format!("8:pids:/docker/{CONTAINER_ID}\n1:name=systemd:/docker/{CONTAINER_ID}\n");
    fixture.process(&Process { cgroup: V1_ROOT, ..Process::default() });
    fixture.process(&Process {
        pid: 5,
        parent: 1,
        comm: b"shim",
        start: 150,
        cgroup: V1_ROOT,
        ..Process::default()
    });
    let init = Process {
        pid: 10,
        parent: 5,
        start: 200,
        cgroup: &cgroup,
        inner_pids: "10\t1",
        ..Process::default()
    };
    fixture.process(&init);
    fixture.namespace(1, 4_026_531_836).namespace(10, 4_026_532_500);
    (fixture, cgroup)
}

/// On cgroup v1, every line of a zombie's cgroup file has the path `/`.
fn hidden_zombie(fixture: &Fixture, pid: u32, parent: u32) {
    let zombie = Process { pid, parent, state: 'Z', start: 300, cgroup: V1_ROOT, ..Process::default() };
    fixture.process(&zombie);
}

#[test]
fn a_zombie_without_a_cgroup_is_resolved_by_its_pid_namespace() {
    let (fixture, _) = v1_machine();
    // Children of the shim, as with `docker exec`: one is in the container's pid namespace, the other is not.
    hidden_zombie(&fixture, 20, 5);
    hidden_zombie(&fixture, 21, 5);
    fixture.namespace(20, 4_026_532_500).namespace(21, 4_026_531_836);
    let metrics = scrape(&fixture);
    assert_eq!(metrics.sum("pstree_container_zombie_processes", &[]), 1.0);
    assert_eq!(metrics.value("pstree_host_zombie_processes", &[]), Some(1.0));
}

#[test]
fn an_exited_leader_without_a_cgroup_stays_in_its_container() {
    let (fixture, _) = v1_machine();
    let leader = Process {
        pid: 20,
        parent: 5,
        state: 'Z',
        threads: 3,
        start: 300,
        cgroup: V1_ROOT,
        ..Process::default()
    };
    fixture.process(&leader);
    fixture.namespace(20, 4_026_532_500);
    let metrics = scrape(&fixture);
    assert_eq!(metrics.sum("pstree_container_processes", &[]), 2.0);
    assert_eq!(metrics.sum("pstree_container_threads", &[]), 4.0);
    assert_eq!(metrics.sum("pstree_container_zombie_processes", &[]), 0.0);
}

#[test]
fn a_zombie_without_a_cgroup_stays_in_the_container_that_it_lived_in() {
    let (fixture, cgroup) = v1_machine();
    let alive = Process { pid: 20, parent: 5, start: 300, cgroup: &cgroup, ..Process::default() };
    fixture.process(&alive);
    let exporter = fixture.exporter(&["--no-docker", "--collection.interval=100ms"]);
    exporter.scrape_until("it lives", |metrics| {
        (metrics.sum("pstree_container_processes", &[]) == 2.0).then_some(())
    });
    hidden_zombie(&fixture, 20, 5);
    let metrics = exporter.scrape_until("it is dead", |metrics| {
        (metrics.sum("pstree_container_zombie_processes", &[]) == 1.0).then(|| metrics.clone())
    });
    assert_eq!(metrics.value("pstree_host_zombie_processes", &[]), Some(0.0));
    assert_eq!(metrics.sum("pstree_container_processes", &[]), 2.0);
}

#[test]
fn commands_that_change_all_the_time_cost_a_limited_number_of_series() {
    let fixture = Fixture::with_container();
    let exporter =
        fixture.exporter(&["--no-docker", "--collection.interval=100ms", "--bounds.new-nodes-per-hour=5"]);
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..12 {
        let comm = format!("round-{round}");
        fixture.process(&Process {
            pid: 11,
            parent: 10,
            comm: comm.as_bytes(),
            start: 210,
            cgroup: &container_cgroup(),
            ..Process::default()
        });
        let metrics = exporter.fresh_scrape();
        assert_eq!(metrics.sum("pstree_container_tree_node_processes", &[]), 2.0);
        seen.extend(
            metrics
                .select("pstree_container_tree_node_processes", &[])
                .map(|(labels, _)| labels["path"].clone()),
        );
    }
    // `worker`, one node for each of four rounds, and `other`.
    assert_eq!(seen.len(), 6, "{seen:?}");
    assert!(exporter.scrape().value("pstree_tree_nodes_folded_total", &[]) >= Some(8.0));
}

#[test]
fn containers_above_the_limit_are_summed_and_their_counter_never_falls() {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    for pid in 10..20 {
        let cgroup = format!("0::/docker/{pid:064}\n");
        fixture.process(&Process {
            pid,
            parent: 1,
            comm: b"worker",
            start: 200,
            cgroup: &cgroup,
            ..Process::default()
        });
    }
    let exporter = fixture.exporter(&["--no-docker", "--collection.interval=100ms", "--bounds.containers=4"]);
    let metrics = exporter.scrape();
    let other = [("id", "other"), ("name", "other")];
    assert_eq!(metrics.select("pstree_container_processes", &[]).count(), 5);
    assert_eq!(metrics.value("pstree_container_processes", &other), Some(6.0));
    assert_eq!(metrics.sum("pstree_container_tree_node_processes", &other), 6.0);
    assert_eq!(metrics.value("pstree_containers", &[("runtime", "docker")]), Some(10.0));
    let starts = |metrics: &Exposition| metrics.value("pstree_container_observed_starts_total", &other);
    assert_eq!(starts(&metrics), Some(0.0), "what the first collection finds has not just started");
    fixture.process(&Process {
        pid: 30,
        parent: 19,
        comm: b"worker",
        start: 300,
        cgroup: &format!("0::/docker/{:064}\n", 19),
        ..Process::default()
    });
    let before =
        exporter.scrape_until("a start is counted", |metrics| starts(metrics).filter(|&it| it >= 1.0));
    for pid in 15..18 {
        fixture.remove(&format!("proc/{pid}"));
    }
    let after = exporter.scrape_until("they are gone", |metrics| {
        (metrics.value("pstree_container_processes", &other) == Some(4.0)).then(|| metrics.clone())
    });
    assert!(starts(&after) >= Some(before));
}
