//! Reads the kernel's counters of forks, execs and exits once per collection and attributes them to containers.
//!
//! The kernel does not send single events. The BPF programs ([`crate::observe::bpf`]) keep one set of counters per
//! cgroup, and counters only increase. A set is dropped when its cgroup is removed and a reading shows no new events.

use std::io;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::model::collection::{CollectorRun, EventsStatus};
use crate::model::container_table::ContainerTable;
use crate::observe::bpf::counters::Counters;
use crate::observe::cgroupfs::hierarchy::Hierarchy;
use crate::resolve::cgroup_owners::{CgroupOwners, Owner};
use crate::resolve::event_attribution::{EventAttributor, Reading};
use crate::resolve::resolver::ContainerResolver;

/// Time until the hierarchy is searched again after an incomplete search.
const SEARCH_PAUSE: Duration = Duration::from_secs(10);

/// The counters, and the events that are already attributed.
pub struct KernelEvents {
    counters: Counters,
    hierarchy: Hierarchy,
    /// Whether systemd units are distinguished.
    with_units: bool,
    attributor: EventAttributor,
    readings: Vec<Reading>,
    unfinished_search: Option<Instant>,
    status: EventsStatus,
}

impl KernelEvents {
    #[must_use]
    pub fn new(counters: Counters, hierarchy: Hierarchy, with_units: bool) -> Self {
        Self {
            counters,
            hierarchy,
            with_units,
            attributor: EventAttributor::default(),
            readings: Vec::new(),
            unfinished_search: None,
            status: EventsStatus {
                run: CollectorRun { success: true, ..CollectorRun::default() },
                ..EventsStatus::default()
            },
        }
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
        self.readings.clear();
        let readings = &mut self.readings;
        let read = self.counters.each(|id, value| readings.push(Reading::new(id, value)));
        self.identify(cgroups);
        // A removed cgroup needs a second reading: a program that was running while its task was moved out of the
        // cgroup may still count an event.
        let is_final = |reading: &&Reading| reading.removed && !self.attributor.has_changed(reading);
        let finished: Vec<u64> = self.readings.iter().filter(is_final).map(|reading| reading.id).collect();
        self.attributor.apply(&self.readings, cgroups, |container, delta| {
            containers.add_events(container, delta);
        });
        for id in finished {
            self.counters.forget(id)?;
            self.attributor.forget(id);
            cgroups.forget(id);
        }
        self.status.lost = self.counters.lost()?;
        read
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
