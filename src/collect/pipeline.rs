//! One collection, from the walk to the snapshot. Owns all state that is kept between collections.
//!
//! The stages, in this order:
//!
//! | stage | from | to |
//! |---|---|---|
//! | walk | `/proc` or BPF | records, each with its container; for trees, with users |
//! | prune | records of containers above their pids limit | those that have not exited |
//! | link | records | forest, root kinds, commands |
//! | sum | forest | stats and merged nodes of each container |
//! | events | the kernel's counters | forks, execs, exits of each container and command |
//! | export choice | containers, nodes | those within the limits; the others as `other` |
//! | pids | cgroupfs | tasks, limits, frozen; tasks and limits of pods |
//! | foreign | pid namespaces | processes in the pid namespace of a container, not in its cgroup |
//! | starts | new members | estimated number and rate of starts |
//! | snapshot | all of these | an immutable [`Snapshot`] |

mod container_states;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustc_hash::FxHashMap;
use tracing::warn;

use container_states::OverflowCounters;

use super::config::{Bounds, CollectorConfig};
use super::double_buffer::DoubleBuffer;
use super::foreign_processes;
use super::kernel_events::KernelEvents;
use super::prune_exited::prune_exited;
use super::selection::{CandidateFiles, Selection};
use super::source_selection::{Reason, SourceSelection, V1_ONLY, select_source};
use crate::model::cgroup_layout::CgroupPaths;
use crate::model::collection::{CollectionStatus, CollectorRun};
use crate::model::comm_interner::CommInterner;
use crate::model::container::Runtime;
use crate::model::container_table::ContainerTable;
use crate::model::forest::merged_nodes::MergedNodes;
use crate::model::forest::stats::ForestStatsBySlot;
use crate::model::pod::PodState;
use crate::model::process_table::ProcessTable;
use crate::model::snapshot::{ContainerNumbers, ContainerState, Snapshot};
use crate::model::start_estimate::MemberPids;
use crate::observe::cgroupfs::pids::PidsReader;
use crate::observe::procfs::start_clock::StartClock;
use crate::observe::procfs::system::System;
use crate::observe::procfs::walk::ProcFiles;
use crate::observe::source::{Source, SourceError};
use crate::resolve::cgroup_owners::CgroupOwners;
use crate::resolve::resolver::ContainerResolver;

/// The stages and their state.
pub struct Pipeline {
    source: Source,
    reason: Reason,
    events: Option<KernelEvents>,
    system: System,
    start_clock: StartClock,
    /// Unless a relative path was seen.
    cgroup_paths: CgroupPaths,
    pids: PidsReader,
    cgroupfs: PathBuf,
    bounds: Bounds,
    /// Whether CPU and memory are exported.
    exports_usage: bool,
    started: Instant,
    /// Start of the last collection.
    last_begun: Option<Instant>,
    /// Start of the last successful collection.
    last_success: Option<Begun>,

    resolver: ContainerResolver,
    containers: ContainerTable,
    comms: CommInterner,
    nodes: MergedNodes,
    stats: ForestStatsBySlot,
    /// By container slot, for the estimate of starts.
    member_pids: Vec<MemberPids>,
    /// The table that is being filled, and the tables that readers use.
    table: ProcessTable,
    tables: DoubleBuffer,

    overflow: OverflowCounters,
    /// All runtimes seen since the start.
    runtimes: BTreeMap<Runtime, u64>,
    status: CollectionStatus,
}

/// The start of a collection on each clock.
#[derive(Clone, Copy)]
struct Begun {
    at: Instant,
    /// Monotonic time since the pipeline was created.
    monotonic: Duration,
    /// Unix time in seconds.
    unix: f64,
    /// Clock ticks since boot.
    ticks: Option<u64>,
}

impl Pipeline {
    /// Opens the source and the cgroup file systems.
    ///
    /// # Errors
    /// If there is no procfs at the path, if it shows no process, or if the selected source is not possible.
    pub fn new(config: &CollectorConfig) -> Result<Self, SourceError> {
        let system = System::new(&config.procfs);
        let own_container = system.own_container(config.container_name.as_deref());
        let SourceSelection { mut source, events, reason } = select_source(config, &system)?;
        let cgroup_paths = match (source.files().namespace_root(), system.has_own_cgroup_namespace()) {
            (Some(_), _) => CgroupPaths::Resolved,
            (None, true) => CgroupPaths::Relative,
            (None, false) => CgroupPaths::Host,
        };
        Ok(Self {
            source,
            reason,
            events,
            system,
            start_clock: StartClock::new(&config.procfs),
            cgroup_paths,
            pids: PidsReader::find(&config.cgroupfs),
            cgroupfs: config.cgroupfs.clone(),
            bounds: config.bounds,
            exports_usage: config.usage,
            started: Instant::now(),
            last_begun: None,
            last_success: None,
            resolver: ContainerResolver::new(own_container, config.interval).with_units(config.units),
            containers: ContainerTable::new(config.bounds.new_nodes_per_hour),
            comms: CommInterner::default(),
            nodes: MergedNodes::default(),
            stats: ForestStatsBySlot::default(),
            member_pids: Vec::new(),
            table: ProcessTable::default(),
            tables: DoubleBuffer::default(),
            overflow: OverflowCounters::default(),
            runtimes: BTreeMap::new(),
            status: CollectionStatus::default(),
        })
    }

