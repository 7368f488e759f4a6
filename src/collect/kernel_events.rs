//! Reads the kernel's counters of forks, execs and exits once per collection and attributes them to containers.
//!
//! The kernel does not send single events, except for processes that the OOM killer ended. The BPF programs
//! ([`crate::observe::bpf`]) keep one set of counters per cgroup, and counters only increase. A set is dropped when its
//! cgroup is removed and a reading shows no new events. Events that have a command are counted by cgroup and command
//! instead, until the next reading.

use std::io;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};
use tracing::warn;

use super::oom_victim_log::OomVictimLog;
use crate::model::collection::{CollectorRun, EventsStatus};
use crate::model::command_counts::CommandCounts;
use crate::model::container_table::ContainerTable;
use crate::model::event_counts::EventCounts;
use crate::model::process::Comm;
use crate::model::text::comm_text;
use crate::observe::bpf::command_counters::CommandCounters;
use crate::observe::bpf::counters::Counters;
use crate::observe::bpf::oom_victims::OomVictims;
use crate::observe::cgroupfs::hierarchy::Hierarchy;
use crate::resolve::cgroup_owners::{CgroupOwners, Owner};
use crate::resolve::event_attribution::{EventAttributor, Reading};
use crate::resolve::resolver::ContainerResolver;

/// Time until the hierarchy is searched again after an incomplete search.
const SEARCH_PAUSE: Duration = Duration::from_secs(10);

/// The counters, and the events that are already attributed.
pub struct KernelEvents {
    counters: Counters,
    commands: CommandCounters,
    victims: OomVictims,
    /// By cgroup: all events that were counted by command.
    by_command: FxHashMap<u64, EventCounts>,
    hierarchy: Hierarchy,
    /// Whether systemd units are distinguished.
    with_units: bool,
    attributor: EventAttributor,
    readings: Vec<Reading>,
    /// The cgroups that were already removed at the last reading.
    removed: FxHashSet<u64>,
    victim_log: OomVictimLog,
    unfinished_search: Option<Instant>,
    /// The result of the last [`Self::begin_reading`].
    begun_reading: io::Result<()>,
    status: EventsStatus,
}

impl KernelEvents {
    #[must_use]
    pub fn new(
        counters: Counters,
        commands: CommandCounters,
        victims: OomVictims,
        hierarchy: Hierarchy,
        with_units: bool,
    ) -> Self {
        Self {
            counters,
            commands,
            victims,
            by_command: FxHashMap::default(),
            hierarchy,
            with_units,
            attributor: EventAttributor::default(),
            readings: Vec::new(),
            removed: FxHashSet::default(),
            victim_log: OomVictimLog::default(),
            begun_reading: Ok(()),
            unfinished_search: None,
            status: EventsStatus {
                run: CollectorRun { success: true, ..CollectorRun::default() },
                ..EventsStatus::default()
            },
        }
    }

    /// Begins a new generation of the counters by command. Called some stages before [`Self::collect`], so that no
    /// program still counts in the old one. A failure is reported there, because the old generation continues.
    pub fn begin_reading(&mut self) {
        self.begun_reading = self.commands.begin_generation();
    }

    /// Confirms the cgroups that the walk found, then attributes all events since the last collection. `now` is Unix
    /// time in seconds. A failure is logged once; events that could not be read are attributed in the next collection.
    pub fn collect(&mut self, resolver: &mut ContainerResolver, containers: &mut ContainerTable, now: f64) {
        let begun = Instant::now();
        for (id, unconfirmed) in resolver.unconfirmed_cgroups.drain() {
            if self.hierarchy.id_of(&unconfirmed.path) == Some(id) {
                resolver.cgroups.learn(id, unconfirmed.owner);
            }
        }
        let lost_before = self.status.lost;
        let counted = self.count(&mut resolver.cgroups, containers);
        if let Err(error) = &counted
            && self.status.run.success
        {
            warn!(%error, "cannot read the kernel's counters of forks, execs and exits; missed events are added later");
        }
        if lost_before == 0 && self.status.lost > 0 {
            warn!(
                lost = self.status.lost,
                "the kernel could not count all events, see pstree_events_lost_total; raise --bounds.event-cgroups"
            );
        }
        self.status.run.success = counted.is_ok();
        self.status.run.duration = begun.elapsed().as_secs_f64();
        if counted.is_ok() {
            self.status.run.last_success = Some(now);
        }
        self.status.unattributed = self.attributor.unattributed;
    }

