//! The numbers of one container's forest: processes, threads, states, roots, depth, zombies.

use rustc_hash::FxHashMap;

use super::parents_and_depths::Forest;
use super::root_kinds::{RootKind, RootKinds};
use crate::model::comm_interner::{CommId, CommInterner};
use crate::model::process::{ProcessRecord, ProcessState};
use crate::model::process_table::index_of_pid;

/// One bucket for each depth from 1 to 15, and one for all greater depths.
pub const DEPTH_BUCKETS: usize = 16;

/// Roots of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    pub count: u64,
    /// Start time of the oldest one in clock ticks since boot.
    pub oldest_start_time: Option<u64>,
}

impl Roots {
    fn add(&mut self, record: &ProcessRecord) {
        self.merge(Self { count: 1, oldest_start_time: Some(record.key.start_time) });
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.oldest_start_time = self.oldest_start_time.into_iter().chain(other.oldest_start_time).min();
    }
}

/// The numbers of one container, or of the host, in one collection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ForestStats {
    pub processes: u64,
    pub threads: u64,
    /// In the order of [`ProcessState::ALL`]; sums to `processes`.
    pub by_state: [u64; ProcessState::ALL.len()],
    /// In the order of [`RootKind::ALL`].
    pub roots: [Roots; RootKind::ALL.len()],
    /// The roots of kind `exec` that have a controlling terminal.
    pub terminal_sessions: Roots,
    pub depth: u32,
    pub max_children: u32,
    /// Sums to `processes`.
    pub by_depth: [u64; DEPTH_BUCKETS],
    /// True zombies by the command of the parent that does not reap them; `?` if the parent is unknown.
    pub zombies_by_parent: Vec<(Box<str>, u64)>,
    /// Unix time in seconds when the oldest zombie was first seen as a zombie.
    pub oldest_zombie_since: Option<f64>,
}

impl ForestStats {
    /// Number of true zombies.
    #[must_use]
    pub fn zombies(&self) -> u64 {
        self.by_state[ProcessState::Zombie as usize]
    }

    /// The kinds of roots with their numbers, such as `1 init`, `2 exec`. Kinds without roots are omitted.
    #[must_use]
    pub fn roots_by_kind(&self) -> Vec<String> {
        let kinds = RootKind::ALL.into_iter().zip(&self.roots).filter(|(_, roots)| roots.count > 0);
        kinds.map(|(kind, roots)| format!("{} {}", roots.count, kind.label())).collect()
    }

    fn add(&mut self, record: &ProcessRecord, depth: u32, children: u32, root: Option<RootKind>) {
        self.processes += 1;
        self.threads += u64::from(record.threads);
        self.by_state[record.state as usize] += 1;
        self.depth = self.depth.max(depth);
        self.max_children = self.max_children.max(children);
        self.by_depth[(depth as usize).min(DEPTH_BUCKETS) - 1] += 1;
        if let Some(kind) = root {
            self.roots[kind as usize].add(record);
            if kind == RootKind::Exec && record.has_terminal {
                self.terminal_sessions.add(record);
            }
        }
    }

    /// Adds the numbers of another container. Containers above the limit are exported as one sum.
    pub fn merge(&mut self, other: &Self) {
        self.processes += other.processes;
        self.threads += other.threads;
        let pairs = self.by_state.iter_mut().zip(&other.by_state);
        pairs.chain(self.by_depth.iter_mut().zip(&other.by_depth)).for_each(|(sum, more)| *sum += more);
        for (roots, &more) in self.roots.iter_mut().zip(&other.roots) {
            roots.merge(more);
        }
        self.terminal_sessions.merge(other.terminal_sessions);
        self.depth = self.depth.max(other.depth);
        self.max_children = self.max_children.max(other.max_children);
        for (parent, count) in &other.zombies_by_parent {
            match self.zombies_by_parent.iter_mut().find(|(known, _)| known == parent) {
                Some((_, sum)) => *sum += count,
                None => self.zombies_by_parent.push((parent.clone(), *count)),
            }
        }
        self.oldest_zombie_since =
            self.oldest_zombie_since.into_iter().chain(other.oldest_zombie_since).reduce(f64::min);
    }
}

/// The stats of the host and of all containers. Reused for every collection.
#[derive(Debug, Default)]
pub struct ForestStatsBySlot {
    /// Includes systemd units.
    pub host: ForestStats,
    /// Kernel threads among the processes of the host.
    pub host_kernel_threads: u64,
    /// By container slot; unused slots have the default value.
    pub containers: Vec<ForestStats>,
    zombies_by_parent: FxHashMap<(usize, CommId), u64>,
}

impl ForestStatsBySlot {
    /// Computes the stats of all records. `host_forest` is the forest of the whole host, including systemd units. `slots`
    /// is the number of container slots. `zombie_since` returns, by record index, the Unix time in seconds when a process
    /// was first seen as a zombie.
    pub fn rebuild(
        &mut self,
        records: &[ProcessRecord],
        (forest, host_forest): (&Forest, &Forest),
        roots: &RootKinds,
        slots: usize,
        comms: &mut CommInterner,
        mut zombie_since: impl FnMut(usize) -> f64,
    ) {
        self.host = ForestStats::default();
        self.host_kernel_threads = 0;
        self.containers.clear();
        self.containers.resize_with(slots, ForestStats::default);
        self.zombies_by_parent.clear();
        for (index, record) in records.iter().enumerate() {
            let slot = record.membership.slot();
            if record.membership.is_on_host() {
                self.host.add(record, host_forest.depth(index), host_forest.child_count(index), None);
            }
            if let Some(slot) = slot {
                let (depth, children) = (forest.depth(index), forest.child_count(index));
                self.containers[slot].add(record, depth, children, roots.kind(index));
            }
            self.host_kernel_threads += u64::from(record.kernel_thread);
            if record.state == ProcessState::Zombie
                && let Some(slot) = slot
            {
                let since = zombie_since(index);
                let stats = &mut self.containers[slot];
                stats.oldest_zombie_since =
                    Some(stats.oldest_zombie_since.map_or(since, |old| old.min(since)));
                let parent = match index_of_pid(records, record.parent_pid) {
                    Some(parent) => comms.id_at(parent),
                    None => comms.intern(Default::default()),
                };
                *self.zombies_by_parent.entry((slot, parent)).or_default() += 1;
            }
        }
        for (&(slot, parent), &count) in &self.zombies_by_parent {
            self.containers[slot].zombies_by_parent.push((comms.text(parent).into(), count));
        }
        for stats in &mut self.containers {
            stats.zombies_by_parent.sort_unstable();
        }
    }
}
