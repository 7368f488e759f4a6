//! Both sources give the same snapshot: procfs is read before and after, the kernel's list in between.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use pstree_exporter::collect::config::{Bounds, CollectorConfig, SourceFlag};
use pstree_exporter::collect::pipeline::Pipeline;
use pstree_exporter::model::forest::stats::ForestStats;
use pstree_exporter::model::process::{Membership, ProcessKey, ProcessRecord, ProcessState};
use pstree_exporter::model::snapshot::ContainerState;

use crate::support::Exporter;
use crate::support::workload::{self, Workload};
use crate::testkit::binaries::public_binary;
use crate::testkit::child::KillOnDrop;
use crate::testkit::engine::Engine;

fn pipeline(source: SourceFlag) -> Pipeline {
    let config = CollectorConfig {
        procfs: PathBuf::from("/proc"),
        cgroupfs: PathBuf::from("/sys/fs/cgroup"),
        interval: Duration::from_secs(5),
        source,
        bounds: Bounds::default(),
        usage: false,
        units: false,
        container_name: None,
    };
    Pipeline::new(&config).expect("the source is available")
}

/// Every process with its container.
type Records = BTreeMap<ProcessKey, (Option<String>, ProcessRecord)>;

fn collect(pipeline: &mut Pipeline) -> Records {
    let snapshot = pipeline.collect().expect("a collection");
    let paths: HashMap<Membership, String> = snapshot
        .containers
        .iter()
        .map(|state| (state.membership, state.container.path.to_string()))
        .collect();
    let container = |record: &ProcessRecord| paths.get(&record.membership).cloned();
    snapshot.processes.records.iter().map(|record| (record.key, (container(record), *record))).collect()
}

/// The part of a record that must be equal. Slot numbers differ between pipelines; only procfs adds to a kernel worker's
/// name what it works on; a process that runs may sleep in the next moment; other programs on the host start and end
/// threads, and have another name for a moment when they start a script.
fn comparable(
    (container, record): &(Option<String>, ProcessRecord),
) -> impl PartialEq + std::fmt::Debug + use<> {
    let is_steady = !matches!(
        record.state,
        ProcessState::Running | ProcessState::Sleeping | ProcessState::DiskSleep | ProcessState::Idle
    );
    let is_worker = record.kernel_thread && record.comm.as_bytes().starts_with(b"kworker/");
    (
        container.clone(),
        record.parent_pid,
        container.as_ref().map(|_| record.threads),
        is_steady.then_some(record.state),
        record.kernel_thread,
        record.leader_exited,
        container.is_some() && record.has_terminal,
        (!is_worker && (container.is_some() || record.kernel_thread)).then_some(record.comm),
    )
}

/// Compares every process whose record in procfs is the same before and after. Returns their number.
fn assert_same(before: &Records, between: &Records, after: &Records) -> usize {
    let mut compared = 0;
    for (key, seen) in before {
        let expected = comparable(seen);
        if after.get(key).is_some_and(|after| comparable(after) == expected) {
            let found = between.get(key).unwrap_or_else(|| panic!("the kernel's list lacks {seen:?}"));
            assert_eq!(comparable(found), expected, "{key:?}");
            assert_same_usage(&seen.1, &found.1, &after[key].1);
            compared += 1;
        }
    }
    for key in between.keys() {
        let is_new = key.start_time >= before.keys().map(|key| key.start_time).max().unwrap_or_default();
        assert!(is_new || before.contains_key(key), "only the kernel's list has {:?}", between[key]);
    }
    compared
}

/// CPU time agrees within a tick: procfs rounds user and kernel time down, each on its own.
fn assert_same_usage(before: &ProcessRecord, between: &ProcessRecord, after: &ProcessRecord) {
    let ticks = between.usage.cpu_ticks;
    // While a thread exits, its time can be missing.
    let has_threads = [before, between, after].iter().any(|record| record.threads > 1);
    assert!(
        has_threads || before.usage.cpu_ticks <= ticks && ticks <= after.usage.cpu_ticks + 1,
        "{before:?} {between:?}"
    );
    // A workload does not change its memory between two collections in which it is the same.
    let is_steady = before.usage.resident_pages == after.usage.resident_pages;
    if is_steady && before.comm.as_bytes() == b"workload" && before.membership != Membership::HOST {
        assert_eq!(between.usage.resident_pages, before.usage.resident_pages, "{before:?}");
    }
}

