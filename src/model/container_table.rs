//! One entry per container: its cgroup, its counters, and other state that is kept between collections.
//!
//! An entry has a slot, a small number that process records refer to. The entry of a removed container is kept for some
//! time, so that a restart with the same cgroup path continues its counters.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::busiest::Busiest;
use super::command_counts::CommandCounts;
use super::container::Container;
use super::event_counts::EventCounts;
use super::name_budget::NameBudget;
use super::path_usage::PathUsageCounters;
use super::process::{Membership, ProcessRecord};
use super::rates::CountedStarts;
use super::start_estimate::StartBaseline;

/// A counter of the kernel, which may be reset.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicCounter {
    before_resets: u64,
    last: u64,
}

impl MonotonicCounter {
    /// Adds a new reading. Returns the sum over all resets.
    pub fn update(&mut self, reading: u64) -> u64 {
        if reading < self.last {
            self.before_resets = self.before_resets.saturating_add(self.last);
        }
        self.last = reading;
        self.before_resets.saturating_add(reading)
    }
}

/// State of one container that is kept between collections.
#[derive(Debug)]
pub struct TrackedContainer {
    pub container: Arc<Container>,
    /// Number of processes in the last collection.
    pub members: u32,
    /// Number of tasks in the last collection: all threads, and one for each zombie.
    pub tasks: u64,
    /// Monotonic time of the first collection that found it, or that found it again after an absence.
    pub present_since: Duration,
    last_present: Duration,
    /// Estimated number of processes started.
    pub observed_starts: u64,
    pub start_baseline: StartBaseline,
    /// For the rate of starts.
    pub counted_starts: Option<CountedStarts>,
    pub limit_hits: MonotonicCounter,
    /// The last reading. Needed because members are counted before the files of the container are read.
    pub pids_limit: Option<u64>,
    /// `None` until one of its cgroups is known to the attribution of events.
    pub events: Option<EventCounts>,
    pub commands: Busiest<CommandCounts>,
    /// `None` unless CPU and memory are exported.
    pub usage: Option<Box<PathUsageCounters>>,
    /// Events of the last collection.
    pub new_events: EventCounts,
    /// It was above the limit of exported containers in the last collection in which it was present.
    pub is_in_overflow: bool,
    pub names: NameBudget,
}

impl TrackedContainer {
    /// The counters of CPU time and memory.
    pub fn usage_counters(&mut self, now: Duration) -> &mut PathUsageCounters {
        self.usage.get_or_insert_with(|| Box::new(PathUsageCounters::new(now)))
    }

    /// Counts one process of this collection.
    pub fn add_member(&mut self, record: &ProcessRecord) {
        self.members += 1;
        // A zombie has no thread but occupies a pid.
        self.tasks += u64::from(record.threads.max(1));
    }
}

/// All entries, by slot. Created once per exporter.
#[derive(Debug)]
pub struct ContainerTable {
    new_names_per_hour: u32,
    /// Uses a seeded hasher, because users of containers can choose paths.
    slot_of_path: HashMap<Box<str>, usize>,
    entries: Vec<Option<TrackedContainer>>,
    free_slots: Vec<usize>,
    /// Monotonic time of the current collection and of the previous one.
    now: Duration,
    previous: Duration,
    /// Events of overflow containers that were counted after the containers were removed.
    overflow_residual: EventCounts,
}

impl ContainerTable {
    /// How long the entry of a removed container is kept.
    const REMOVED_RETENTION: Duration = Duration::from_secs(3600);
    /// Maximum number of such entries. The oldest ones are dropped first.
    const MAX_REMOVED: usize = 2_000;

    /// An empty table. `new_names_per_hour` is the limit on new node names of each container.
    #[must_use]
    pub fn new(new_names_per_hour: u32) -> Self {
        Self {
            new_names_per_hour,
            slot_of_path: HashMap::new(),
            entries: Vec::new(),
            free_slots: Vec::new(),
            now: Duration::ZERO,
            previous: Duration::ZERO,
            overflow_residual: EventCounts::default(),
        }
    }