    fn count(&mut self, cgroups: &mut CgroupOwners, containers: &mut ContainerTable) -> io::Result<()> {
        let Self { counters, commands, by_command, readings, .. } = self;
        let mut fresh: FxHashMap<u64, Vec<(Comm, CommandCounts)>> = FxHashMap::default();
        let begun = std::mem::replace(&mut self.begun_reading, Ok(()));
        let drained = begun.and_then(|()| {
            commands.drain(|id, comm, counts| {
                *by_command.entry(id).or_default() += counts.to_events();
                if !comm.as_bytes().is_empty() {
                    fresh.entry(id).or_default().push((comm, counts));
                }
            })
        });
        readings.clear();
        let read = counters.each(|id, value| {
            readings.push(Reading::new(id, value, by_command.get(&id).copied().unwrap_or_default()));
        });
        self.identify(cgroups);
        let Self { readings, removed, attributor, .. } = self;
        // A removed cgroup needs a second reading: a program that was running while its task was moved out of the
        // cgroup may still count an event, and the last events by command are in the next generation.
        let is_final = |reading: &&Reading| removed.contains(&reading.id) && !attributor.has_changed(reading);
        let finished: Vec<u64> = readings.iter().filter(is_final).map(|reading| reading.id).collect();
        attributor.apply(readings, cgroups, |id, container, delta| {
            containers.add_events(container, delta);
            for (comm, counts) in fresh.remove(&id).unwrap_or_default() {
                containers.add_command(container, &comm_text(comm.as_bytes()), counts);
            }
        });
        removed.clear();
        removed.extend(readings.iter().filter(|reading| reading.removed).map(|reading| reading.id));
        self.log_victims(cgroups)?;
        for id in finished {
            self.counters.forget(id)?;
            self.by_command.remove(&id);
            self.attributor.forget(id);
            cgroups.forget(id);
        }
        self.status.lost = self.counters.lost()?;
        drained.and(read)
    }

    /// Logs the processes of containers that the OOM killer ended.
    fn log_victims(&mut self, cgroups: &CgroupOwners) -> io::Result<()> {
        while let Some(victim) = self.victims.pop()? {
            let ancestors = self.readings.iter().find(|it| it.id == victim.cgroup_id).map(Reading::above);
            let owner = cgroups.owner_by_lineage(victim.cgroup_id, ancestors.unwrap_or_default());
            if let Some(Owner::Container(container) | Owner::Unit(container)) = owner {
                self.victim_log.log(&victim, container, cgroups);
            }
        }
        Ok(())
    }

    /// Searches for cgroups in which the walk found no process, because the process exited or was moved.
    fn identify(&mut self, cgroups: &mut CgroupOwners) {
        let mut searched = self.attributor.unknown(&self.readings, cgroups);
        let is_too_soon = self.unfinished_search.is_some_and(|since| since.elapsed() < SEARCH_PAUSE);
        if searched.is_empty() || is_too_soon {
            return;
        }
        let is_complete = self.hierarchy.search(&mut searched, |id, path| {
            cgroups.learn(id, Owner::of_path(path, self.with_units));
        });
        self.unfinished_search = (!is_complete).then(Instant::now);
        // These cgroups are not searched for again. If a walk finds a process in one of them, the owner becomes known.
        for id in searched.into_iter().filter(|_| is_complete) {
            cgroups.learn(id, Owner::Unresolved);
        }
    }

    /// Number of processes started on the host.
    #[must_use]
    pub fn host_forks(&self) -> u64 {
        self.attributor.host_forks
    }

    /// The status of the last run.
    #[must_use]
    pub fn status(&self) -> EventsStatus {
        self.status
    }
}