    /// Runs one collection.
    ///
    /// # Errors
    /// If the whole walk fails. [`Self::status`] then reports the failure; earlier snapshots stay valid.
    pub fn collect(&mut self) -> Result<Arc<Snapshot>, SourceError> {
        self.run(None)
    }

    /// Runs one collection for trees, with the users of processes: of the containers of the processes `inside`, or of
    /// all containers.
    ///
    /// # Errors
    /// As [`Self::collect`].
    pub fn collect_for_trees(
        &mut self,
        inside: Option<&[u32]>,
        with_host: bool,
    ) -> Result<Arc<Snapshot>, SourceError> {
        let mut selection = match inside.filter(|_| !self.resolver.is_inside()) {
            Some(pids) => Selection::around(pids, self.source.files(), &self.cgroupfs),
            None => Selection::default(),
        };
        selection.with_host = with_host;
        self.run(Some(&selection))
    }

    /// Time since this pipeline was created.
    #[must_use]
    pub fn monotonic(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.started)
    }

    /// The files of single processes.
    pub fn files(&mut self) -> &mut ProcFiles {
        self.source.files()
    }

    /// Why this source was chosen.
    #[must_use]
    pub fn source_reason(&self) -> &Reason {
        &self.reason
    }

    /// Whether the kernel counts forks, execs and exits.
    #[must_use]
    pub fn counts_events(&self) -> bool {
        self.events.is_some()
    }

    /// Whether a pids controller can be read.
    #[must_use]
    pub fn reads_pids(&self) -> bool {
        self.pids.is_available()
    }

    /// Keeps up to `max` control files of cgroups open between collections.
    pub fn keep_control_files_open(&mut self, max: usize) {
        self.pids.keep_open(max);
    }

    /// The status of the collections so far.
    #[must_use]
    pub fn status(&self) -> CollectionStatus {
        CollectionStatus {
            source: if self.source.is_bpf() { "bpf" } else { "proc" },
            source_reason: self.reason.label(),
            cgroup_layout: self.resolver.cgroup_layout(),
            cgroup_paths: match self.resolver.has_relative_cgroup_paths() {
                true => CgroupPaths::Relative,
                false => self.cgroup_paths,
            },
            has_relative_cgroup_paths: self.resolver.has_relative_cgroup_paths(),
            events: self.events.as_ref().map(KernelEvents::status),
            ..self.status
        }
    }

    fn run(&mut self, selection: Option<&Selection>) -> Result<Arc<Snapshot>, SourceError> {
        let at = Instant::now();
        let begun =
            Begun { at, monotonic: self.monotonic(at), unix: unix_now(), ticks: self.start_clock.ticks() };
        if let Err(error) = self.walk_or_fall_back(begun, selection) {
            self.status.processes.success = false;
            self.status.processes.duration = at.elapsed().as_secs_f64();
            return Err(error);
        }
        let users = selection
            .map(|selection| selection.read_users(self.source.files(), &mut self.table.records))
            .unwrap_or_default();
        if let Some(events) = &mut self.events {
            events.begin_reading();
        }
        self.link();
        self.sum_up(begun.unix);
        self.containers.note_present();
        if let Some(events) = &mut self.events {
            events.collect(&mut self.resolver, &mut self.containers, begun.unix);
        }
        let (exported, beyond) = self.choose_containers();
        let nodes = self.choose_nodes(&exported, begun.monotonic);
        self.status.processes = CollectorRun {
            success: true,
            duration: at.elapsed().as_secs_f64(),
            last_success: Some(begun.unix),
        };
        let (readings, pods) = self.read_pids(&exported, begun.unix);
        let foreign = foreign_processes::count(&self.table, &mut self.resolver, self.source.files());
        let overflow = self.sum_up_overflow(&beyond, begun.monotonic);
        let mut states = Vec::with_capacity(exported.len());
        for ((slot, nodes), reading) in exported.into_iter().zip(nodes).zip(readings) {
            let foreign_processes = foreign.get(&slot).copied();
            states.extend(self.container_state(slot, nodes, reading, foreign_processes, begun.monotonic));
        }
        self.status.collections += 1;
        let snapshot = self.snapshot(begun, (states, pods), overflow, users);
        self.last_success = Some(begun);
        self.resolver.end(Arc::clone(&snapshot.processes));
        Ok(Arc::new(snapshot))
    }

    /// Reads the processes. If BPF fails or cannot distinguish containers, switches to `/proc`.
    fn walk_or_fall_back(&mut self, begun: Begun, selection: Option<&Selection>) -> Result<(), SourceError> {
        let since_last = self.last_begun.map_or(Duration::ZERO, |last| begun.at.duration_since(last));
        self.last_begun = Some(begun.at);
        match self.walk(begun, since_last, selection) {
            Err(error) if self.source.is_bpf() && !error.is_exhaustion() => {
                self.leave_bpf(Reason::Failed(error))?;
                self.walk(begun, since_last, selection)
            }
            Ok(()) if self.source.is_bpf() && self.resolver.has_v1_only_containers() => {
                self.leave_bpf(Reason::Hierarchy(V1_ONLY))
            }
            done => done,
        }
    }

    fn walk(
        &mut self,
        begun: Begun,
        since_last: Duration,
        selection: Option<&Selection>,
    ) -> Result<(), SourceError> {
        let Self { source, resolver, containers, table, .. } = self;
        let records = &mut table.records;
        records.clear();
        containers.begin(begun.monotonic);
        resolver.begin(since_last);
        let skipped = match selection {
            None => source
                .walk(|record, kernel, files| resolver.resolve(record, kernel, files, containers, records))?,
            Some(selection) => source.walk(|record, kernel, files| {
                let is_candidate = selection.is_candidate(&record);
                let mut files = CandidateFiles { files, is_candidate };
                resolver.resolve(record, kernel, &mut files, containers, records)
            })?,
        };
        resolver.finish(source.files(), containers, records);
        if let Some(selection) = selection {
            selection.exclude_others(records);
            containers.count_members(records);
        }
        prune_exited(resolver, containers, records, |key| source.files().is_listed(key));
        self.status.skipped.add(skipped);
        Ok(())
    }

    fn leave_bpf(&mut self, reason: Reason) -> Result<(), SourceError> {
        self.source.fall_back()?;
        self.events = None;
        self.resolver.cgroups = CgroupOwners::default();
        warn!(%reason, "BPF disabled, falling back to /proc; fork, exec and exit counters are unavailable");
        self.reason = reason;
        Ok(())
    }

    fn link(&mut self) {
        let Self { source, resolver, containers, comms, table, member_pids, .. } = self;
        let ProcessTable { records, forest, forest_without_units, roots, recent_cpu_ticks } = table;
        let cache = resolver.cache();
        comms.intern_all(records, cache.previous_records(), |index| cache.previous_index(index));
        forest.rebuild(records);
        let has_units = records.iter().any(|it| it.membership.is_on_host() && it.membership.slot().is_some());
        if has_units {
            forest_without_units.get_or_insert_default().rebuild_without_units(records);
        } else {
            *forest_without_units = None;
        }
        roots.classify(records, forest, containers.slots(), |index| {
            resolver.origin(index, records[index].key.pid, source.files())
        });
        recent_cpu_ticks.clear();
        if let Some(last) = self.last_success {
            recent_cpu_ticks.extend(resolver.cache().recent_cpu_ticks(records, last.ticks));
        }
        member_pids.clear();
        member_pids.resize(containers.slots(), MemberPids::default());
        for (index, record) in records.iter().enumerate() {
            if let Some(slot) = record.membership.slot() {
                let is_root = forest.parent(index).is_none();
                let is_new = resolver.cache().is_new_member(index, record.membership);
                member_pids[slot].add(record, is_root, is_new);
                if !is_root {
                    resolver.note_parent_inside(index);
                }
            }
        }
    }

    fn sum_up(&mut self, unix: f64) {
        let Self { resolver, containers, comms, nodes, stats, table, .. } = self;
        let ProcessTable { records, forest, roots, recent_cpu_ticks, .. } = &*table;
        nodes.rebuild((records, recent_cpu_ticks), forest, containers.slots(), comms);
        let zombie_since = |index| resolver.zombie_since(index, unix);
        let forests = (forest, table.host_forest());
        stats.rebuild(records, forests, roots, containers.slots(), comms, zombie_since);
    }

    fn snapshot(
        &mut self,
        begun: Begun,
        (containers, pods): (Vec<Arc<ContainerState>>, Vec<PodState>),
        overflow: Option<ContainerNumbers>,
        users: FxHashMap<u32, u32>,
    ) -> Snapshot {
        let host = std::mem::take(&mut self.stats.host);
        Snapshot {
            processes: self.tables.swap(&mut self.table),
            containers,
            pods,
            overflow,
            host: (!self.resolver.is_inside()).then_some(host),
            host_kernel_threads: self.stats.host_kernel_threads,
            host_forks: self.events.as_ref().map(KernelEvents::host_forks),
            task_limits: self.system.task_limits(),
            containers_by_runtime: self.runtimes.iter().map(|(&runtime, &count)| (runtime, count)).collect(),
            clock: self.start_clock.read(),
            collected_at: begun.unix,
            collected_at_ticks: begun.ticks,
            collected_at_monotonic: begun.monotonic,
            since_previous: self.last_success.map(|last| begun.at.duration_since(last.at)),
            page_bytes: rustix::param::page_size() as u64,
            users,
        }
    }
}

/// Unix time in seconds.
fn unix_now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
