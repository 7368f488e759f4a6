//! One collection, from the walk to the numbers. Owns everything that is kept from one to the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::collect::config::{Bounds, CollectorConfig};
use crate::collect::double_buffer::DoubleBuffer;
use crate::collect::kernel_events::Events;
use crate::collect::result::{ContainerResult, Overflow, Taken};
use crate::collect::source_selection::{Reason, SourceSelection, select_source};
use crate::collect::{foreign_processes, prune_exited};
use crate::model::clock::unix_now;
use crate::model::collection::CollectorRun;
use crate::model::container::{Container, Runtime};
use crate::model::counters::CounterStore;
use crate::model::event_counts::EventCounts;
use crate::model::forest::max_min_cap::max_min_cap;
use crate::model::forest::merged_nodes::{CommInterner, ExportedNode, Nodes, OTHER};
use crate::model::forest::parents_and_depths::Forest;
use crate::model::forest::root_kinds::RootKinds;
use crate::model::forest::stats::ForestStatsBySlot;
use crate::model::limits::TaskLimits;
use crate::model::process::{ProcessRecord, Skipped};
use crate::model::walk::WalkResult;
use crate::observe::cgroupfs::pids::PidsReader;
use crate::observe::procfs::system::System;
use crate::observe::procfs::walk::ProcFiles;
use crate::observe::source::{Source, SourceError};
use crate::resolve::cgroup_owners::CgroupOwners;
use crate::resolve::resolver::ContainerResolver;

/// The stages, their memory, and the results of the last successful collection.
pub struct Pipeline {
    source: Source,
    /// Why this source.
    pub reason: Reason,
    pub events: Option<Events>,
    system: System,
    pids: PidsReader,
    bounds: Bounds,
    started: Instant,

    pub resolver: ContainerResolver,
    forest: Forest,
    root_kinds: RootKinds,
    nodes: Nodes,
    counters: CounterStore,
    pub frames: DoubleBuffer,

    /// Its records are handed over to the frame at the end of a collection.
    pub walk: WalkResult,
    pub stats_by_slot: ForestStatsBySlot,
    pub steps: CommInterner,
    /// By slot of the snapshot's container table.
    pub results: Vec<ContainerResult>,
    /// Slots of the containers that are shown for themselves, by path.
    pub shown: Vec<usize>,
    /// Slots of the others, which are in the overflow.
    not_shown: Vec<usize>,
    pub overflow: Option<Overflow>,
    overflow_starts: u64,
    overflow_events: EventCounts,
    /// Runtimes ever seen, with their present containers.
    pub containers_by_runtime: BTreeMap<Runtime, u64>,
    pub skipped: Skipped,
    pub processes_run: CollectorRun,
    pub pids_run: CollectorRun,
    pub events_run: CollectorRun,
    pub taken: Option<Taken>,
    pub boot_time: Option<u64>,
    pub task_limits: TaskLimits,
}

impl Pipeline {
    /// Opens what is to be read.
    ///
    /// # Errors
    /// When there is no procfs at the path, no process to be seen in it, or no source as asked for.
    pub fn new(config: &CollectorConfig) -> Result<Self, SourceError> {
        let system = System::new(&config.procfs);
        let own_container = system.own_container(config.container_name.as_deref());
        let SourceSelection { source, events, reason } = select_source(config, &system)?;
        Ok(Self {
            source,
            reason,
            events,
            system,
            pids: PidsReader::find(&config.cgroupfs),
            bounds: config.bounds,
            started: Instant::now(),
            resolver: ContainerResolver::new(own_container, config.interval),
            forest: Forest::default(),
            root_kinds: RootKinds::default(),
            nodes: Nodes::default(),
            counters: CounterStore::new(config.bounds.new_nodes_per_hour),
            frames: DoubleBuffer::default(),
            walk: WalkResult::default(),
            stats_by_slot: ForestStatsBySlot::default(),
            steps: CommInterner::default(),
            results: Vec::new(),
            shown: Vec::new(),
            not_shown: Vec::new(),
            overflow: None,
            overflow_starts: 0,
            overflow_events: EventCounts::default(),
            containers_by_runtime: BTreeMap::new(),
            skipped: Skipped::default(),
            processes_run: CollectorRun::default(),
            pids_run: CollectorRun::default(),
            events_run: CollectorRun { success: true, ..CollectorRun::default() },
            taken: None,
            boot_time: None,
            task_limits: TaskLimits::default(),
        })
    }

