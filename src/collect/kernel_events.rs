//! Forks, execs and exits, counted by the kernel and credited to containers once per collection.
//!
//! Nothing is sent per event: programs in the kernel ([`crate::observe::bpf::load`]) keep one set of counters per cgroup,
//! which only grow. A set is dropped once its cgroup is gone and nothing new was read.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::container::Container;
use crate::model::event_counts::EventCounts;
use crate::observe::bpf::load::Counters;
use crate::observe::cgroupfs::hierarchy::DefaultHierarchy;
use crate::resolve::attribution::attribute;
use crate::resolve::cgroup_owners::{CgroupOwners, Owner};
use crate::resolve::event_attribution::{EventAttributor, Reading};

/// How long the hierarchy is not searched after a search that could not be finished.
const SEARCH_PAUSE: Duration = Duration::from_secs(10);

/// The counters, and what was made of them so far.
pub struct Events {
    counters: Counters,
    hierarchy: DefaultHierarchy,
    attributor: EventAttributor,
    readings: Vec<Reading>,
    unfinished_search: Option<Instant>,
    lost: u64,
}

impl Events {
    #[must_use]
    pub fn new(counters: Counters, hierarchy: DefaultHierarchy) -> Self {
        Self {
            counters,
            hierarchy,
            attributor: EventAttributor::default(),
            readings: Vec::new(),
            unfinished_search: None,
            lost: 0,
        }
    }

    /// The directories behind the ids.
    #[must_use]
    pub fn hierarchy(&self) -> &DefaultHierarchy {
        &self.hierarchy
    }

    /// Credits all events since the last time: to containers by `credit`, else as [`Events::host_forks`] and
    /// [`Events::unattributed`].
    ///
    /// # Errors
    /// The kernel's. What could not be read is credited the next time.
    pub fn count(
        &mut self,
        cgroups: &mut CgroupOwners,
        add: impl FnMut(&Arc<Container>, EventCounts),
    ) -> io::Result<()> {
        self.readings.clear();
        let readings = &mut self.readings;
        let read = self.counters.each(|id, value| readings.push(Reading::new(id, value)));
        self.identify(cgroups);
        // Not before a second look: a program that was running when its task was moved out of the cgroup may
        // still count what it saw.
        let is_final = |reading: &&Reading| reading.removed && !self.attributor.has_changed(reading);
        let finished: Vec<u64> = self.readings.iter().filter(is_final).map(|reading| reading.id).collect();
        self.attributor.apply(&self.readings, cgroups, add);
        for id in finished {
            self.counters.forget(id)?;
            self.attributor.forget(id);
            cgroups.forget(id);
        }
        self.lost = self.counters.lost()?;
        read
    }

    /// Looks for the cgroups that no process of the walk was in: it is gone already, or was moved.
    fn identify(&mut self, cgroups: &mut CgroupOwners) {
        let mut wanted = self.attributor.unknown(&self.readings, cgroups);
        let is_too_soon = self.unfinished_search.is_some_and(|since| since.elapsed() < SEARCH_PAUSE);
        if wanted.is_empty() || is_too_soon {
            return;
        }
        let is_complete = self.hierarchy.search(&mut wanted, |id, path| {
            let container = attribute(path).map(|found| Arc::new(found.to_container()));
            cgroups.learn(id, container.map_or(Owner::Host, Owner::Container));
        });
        self.unfinished_search = (!is_complete).then(Instant::now);
        // Not to be looked for again; a process seen there tells better.
        for id in wanted.into_iter().filter(|_| is_complete) {
            cgroups.learn(id, Owner::Hidden);
        }
    }

    /// Processes started on the host.
    #[must_use]
    pub fn host_forks(&self) -> u64 {
        self.attributor.host_forks
    }

    /// Events that were counted, of cgroups that nobody can tell any more.
    #[must_use]
    pub fn unattributed(&self) -> u64 {
        self.attributor.unattributed
    }

    /// Events that the kernel could not count.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }
}