    /// Begins a collection at a monotonic time.
    pub fn begin(&mut self, now: Duration) {
        self.now = now;
        for entry in self.entries.iter_mut().flatten() {
            (entry.members, entry.tasks) = (0, 0);
            entry.new_events = EventCounts::default();
        }
    }

    /// Recounts the members of all containers.
    pub fn count_members(&mut self, records: &[ProcessRecord]) {
        for entry in self.entries.iter_mut().flatten() {
            (entry.members, entry.tasks) = (0, 0);
        }
        for record in records {
            if let Some(entry) = record.membership.slot().and_then(|slot| self.get_mut(slot)) {
                entry.add_member(record);
            }
        }
    }

    /// The number of slots, used or not.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.entries.len()
    }

    /// Membership in the container or unit with this cgroup path, if there is an entry.
    #[must_use]
    pub fn membership_of(&self, path: &str) -> Option<Membership> {
        let &slot = self.slot_of_path.get(path)?;
        self.get(slot).map(|entry| membership(&entry.container, slot))
    }

    /// Membership in a container or unit, which gets an entry if it has none.
    pub fn join(&mut self, container: &Arc<Container>) -> Membership {
        membership(container, self.slot_of(container))
    }

    /// The slot of a container. A new container gets a new slot.
    pub fn slot_of(&mut self, container: &Arc<Container>) -> usize {
        if let Some(&slot) = self.slot_of_path.get(&container.path) {
            return slot;
        }
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        self.slot_of_path.insert(container.path.clone(), slot);
        self.entries[slot] = Some(TrackedContainer {
            container: Arc::clone(container),
            members: 0,
            tasks: 0,
            present_since: self.now,
            // Not found by any collection yet.
            last_present: self.now,
            observed_starts: 0,
            start_baseline: StartBaseline::default(),
            counted_starts: None,
            limit_hits: MonotonicCounter::default(),
            pids_limit: None,
            events: None,
            commands: Busiest::new(self.now),
            usage: None,
            new_events: EventCounts::default(),
            is_in_overflow: false,
            names: NameBudget::new(self.new_names_per_hour, self.now),
        });
        slot
    }

    /// The entry of a slot.
    #[must_use]
    pub fn get(&self, slot: usize) -> Option<&TrackedContainer> {
        self.entries.get(slot)?.as_ref()
    }

    /// The entry of a slot.
    pub fn get_mut(&mut self, slot: usize) -> Option<&mut TrackedContainer> {
        self.entries.get_mut(slot)?.as_mut()
    }

    /// The containers that have a process in this collection, with their slots.
    pub fn present(&self) -> impl Iterator<Item = (usize, &TrackedContainer)> {
        let entries = self.entries.iter().enumerate();
        entries.filter_map(|(slot, entry)| Some((slot, entry.as_ref().filter(|entry| entry.members > 0)?)))
    }

    /// Ends the count of members. Records which containers are present, and drops entries of containers that have been
    /// absent for too long.
    pub fn note_present(&mut self) {
        let (now, previous) = (self.now, self.previous);
        for entry in self.entries.iter_mut().flatten().filter(|entry| entry.members > 0) {
            if entry.last_present < previous {
                entry.present_since = now;
            }
            entry.last_present = now;
            entry.names.refill(self.new_names_per_hour, now);
        }
        self.forget_gone();
        self.previous = now;
    }

    fn forget_gone(&mut self) {
        let now = self.now;
        let absent_for = |entry: &TrackedContainer| now.saturating_sub(entry.last_present);
        let mut absences: Vec<Duration> = self
            .entries
            .iter()
            .flatten()
            .map(absent_for)
            .filter(|absence| !absence.is_zero() && *absence < Self::REMOVED_RETENTION)
            .collect();
        let mut too_long = Self::REMOVED_RETENTION;
        if absences.len() > Self::MAX_REMOVED {
            let (_, &mut longest_kept, _) = absences.select_nth_unstable(Self::MAX_REMOVED);
            too_long = longest_kept;
        }
        for (slot, entry) in self.entries.iter_mut().enumerate() {
            if let Some(gone) = entry.take_if(|entry| entry.members == 0 && absent_for(entry) >= too_long) {
                self.slot_of_path.remove(&gone.container.path);
                self.free_slots.push(slot);
            }
        }
    }

    /// Adds events of a container. The container may have no processes.
    pub fn add_events(&mut self, container: &Arc<Container>, delta: EventCounts) {
        let slot = self.slot_of(container);
        let now = self.now;
        let Some(entry) = self.get_mut(slot) else { return };
        *entry.events.get_or_insert_default() += delta;
        entry.new_events += delta;
        if entry.is_in_overflow && entry.last_present < now {
            self.overflow_residual += delta;
        }
    }

    /// Adds events of a command of a container. They are also in [`Self::add_events`].
    pub fn add_command(&mut self, container: &Arc<Container>, command: &str, counts: CommandCounts) {
        let slot = self.slot_of(container);
        if let Some(entry) = self.get_mut(slot) {
            entry.commands.add(command, counts);
        }
    }

    /// Events of overflow containers that were counted after the containers were removed.
    #[must_use]
    pub fn overflow_residual(&self) -> EventCounts {
        self.overflow_residual
    }
}

