//! Invariants of every forest, including inconsistent ones, checked against a simple reference implementation.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use proptest::prelude::*;
use pstree_exporter::model::comm_interner::CommInterner;
use pstree_exporter::model::container_table::{ContainerTable, MonotonicCounter};
use pstree_exporter::model::forest::merged_nodes::{ExportedNode, MergedNodes};
use pstree_exporter::model::forest::parents_and_depths::Forest;
use pstree_exporter::model::forest::root_kinds::{RootKind, RootKinds};
use pstree_exporter::model::forest::stats::{ForestStats, ForestStatsBySlot};
use pstree_exporter::model::process::{
    Comm, Membership, NsPids, ProcessKey, ProcessRecord, ProcessState, SkipReason,
};
use pstree_exporter::model::text::{MAX_LABEL_CHARS, label_value};
use pstree_exporter::model::usage::Usage;
use pstree_exporter::observe::bpf::task_record;
use pstree_exporter::observe::procfs::parse;
use pstree_exporter::resolve::cgroup_file::parse_cgroup_file;
use pstree_exporter::resolve::cgroup_path::attribute;
use pstree_exporter::resolve::process_cache::{CachedProcess, ProcessCache};
use pstree_exporter::resolve::process_files::ProcessFiles;
use pstree_exporter::resolve::resolver::ContainerResolver;
use pstree_exporter::serve::negotiation;

/// A generated process; `container` 0 is the host.
#[derive(Clone, Debug)]
struct Made {
    pid: u32,
    parent: u32,
    start: u64,
    container: u8,
    comm: u8,
    zombie: bool,
}

/// Uses few pids and start times, so that cycles, missing parents, reused pids and duplicate pids are frequent.
fn made() -> impl Strategy<Value = Made> {
    (1..40_u32, 0..45_u32, 0..4_u64, 0..4_u8, 0..6_u8, prop::bool::weighted(0.2)).prop_map(
        |(pid, parent, start, container, comm, zombie)| Made { pid, parent, start, container, comm, zombie },
    )
}

fn record(made: &Made) -> ProcessRecord {
    ProcessRecord {
        key: ProcessKey { start_time: made.start, pid: made.pid },
        parent_pid: made.parent,
        threads: u32::from(!made.zombie),
        state: if made.zombie { ProcessState::Zombie } else { ProcessState::Sleeping },
        kernel_thread: false,
        comm: Comm::new(&[b'a' + made.comm]),
        membership: Membership::HOST,
        leader_exited: false,
        has_terminal: false,
        ns_pid: 0,
        usage: Usage::default(),
    }
}

/// Cgroup files by pid. The id of each container is one digit repeated 64 times.
struct CgroupOwners(HashMap<u32, Vec<u8>>);

impl ProcessFiles for CgroupOwners {
    fn cgroup(&mut self, pid: u32) -> Result<&[u8], SkipReason> {
        self.0.get(&pid).map(Vec::as_slice).ok_or(SkipReason::Vanished)
    }

    fn ns_pids(&mut self, _: u32) -> Option<NsPids> {
        None
    }

    fn pid_namespace(&mut self, _: u32) -> Result<u64, SkipReason> {
        Err(SkipReason::Denied)
    }
}

fn cgroups(processes: &[Made]) -> CgroupOwners {
    let path = |container: u8| match container {
        0 => b"0::/user.slice\n".to_vec(),
        digit => format!("0::/docker/{}\n", digit.to_string().repeat(64)).into_bytes(),
    };
    CgroupOwners(processes.iter().map(|made| (made.pid, path(made.container))).collect())
}

#[derive(Default)]
struct Engine {
    resolver: Option<ContainerResolver>,
    containers: Option<ContainerTable>,
    records: Vec<ProcessRecord>,
    forest: Forest,
    roots: RootKinds,
    comms: CommInterner,
    nodes: MergedNodes,
    stats_by_slot: ForestStatsBySlot,
}

impl Engine {
    fn collect(&mut self, processes: &[Made]) {
        let mut files = cgroups(processes);
        let resolver =
            self.resolver.get_or_insert_with(|| ContainerResolver::new(None, Duration::from_secs(5)));
        let containers = self.containers.get_or_insert_with(|| ContainerTable::new(100));
        let records = &mut self.records;
        records.clear();
        containers.begin(Duration::from_secs(1));
        resolver.begin(Duration::from_secs(5));
        for made in processes {
            resolver.resolve(record(made), None, &mut files, containers, records).unwrap();
        }
        resolver.finish(&mut files, containers, records);
        self.comms.intern_all(records, &[], |_| None);
        self.forest.rebuild(records);
        self.roots.classify(records, &self.forest, containers.slots(), |index| {
            resolver.origin(index, records[index].key.pid, &mut files)
        });
        self.nodes.rebuild((records, &[]), &self.forest, containers.slots(), &self.comms);
        let slots = containers.slots();
        self.stats_by_slot.rebuild(
            records,
            (&self.forest, &self.forest),
            &self.roots,
            slots,
            &mut self.comms,
            |_| 1.0,
        );
    }