/// Short-lived processes on the host.
fn fork_churn() -> KillOnDrop {
    let storm = format!("while :; do {} once forks 50; done", workload::binary().display());
    KillOnDrop(Command::new("sh").args(["-c", &storm]).spawn().expect("sh runs"))
}

#[test]
fn both_sources_give_the_same_snapshot_during_churn() {
    let engine = Engine::shared();
    engine.run_workload("zombies", &[], &["zombies", "12"]);
    engine.run_workload("leader", &["--init"], &["zombie-leader", "3"]);
    engine.run_workload("threads", &[], &["threads", "25"]);
    engine.run_workload("chain", &["--pid=host"], &["chain", "20"]);
    engine.run_workload("shared", &["--pid=container:zombies"], &["fan", "3"]);
    engine.run_workload("paused", &[], &["fan", "3"]);
    engine.docker(&["pause", "paused"]);
    engine.run("forking", &["--", "/bin/sh", "-c", "while :; do /bin/true; /bin/sleep 0.01 & done"]);
    let hostile = Workload::start(&["name", "29205220310a"]);
    let churn = fork_churn();

    // In this order: the first drops the capabilities afterwards.
    let mut bpf = pipeline(SourceFlag::Bpf);
    let mut proc = pipeline(SourceFlag::Proc);
    let mut compared = 0;
    for round in 0..60 {
        if round % 10 == 0 {
            engine.docker(&["exec", "-d", "chain", "/bin/sleep", "1000"]);
        }
        let before = collect(&mut proc);
        let between = collect(&mut bpf);
        compared += assert_same(&before, &between, &collect(&mut proc));
        let named: Vec<_> = [&before, &between]
            .map(|records| {
                let found = records.iter().find(|(key, _)| key.pid == hostile.pid());
                found.expect("it runs").1.1.comm.as_bytes().to_owned()
            })
            .into();
        assert_eq!(named, [b") R 1\n"; 2]);
    }
    // The containers alone have more than 40 processes.
    assert!(compared > 60 * 40, "only {compared} records were compared");

    drop(churn);
    // If nothing changes, the results are also the same.
    engine.docker(&["rm", "--force", "forking"]);
    let (proc, bpf) = (proc.collect().expect("a collection"), bpf.collect().expect("a collection"));
    assert_eq!(proc.containers.len(), 6);
    assert_eq!(bpf.containers.len(), 6);
    for (proc, bpf) in proc.containers.iter().zip(&bpf.containers) {
        let stats = |state: &ContainerState| {
            // The two see a zombie for the first time at slightly different times.
            let stats = ForestStats { oldest_zombie_since: None, ..state.stats.clone() };
            (state.container.path.clone(), stats, state.foreign_processes)
        };
        assert_eq!(stats(proc), stats(bpf));
    }
}

#[test]
fn foreign_processes_are_found_without_access_to_their_namespace_links() {
    let engine = Engine::shared();
    engine.run_workload("web", &[], &["fan", "2"]);
    let target = engine.pid("web").to_string();
    let nsenter = Command::new("nsenter")
        .args(["--pid", "--target", &target, "/bin/sleep", "1000"])
        .spawn()
        .expect("util-linux is installed");
    let _nsenter = KillOnDrop(nsenter);
    let as_nobody = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all,+bpf,+perfmon",
        "--ambient-caps=-all,+bpf,+perfmon",
        "--bounding-set=-all,+bpf,+perfmon",
    ];
    let mut command = Command::new("setpriv");
    command.args(as_nobody).arg(public_binary());
    command.args(["--no-docker", "--collection.interval=200ms", "--collection.source=bpf"]);
    let exporter = Exporter::spawn(command);
    exporter.scrape_until("the child of nsenter", |metrics| {
        (metrics.sum("pstree_container_namespace_intruders", &[]) == 1.0).then_some(())
    });
}
