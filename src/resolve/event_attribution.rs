//! Attributes the kernel's event counts to containers and the host, by the cgroup in which they were counted.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::container::Container;
use crate::model::event_counts::{EventCounts, Lifetimes};
use crate::resolve::cgroup_owners::{CgroupOwners, Owner};

/// The counters of one cgroup since its first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    pub id: u64,
    pub counts: EventCounts,
    /// The cgroup was removed, so these counts are final.
    pub removed: bool,
    /// Ids of the ancestors, the nearest first; 0 after the last one.
    pub ancestors: [u64; 8],
}

impl Reading {
    /// From `struct counts` of `bpf/pstree.bpf.c`, and the events of this cgroup that were counted by command.
    #[must_use]
    pub fn new(id: u64, value: &[u64; 23], by_command: EventCounts) -> Self {
        let &[forks, thread_starts, execs, success, failure, signal, oom_kills, ref rest @ ..] = value;
        let &[b0, b1, b2, b3, b4, b5, nanoseconds, removed, ref ancestors @ ..] = rest;
        let mut counts = EventCounts {
            forks,
            thread_starts,
            execs,
            exits: [success, failure, signal + oom_kills],
            oom_kills,
            lifetimes: Lifetimes { buckets: [b0, b1, b2, b3, b4, b5], nanoseconds },
        };
        counts += by_command;
        Self { id, counts, removed: removed != 0, ancestors: *ancestors }
    }

    /// Ids of the ancestors, the nearest first.
    #[must_use]
    pub fn above(&self) -> &[u64] {
        let end = self.ancestors.iter().position(|&id| id == 0).unwrap_or(self.ancestors.len());
        &self.ancestors[..end]
    }
}

/// The events attributed so far.
#[derive(Debug, Default)]
pub struct EventAttributor {
    /// The last reading of each cgroup.
    last: FxHashMap<u64, EventCounts>,
    /// Number of processes started on the host, including those in systemd units.
    pub host_forks: u64,
    /// Events of cgroups that existed only between two collections, or that are not visible to the exporter.
    pub unattributed: u64,
}

impl EventAttributor {
    /// Ids to search for in the hierarchy: those of unknown cgroups with new events, and of their ancestors.
    #[must_use]
    pub fn unknown(&self, readings: &[Reading], cgroups: &CgroupOwners) -> FxHashSet<u64> {
        let mut searched = FxHashSet::default();
        for reading in readings.iter().filter(|reading| self.has_changed(reading)) {
            if cgroups.owner_by_lineage(reading.id, reading.above()).is_none() {
                let own = (!reading.removed).then_some(reading.id);
                let candidates = own.into_iter().chain(reading.above().iter().copied());
                searched.extend(candidates.filter(|&id| cgroups.owner(id).is_none()));
            }
        }
        searched
    }

    /// Whether the reading has events that are not applied yet.
    #[must_use]
    pub fn has_changed(&self, reading: &Reading) -> bool {
        self.last.get(&reading.id).copied().unwrap_or_default() != reading.counts
    }

    /// Attributes each new event of the readings once: to a container by calling `add` with the cgroup, to the host, or to
    /// [`Self::unattributed`]. Events of a systemd unit are also those of the host.
    pub fn apply(
        &mut self,
        readings: &[Reading],
        cgroups: &CgroupOwners,
        mut add: impl FnMut(u64, &Arc<Container>, EventCounts),
    ) {
        for reading in readings {
            let last = self.last.entry(reading.id).or_default();
            let delta = reading.counts.since(*last);
            *last = reading.counts;
            if delta == EventCounts::default() {
                continue;
            }
            match cgroups.owner_by_lineage(reading.id, reading.above()) {
                Some(Owner::Container(container)) => add(reading.id, container, delta),
                Some(Owner::Unit(unit)) => {
                    add(reading.id, unit, delta);
                    self.host_forks += delta.forks;
                }
                Some(Owner::Host) => self.host_forks += delta.forks,
                Some(Owner::Unresolved) | None => self.unattributed += delta.total(),
            }
        }
    }