    /// The stats by cgroup path.
    fn stats_by_slot(&self) -> BTreeMap<String, ForestStats> {
        let containers = self.containers.iter().flat_map(ContainerTable::present);
        containers
            .map(|(slot, entry)| {
                (entry.container.path.to_string(), self.stats_by_slot.containers[slot].clone())
            })
            .collect()
    }
}

/// The first process of each pid.
fn one_per_pid(processes: &[Made]) -> Vec<Made> {
    let mut by_pid: BTreeMap<u32, Made> = BTreeMap::new();
    for made in processes {
        by_pid.entry(made.pid).or_insert_with(|| made.clone());
    }
    by_pid.into_values().collect()
}

/// Depths by pid: first the processes below roots, then all others, the oldest first. Repeatedly walks up to the root.
fn naive_depths(processes: &[Made]) -> BTreeMap<u32, u32> {
    let parent_of = |child: &Made| {
        processes.iter().find(|parent| {
            parent.pid == child.parent
                && parent.pid != child.pid
                && parent.container == child.container
                && parent.start <= child.start
        })
    };
    let mut roots: BTreeSet<u32> =
        processes.iter().filter(|made| parent_of(made).is_none()).map(|made| made.pid).collect();
    let depth_of = |made: &Made, roots: &BTreeSet<u32>| {
        let mut depth = 1;
        let mut at = made;
        while !roots.contains(&at.pid) {
            at = parent_of(at)?;
            depth += 1;
            if depth > processes.len() {
                return None;
            }
        }
        Some(depth as u32)
    };
    let mut by_age: Vec<&Made> = processes.iter().collect();
    by_age.sort_by_key(|made| (made.start, made.pid));
    for made in by_age {
        if depth_of(made, &roots).is_none() {
            roots.insert(made.pid);
        }
    }
    processes
        .iter()
        .map(|made| (made.pid, depth_of(made, &roots).expect("every process has a root")))
        .collect()
}

fn shown(
    engine: &mut Engine,
    slot: usize,
    cap: usize,
    admit: impl FnMut(u64) -> bool,
) -> (Vec<ExportedNode>, u64) {
    let mut out = Vec::new();
    let folded = engine.nodes.select(slot, cap, &engine.comms, admit, &mut out);
    (out, folded)
}