/// Membership in the container or unit with this slot.
#[must_use]
pub fn membership(container: &Container, slot: usize) -> Membership {
    if container.is_unit() { Membership::unit(slot) } else { Membership::container(slot) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::Runtime;

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

    /// Runs a collection in which each of these containers has one process.
    fn collect(table: &mut ContainerTable, second: u64, present: &[&str]) {
        table.begin(Duration::from_secs(second));
        for path in present {
            let slot = table.slot_of(&container(path));
            table.get_mut(slot).expect("it has an entry").members = 1;
        }
        table.note_present();
    }

    #[test]
    fn the_last_events_of_a_container_in_the_overflow_are_kept() {
        let delta = EventCounts { exits: [1, 0, 0], ..EventCounts::default() };
        let mut table = ContainerTable::new(100);
        let web = container("/docker/web");
        collect(&mut table, 1, &["/docker/web"]);
        table.add_events(&web, delta);
        let slot = table.slot_of(&web);
        table.get_mut(slot).expect("it is there").is_in_overflow = true;
        assert_eq!(table.overflow_residual(), EventCounts::default());

        collect(&mut table, 2, &[]);
        table.add_events(&web, delta);
        assert_eq!(table.overflow_residual(), delta);
        assert_eq!(table.get(slot).expect("kept").events.expect("counted").exits, [2, 0, 0]);
    }

    #[test]
    fn a_container_that_comes_back_within_an_hour_keeps_its_entry_and_is_present_since_then() {
        let mut table = ContainerTable::new(100);
        collect(&mut table, 1, &["/docker/web"]);
        let slot = table.slot_of(&container("/docker/web"));
        table.get_mut(slot).expect("an entry").observed_starts = 7;
        collect(&mut table, 2, &[]);
        collect(&mut table, 3000, &["/docker/web"]);
        let entry = table.get(slot).expect("kept");
        assert_eq!((entry.observed_starts, entry.present_since), (7, Duration::from_secs(3000)));
        collect(&mut table, 3001, &[]);
        collect(&mut table, 7000, &[]);
        assert!(table.get(slot).is_none(), "dropped after an hour");
        collect(&mut table, 7001, &["/docker/db"]);
        assert_eq!(table.membership_of("/docker/db"), Some(Membership::container(slot)), "the slot is free");
        assert_eq!(table.get(slot).expect("another").observed_starts, 0);
        assert_eq!(table.membership_of("/docker/web"), None);
    }

    #[test]
    fn entries_of_gone_containers_are_limited() {
        let mut table = ContainerTable::new(100);
        for number in 0..ContainerTable::MAX_REMOVED as u64 + 10 {
            collect(&mut table, 1 + number / 4, &[&format!("/docker/{number}")]);
        }
        collect(&mut table, 1000, &[]);
        let kept = table.entries.iter().flatten().count();
        assert!(kept <= ContainerTable::MAX_REMOVED, "{kept}");
        assert_eq!(table.slot_of_path.len(), kept);
    }
}