    /// Forgets a removed cgroup whose events are all applied.
    pub fn forget(&mut self, id: u64) {
        self.last.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::Runtime;

    const ROOT: u64 = 1;
    const WEB: u64 = 10;

    fn container(path: &str) -> Arc<Container> {
        Arc::new(Container {
            path: path.into(),
            id: path.into(),
            container_id: "".into(),
            pod_uid: "".into(),
            own_name: None,
            runtime: Runtime::Docker,
        })
    }

    fn reading(id: u64, forks: u64, above: &[u64]) -> Reading {
        let mut ancestors = [0; 8];
        ancestors[..above.len()].copy_from_slice(above);
        Reading { id, counts: EventCounts { forks, ..EventCounts::default() }, removed: false, ancestors }
    }

    fn known() -> CgroupOwners {
        let mut cgroups = CgroupOwners::default();
        cgroups.learn(ROOT, Owner::Host);
        cgroups.learn(WEB, Owner::Container(container("/docker/web")));
        cgroups
    }

    /// Returns the forks that were added to the container.
    fn apply(attributor: &mut EventAttributor, cgroups: &CgroupOwners, readings: &[Reading]) -> u64 {
        let mut added = 0;
        attributor.apply(readings, cgroups, |_, container, delta| {
            assert_eq!(&*container.path, "/docker/web");
            added += delta.forks;
        });
        added
    }

    #[test]
    fn every_event_is_attributed_once() {
        let (mut attributor, cgroups) = (EventAttributor::default(), known());
        assert_eq!(apply(&mut attributor, &cgroups, &[reading(WEB, 5, &[ROOT]), reading(ROOT, 2, &[])]), 5);
        assert_eq!(apply(&mut attributor, &cgroups, &[reading(WEB, 5, &[ROOT])]), 0);
        // The same cgroup appears twice in one reading.
        let twice = [reading(WEB, 7, &[ROOT]), reading(WEB, 8, &[ROOT])];
        assert_eq!(apply(&mut attributor, &cgroups, &twice), 3);
        assert_eq!((attributor.host_forks, attributor.unattributed), (2, 0));
    }

    #[test]
    fn a_cgroup_inside_a_container_is_the_containers() {
        let (mut attributor, mut cgroups) = (EventAttributor::default(), known());
        let inside = reading(99, 4, &[98, WEB, ROOT]);
        assert!(attributor.unknown(&[inside], &cgroups).is_empty());
        assert_eq!(apply(&mut attributor, &cgroups, &[inside]), 4);
        // A search in between that finds nothing changes nothing.
        cgroups.learn(98, Owner::Unresolved);
        assert_eq!(apply(&mut attributor, &cgroups, &[reading(99, 6, &[98, WEB, ROOT])]), 2);
    }

    #[test]
    fn a_cgroup_below_the_host_may_be_a_container() {
        let (mut attributor, mut cgroups) = (EventAttributor::default(), known());
        let unknown = reading(50, 3, &[40, ROOT]);
        let searched = attributor.unknown(&[unknown], &cgroups);
        assert_eq!(searched, FxHashSet::from_iter([50, 40]));
        // A removed cgroup cannot be found any more, but its ancestors can.
        let gone = Reading { removed: true, ..unknown };
        assert_eq!(attributor.unknown(&[gone], &cgroups), FxHashSet::from_iter([40]));
        cgroups.learn(40, Owner::Host);
        assert_eq!(apply(&mut attributor, &cgroups, &[gone]), 0);
        assert_eq!((attributor.host_forks, attributor.unattributed), (0, 3));
    }

    #[test]
    fn events_of_a_unit_are_also_those_of_the_host() {
        let mut attributor = EventAttributor::default();
        let mut cgroups = CgroupOwners::default();
        cgroups.learn(ROOT, Owner::Host);
        cgroups.learn(20, Owner::Unit(container("/docker/web")));
        let events = [reading(20, 5, &[ROOT]), reading(ROOT, 2, &[])];
        assert_eq!(apply(&mut attributor, &cgroups, &events), 5);
        assert_eq!((attributor.host_forks, attributor.unattributed), (7, 0));
        // A cgroup below that of a unit may be a container, so it is searched for.
        let below = reading(30, 1, &[20, ROOT]);
        assert_eq!(attributor.unknown(&[below], &cgroups), FxHashSet::from_iter([30]));
        for (path, with_units, expected) in [
            ("/system.slice/a.service/x", true, "unit"),
            ("/system.slice/a.service/x", false, "host"),
            ("/system.slice", true, "host"),
            ("/system.slice/a.service/lxc.payload.web", true, "container"),
        ] {
            let owner = match Owner::of_path(path, with_units) {
                Owner::Container(_) => "container",
                Owner::Unit(_) => "unit",
                Owner::Host | Owner::Unresolved => "host",
            };
            assert_eq!(owner, expected, "{path}");
        }
    }

    #[test]
    fn nothing_is_searched_for_without_new_events() {
        let (mut attributor, cgroups) = (EventAttributor::default(), known());
        let unknown = reading(50, 3, &[ROOT]);
        apply(&mut attributor, &cgroups, &[unknown]);
        assert!(attributor.unknown(&[unknown], &cgroups).is_empty());
        assert!(!attributor.unknown(&[reading(50, 4, &[ROOT])], &cgroups).is_empty());
    }

    #[test]
    fn fields_are_in_the_order_of_struct_counts() {
        let value = [1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 99, 1, 20, 10, 1, 0, 0, 0, 0, 0];
        let reading = Reading::new(7, &value, EventCounts::default());
        let counts = EventCounts {
            forks: 1,
            thread_starts: 2,
            execs: 3,
            exits: [4, 5, 6 + 7],
            oom_kills: 7,
            lifetimes: Lifetimes { buckets: [10, 11, 12, 13, 14, 15], nanoseconds: 99 },
        };
        assert_eq!((reading.id, reading.counts, reading.removed), (7, counts, true));
        assert_eq!(reading.above(), [20, 10, 1]);
        assert_eq!(counts.total(), 28);
        let by_command = EventCounts { forks: 3, ..EventCounts::default() };
        assert_eq!(Reading::new(7, &value, by_command).counts.forks, 4, "each event is counted in one place");
    }
}