proptest! {
    #[test]
    fn a_naive_reference_gives_the_same_forest(processes in prop::collection::vec(made(), 1..60)) {
        let processes = one_per_pid(&processes);
        let mut engine = Engine::default();
        engine.collect(&processes);
        let depths = naive_depths(&processes);
        for (index, record) in engine.records.iter().enumerate() {
            prop_assert_eq!(engine.forest.depth(index), depths[&record.key.pid], "pid {}", record.key.pid);
        }
    }

    #[test]
    fn sums_match_and_depth_is_bounded(processes in prop::collection::vec(made(), 1..60)) {
        let processes = one_per_pid(&processes);
        let mut engine = Engine::default();
        engine.collect(&processes);
        let stats_by_slot: Vec<ForestStats> = engine.stats_by_slot.containers.iter().chain([&engine.stats_by_slot.host]).cloned().collect();
        prop_assert_eq!(stats_by_slot.iter().map(|stats| stats.processes).sum::<u64>(), processes.len() as u64);
        for (slot, stats) in stats_by_slot.iter().enumerate() {
            prop_assert_eq!(stats.by_state.iter().sum::<u64>(), stats.processes);
            prop_assert_eq!(stats.by_depth.iter().sum::<u64>(), stats.processes);
            prop_assert!(u64::from(stats.depth) <= stats.processes);
            prop_assert_eq!(stats.depth == 0, stats.processes == 0);
            if slot + 1 < stats_by_slot.len() {
                let zombies: u64 = stats.zombies_by_parent.iter().map(|(_, count)| count).sum();
                prop_assert_eq!(zombies, stats.zombies());
                prop_assert_eq!(stats.roots.iter().map(|roots| roots.count).sum::<u64>(), stats.by_depth[0]);
                prop_assert_eq!(stats.roots[RootKind::Init as usize].count, u64::from(stats.processes > 0));
            }
        }
    }

    #[test]
    fn the_order_of_records_does_not_matter(
        (processes, shuffled) in prop::collection::vec(made(), 1..60)
            .prop_map(|processes| one_per_pid(&processes))
            .prop_flat_map(|processes| (Just(processes.clone()), Just(processes).prop_shuffle())),
    ) {
        let (mut one, mut other) = (Engine::default(), Engine::default());
        one.collect(&processes);
        other.collect(&shuffled);
        prop_assert_eq!(one.stats_by_slot(), other.stats_by_slot());
        prop_assert_eq!(&one.stats_by_slot.host, &other.stats_by_slot.host);
        for (path, slot) in slots(&one) {
            let other_slot = slots(&other)[&path];
            prop_assert_eq!(shown(&mut one, slot, 5, |_| true), shown(&mut other, other_slot, 5, |_| true));
        }
    }

    #[test]
    fn duplicate_pids_keep_the_youngest_record(processes in prop::collection::vec(made(), 1..60)) {
        let mut records: Vec<ProcessRecord> = processes.iter().map(record).collect();
        let youngest: BTreeMap<u32, ProcessRecord> = records.iter().fold(BTreeMap::new(), |mut by_pid, record| {
            let kept = by_pid.entry(record.key.pid).or_insert(*record);
            *kept = (*kept).max(*record);
            by_pid
        });
        let mut cache = ProcessCache::default();
        records.iter().for_each(|_| cache.push(CachedProcess::new()));
        cache.sort(&mut records);
        // Sorted by pid, as in the map.
        prop_assert_eq!(records, youngest.into_values().collect::<Vec<_>>());
    }

    #[test]
    fn exported_nodes_are_limited_have_their_parents_and_sum_to_all_processes(
        processes in prop::collection::vec(made(), 1..80),
        cap in 1..12_usize,
        refused in prop::collection::vec(any::<bool>(), 80),
    ) {
        let processes = one_per_pid(&processes);
        let mut engine = Engine::default();
        engine.collect(&processes);
        for (_, slot) in slots(&engine) {
            let all = engine.nodes.count(slot);
            let mut refused = refused.iter();
            let (nodes, folded) = shown(&mut engine, slot, cap, |_| !*refused.next().unwrap_or(&false));
            prop_assert!(nodes.len() <= cap.max(1), "{} nodes of {} with a cap of {}", nodes.len(), all, cap);
            prop_assert!(folded <= all as u64);
            let stats = &engine.stats_by_slot.containers[slot];
            prop_assert_eq!(nodes.iter().map(|node| node.processes).sum::<u64>(), stats.processes);
            prop_assert_eq!(nodes.iter().map(|node| node.zombies).sum::<u64>(), stats.zombies());
            let paths: BTreeSet<&str> = nodes.iter().map(|node| node.path.as_str()).collect();
            prop_assert_eq!(paths.len(), nodes.len(), "a path twice");
            for node in &nodes {
                prop_assert!(node.parent().is_empty() || paths.contains(node.parent()));
                prop_assert_eq!(node.path.split(';').count(), node.depth as usize);
                prop_assert_eq!(node.path.rsplit(';').next().unwrap(), node.comm());
                prop_assert!(node.path.chars().count() <= MAX_LABEL_CHARS);
            }
        }
    }

    #[test]
    fn a_counter_of_the_kernel_never_falls(readings in prop::collection::vec(0..5_u64, 1..30)) {
        let mut counter = MonotonicCounter::default();
        let sums: Vec<u64> = readings.iter().map(|&reading| counter.update(reading)).collect();
        prop_assert!(sums.is_sorted(), "{:?} gave {:?}", readings, sums);
    }

    #[test]
    fn parsers_take_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), text in any::<String>()) {
        let _ = parse::parse_stat(1, &bytes);
        let _ = parse::parse_state(&bytes);
        let _ = task_record::parse_process(&bytes);
        let _ = parse::parse_ns_pids(&bytes);
        let _ = parse::parse_namespace_link(&bytes);
        let _ = parse::parse_keyed(&bytes, b"max");
        let _ = parse_cgroup_file(&bytes);
        let _ = attribute(&text);
        let _ = negotiation::format(&text);
        let _ = negotiation::accepts_gzip(&text);
        let label = label_value(&text);
        prop_assert!(label.chars().count() <= MAX_LABEL_CHARS && !label.chars().any(char::is_control));
    }

    #[test]
    fn a_stat_line_survives_any_command(
        comm in prop::collection::vec(any::<u8>(), 0..15), parent in any::<u32>(), start in any::<u64>(),
    ) {
        let mut line = b"7 (".to_vec();
        line.extend_from_slice(&comm);
        line.extend_from_slice(format!(") S {parent} 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0 0\n").as_bytes());
        let stat = parse::parse_stat(7, &line).expect("a whole line");
        prop_assert_eq!(stat.comm.as_bytes(), &comm[..]);
        prop_assert_eq!((stat.parent_pid, stat.key.start_time), (parent, start));
    }
}

fn slots(engine: &Engine) -> BTreeMap<String, usize> {
    let containers = engine.containers.iter().flat_map(ContainerTable::present);
    containers.map(|(slot, entry)| (entry.container.path.to_string(), slot)).collect()
}

#[test]
fn a_chain_of_5000_processes_is_measured_without_recursion() {
    let records: Vec<ProcessRecord> = (1..=5_000)
        .map(|pid| record(&Made { pid, parent: pid - 1, start: 7, container: 0, comm: 0, zombie: false }))
        .collect();
    let mut forest = Forest::default();
    forest.rebuild(&records);
    let deepest = (0..records.len()).map(|index| forest.depth(index)).max();
    assert_eq!(deepest, Some(5_000));
}