    /// Runs one collection. On failure the results of the last one stay, marked by their age.
    ///
    /// # Errors
    /// When the walk as a whole failed.
    pub fn collect(&mut self) -> Result<(), SourceError> {
        let taken = Taken { at: Instant::now(), unix: unix_now(), ticks: self.system.uptime_ticks() };
        if let Err(error) = self.walk_or_fall_back() {
            self.processes_run.success = false;
            self.processes_run.duration = taken.at.elapsed().as_secs_f64();
            return Err(error);
        }
        self.taken = Some(taken);
        self.build(taken.unix);
        let now = self.monotonic(taken.at);
        let is_root = |index| self.root_kinds.kind(index).is_some();
        self.counters.update(&self.walk, is_root, now, taken.ticks);
        self.count_events(now);
        self.list_containers();
        self.choose_nodes(now);
        self.processes_run = CollectorRun {
            success: true,
            duration: taken.at.elapsed().as_secs_f64(),
            last_success: Some(taken.unix),
        };
        self.read_pids();
        self.count_starts();
        foreign_processes::count(
            &self.walk,
            &self.root_kinds,
            &mut self.resolver,
            self.source.files(),
            &mut self.results,
        );
        self.fill_overflow();
        self.boot_time = self.system.boot_time();
        self.task_limits = self.system.task_limits();
        self.frames.swap(&mut self.walk, &mut self.forest, &mut self.root_kinds);
        Ok(())
    }

    /// The files of single processes.
    pub fn files(&mut self) -> &mut ProcFiles {
        self.source.files()
    }

    /// Time since this pipeline was made.
    #[must_use]
    pub fn monotonic(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.started)
    }

    /// BPF makes nothing worse: where it fails or cannot tell containers apart, `/proc` takes its place.
    fn walk_or_fall_back(&mut self) -> Result<(), SourceError> {
        match self.walk() {
            Err(error) if self.source.is_bpf() && !error.is_exhaustion() => {
                self.leave_bpf(Reason::Failed(error))?;
                self.walk()
            }
            Ok(()) if self.source.is_bpf() && self.resolver.has_v1_only_containers() => {
                self.leave_bpf(Reason::Hierarchy("a container is in cgroup v1 alone, and BPF sees cgroup v2"))
            }
            done => done,
        }
    }

    fn walk(&mut self) -> Result<(), SourceError> {
        let Self { source, resolver, walk, results, .. } = self;
        resolver.begin(walk);
        let skipped = source.walk(|record, more, files| resolver.admit(record, more, files, walk))?;
        resolver.finish(source.files(), walk);
        // As the last collection has read them.
        let limit = |slot: usize| results.get(slot)?.pids.limit;
        prune_exited::prune_exited(walk, limit, |key| source.files().is_listed(key));
        self.skipped.add(skipped);
        Ok(())
    }

    fn leave_bpf(&mut self, reason: Reason) -> Result<(), SourceError> {
        self.source.fall_back()?;
        self.events = None;
        self.resolver.cgroups = CgroupOwners::default();
        warn!(%reason, "processes are read from /proc from now on, and forks, execs and exits no more counted");
        self.reason = reason;
        Ok(())
    }

    /// Learns which cgroups the walk has met, then credits the kernel's counts.
    fn count_events(&mut self, now: Duration) {
        let Some(events) = &mut self.events else { return };
        let begun = Instant::now();
        let cgroups = &mut self.resolver.cgroups;
        for (id, sighting) in self.resolver.unconfirmed_cgroups.drain() {
            if events.hierarchy().id_of(&sighting.path) == Some(id) {
                cgroups.learn(id, sighting.owner);
            }
        }
        let lost_before = events.lost();
        let add = |container: &Arc<Container>, news| self.counters.add(&container.path, news, now);
        let counted = events.count(cgroups, add);
        if let Err(error) = &counted
            && self.events_run.success
        {
            warn!(%error, "cannot read the kernel's counts of forks, execs and exits; they will be made up for");
        }
        if lost_before == 0 && events.lost() > 0 {
            warn!(
                lost = events.lost(),
                "the kernel could not count all events, see pstree_events_lost_total; raise --bounds.event-cgroups"
            );
        }
        self.events_run.success = counted.is_ok();
        self.events_run.duration = begun.elapsed().as_secs_f64();
        if counted.is_ok() {
            self.events_run.last_success = self.taken.map(|taken| taken.unix);
        }
    }

    fn build(&mut self, unix: f64) {
        let Self { source, resolver, walk, forest, root_kinds, steps, .. } = self;
        steps.begin();
        forest.rebuild(&mut walk.records);
        root_kinds.classify(walk, forest, resolver, source.files());
        self.nodes.rebuild(walk, forest, steps);
        let zombie_since = |record: &ProcessRecord| {
            resolver.memory_mut(record).map_or(unix, |memory| *memory.zombie_since.get_or_insert(unix))
        };
        self.stats_by_slot.rebuild(walk, forest, root_kinds, steps, zombie_since);
    }

    /// Chooses which containers are shown for themselves: those that came first.
    fn list_containers(&mut self) {
        let containers = &self.walk.containers;
        self.containers_by_runtime.values_mut().for_each(|count| *count = 0);
        self.shown.clear();
        self.not_shown.clear();
        self.results.resize_with(containers.len(), ContainerResult::default);
        for (slot, container) in containers.iter().enumerate() {
            let result = &mut self.results[slot];
            result.nodes.clear();
            let Some(container) = container else { continue };
            *self.containers_by_runtime.entry(container.runtime).or_default() += 1;
            if let Some(counters_of) = self.counters.counters_of(&container.path) {
                counters_of.is_in_overflow = false;
                let is_counted = self.events.is_some();
                if is_counted && counters_of.events.is_none() && self.resolver.cgroups.knows(container) {
                    counters_of.events = Some(EventCounts::default());
                }
                result.events = counters_of.events.filter(|_| is_counted);
                result.present_since = counters_of.present_since;
            }
            self.shown.push(slot);
        }
        let path_of = |slot: &usize| Some(&*containers[*slot].as_ref()?.path);
        self.overflow = None;
        if self.shown.len() > self.bounds.max_containers {
            let results = &self.results;
            self.shown.sort_unstable_by_key(|slot| (results[*slot].present_since, path_of(slot)));
            let mut overflow = Overflow::default();
            for slot in self.shown.drain(self.bounds.max_containers..) {
                overflow.stats.merge(&self.stats_by_slot.containers[slot]);
                self.not_shown.push(slot);
                if let Some(counters_of) =
                    containers[slot].as_ref().and_then(|it| self.counters.counters_of(&it.path))
                {
                    counters_of.is_in_overflow = true;
                    self.overflow_events += counters_of.new_events;
                }
                self.counters.count_folded(self.nodes.count(slot) as u64);
            }
            self.overflow = Some(overflow);
        }
        self.shown.sort_unstable_by_key(path_of);
    }

    fn choose_nodes(&mut self, now: Duration) {
        let wanted = self.shown.iter().map(|&slot| self.nodes.count(slot));
        let cap = max_min_cap(wanted, self.bounds.nodes_per_container, self.bounds.nodes_per_host);
        let mut folded = 0;
        for &slot in &self.shown {
            let Some(container) = &self.walk.containers[slot] else { continue };
            let Some(counters_of) = self.counters.counters_of(&container.path) else {
                continue;
            };
            let admit = |name| counters_of.admit_name(name, now);
            folded += self.nodes.select(slot, cap, &self.steps, admit, &mut self.results[slot].nodes);
        }
        self.counters.count_folded(folded);
    }

    fn read_pids(&mut self) {
        if !self.pids.is_available() {
            return;
        }
        let begun = Instant::now();
        self.pids.begin();
        let mut any = self.shown.is_empty();
        for &slot in &self.shown {
            let Some(container) = &self.walk.containers[slot] else { continue };
            let reading = self.pids.read(&container.path);
            any |= reading.current.is_some();
            let counters_of = self.counters.counters_of(&container.path);
            let result = &mut self.results[slot];
            result.limit_hits = reading
                .limit_hits
                .zip(counters_of)
                .map(|(hits, counters_of)| counters_of.limit_hits.update(hits));
            result.pids = reading;
        }
        self.pids_run.success = any;
        self.pids_run.duration = begun.elapsed().as_secs_f64();
        if any {
            self.pids_run.last_success = self.taken.map(|taken| taken.unix);
        }
    }

    fn count_starts(&mut self) {
        let path = |slot: usize| self.walk.containers[slot].as_ref().map_or("", |it| &it.path);
        for &slot in &self.shown {
            let result = &mut self.results[slot];
            self.counters.count_starts(slot, path(slot), result.pids.refused);
            result.observed_starts =
                self.counters.counters_of(path(slot)).map_or(0, |counters_of| counters_of.observed_starts);
        }
        for &slot in &self.not_shown {
            self.overflow_starts += self.counters.count_starts(slot, path(slot), None);
        }
        // Kept until now, so that a walk that failed loses none.
        self.walk.new_processes.clear();
    }

    fn fill_overflow(&mut self) {
        let Some(overflow) = &mut self.overflow else { return };
        overflow.result.observed_starts = self.overflow_starts;
        let mut events = self.overflow_events;
        events += self.counters.overflow_residual();
        overflow.result.events = self.events.is_some().then_some(events);
        overflow.result.nodes = vec![ExportedNode {
            path: OTHER.into(),
            parent_len: 0,
            comm_start: 0,
            depth: 1,
            processes: overflow.stats.processes,
            zombies: overflow.stats.zombies(),
        }];
    }

    /// The label `source`.
    #[must_use]
    pub fn source_label(&self) -> &'static str {
        if self.source.is_bpf() { "bpf" } else { "proc" }
    }

    /// Nodes folded over all collections.
    #[must_use]
    pub fn folded_nodes(&self) -> u64 {
        self.counters.folded_nodes()
    }

    /// Successful collections.
    #[must_use]
    pub fn collections(&self) -> u64 {
        self.counters.collections()
    }

    /// Whether there is a pids controller to read.
    #[must_use]
    pub fn reads_pids(&self) -> bool {
        self.pids.is_available()
    }

    /// `None` where there is no pids controller to read.
    #[must_use]
    pub fn pids_run(&self) -> Option<CollectorRun> {
        self.pids.is_available().then_some(self.pids_run)
    }
}
