//! From one snapshot to the next: counters that only grow, and the budget of new node names. Pure; time is
//! an argument.
//!
//! A container keeps its ledger for a while after it is gone, so that a restart under the same id goes on
//! where it stopped.

use std::collections::HashMap;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::model::event_counts::EventCounts;
use crate::model::start_estimate::{StartBaseline, StartEstimator};
use crate::model::walk::WalkResult;

/// A counter that somebody else keeps and may begin anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicCounter {
    before_resets: u64,
    last: u64,
}

impl MonotonicCounter {
    /// Takes a new reading; returns the sum over all resets.
    pub fn update(&mut self, reading: u64) -> u64 {
        if reading < self.last {
            self.before_resets = self.before_resets.saturating_add(self.last);
        }
        self.last = reading;
        self.before_resets.saturating_add(reading)
    }
}

/// How many new node names a container may bring: a token bucket that holds an hour's worth.
#[derive(Debug)]
struct NameBudget {
    tokens: f64,
    refilled_at: Duration,
    /// Names that were let in, by hash, with the time they were last shown.
    known: FxHashMap<u64, Duration>,
}

impl NameBudget {
    const HOUR: Duration = Duration::from_secs(3600);

    fn new(per_hour: u32, now: Duration) -> Self {
        Self { tokens: f64::from(per_hour), refilled_at: now, known: FxHashMap::default() }
    }

    fn refill(&mut self, per_hour: u32, now: Duration) {
        let elapsed = now.saturating_sub(self.refilled_at).as_secs_f64();
        let per_hour = f64::from(per_hour);
        self.tokens = (self.tokens + elapsed * per_hour / Self::HOUR.as_secs_f64()).min(per_hour);
        self.refilled_at = now;
        self.known.retain(|_, last_shown| now.saturating_sub(*last_shown) < Self::HOUR);
    }

    fn admit(&mut self, name: u64, now: Duration) -> bool {
        if let Some(last_shown) = self.known.get_mut(&name) {
            *last_shown = now;
            return true;
        }
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        self.known.insert(name, now);
        true
    }
}

/// What is kept of one container.
#[derive(Debug)]
pub struct ContainerCounters {
    /// Processes that were started, at least.
    pub observed_starts: u64,
    pid_mark: StartBaseline,
    pub limit_hits: MonotonicCounter,
    /// `None` until one of its cgroups is known to the kernel's counters.
    pub events: Option<EventCounts>,
    /// Those among them that came with the last collection.
    pub new_events: EventCounts,
    /// It was among those beyond the cap when it was last there.
    pub is_in_overflow: bool,
    /// Monotonic time of the first collection that saw it (again, after it was gone).
    pub present_since: Duration,
    names: NameBudget,
    last_present: Duration,
}

impl ContainerCounters {
    fn new(new_names_per_hour: u32, now: Duration) -> Self {
        Self {
            observed_starts: 0,
            pid_mark: StartBaseline::default(),
            limit_hits: MonotonicCounter::default(),
            events: None,
            new_events: EventCounts::default(),
            is_in_overflow: false,
            present_since: now,
            names: NameBudget::new(new_names_per_hour, now),
            last_present: now,
        }
    }

    /// Whether the container may show a node of this name (a hash), spending its budget where it is new.
    pub fn admit_name(&mut self, name: u64, now: Duration) -> bool {
        self.names.admit(name, now)
    }
}

/// All ledgers. One for the life of the exporter.
#[derive(Debug)]
pub struct CounterStore {
    new_names_per_hour: u32,
    /// By cgroup path; seeded, since paths are chosen by others.
    by_path: HashMap<Box<str>, ContainerCounters>,
    estimator: StartEstimator,
    last_update: Duration,
    collections: u64,
    folded_nodes: u64,
    /// Events of containers of the overflow that are gone by now.
    overflow_residual: EventCounts,
}

impl CounterStore {
    /// How long the ledger of a container that is gone is kept.
    const KEPT_AFTER_REMOVAL: Duration = Duration::from_secs(3600);
    /// How many such ledgers at most; the longest gone are dropped first.
    const MAX_KEPT_AFTER_REMOVAL: usize = 2_000;

    #[must_use]
    pub fn new(new_names_per_hour: u32) -> Self {
        Self {
            new_names_per_hour,
            by_path: HashMap::new(),
            estimator: StartEstimator::default(),
            last_update: Duration::ZERO,
            collections: 0,
            folded_nodes: 0,
            overflow_residual: EventCounts::default(),
        }
    }

    /// Takes a finished snapshot into account; `is_root` tells by index which members have no parent in their
    /// container. `now` is monotonic.
    pub fn update(
        &mut self,
        walk: &WalkResult,
        is_root: impl Fn(usize) -> bool,
        now: Duration,
        ticks: Option<u64>,
    ) {
        self.estimator.take(walk, is_root, ticks);
        for container in walk.containers.iter().flatten() {
            let fresh = || ContainerCounters::new(self.new_names_per_hour, now);
            let counters_of = self.by_path.entry(container.path.clone()).or_insert_with(fresh);
            counters_of.new_events = EventCounts::default();
            if counters_of.last_present < self.last_update {
                counters_of.present_since = now;
            }
            counters_of.last_present = now;
            counters_of.names.refill(self.new_names_per_hour, now);
        }
        self.collections += 1;
        self.last_update = now;
        self.forget(now);
    }

    /// Adds events of a container, which may have no process now.
    pub fn add(&mut self, path: &str, news: EventCounts, now: Duration) {
        let fresh = || ContainerCounters::new(self.new_names_per_hour, now);
        let counters_of = self.by_path.entry(path.into()).or_insert_with(fresh);
        *counters_of.events.get_or_insert_default() += news;
        counters_of.new_events += news;
        if counters_of.is_in_overflow && counters_of.last_present < self.last_update {
            self.overflow_residual += news;
        }
    }

    /// Events of containers of the overflow that were credited when those were gone.
    #[must_use]
    pub fn overflow_residual(&self) -> EventCounts {
        self.overflow_residual
    }

    fn forget(&mut self, now: Duration) {
        let absent_for = |counters_of: &ContainerCounters| now.saturating_sub(counters_of.last_present);
        self.by_path.retain(|_, counters_of| absent_for(counters_of) < Self::KEPT_AFTER_REMOVAL);
        let mut absences: Vec<Duration> =
            self.by_path.values().map(absent_for).filter(|absence| !absence.is_zero()).collect();
        if absences.len() > Self::MAX_KEPT_AFTER_REMOVAL {
            let (_, &mut longest_kept, _) = absences.select_nth_unstable(Self::MAX_KEPT_AFTER_REMOVAL);
            self.by_path.retain(|_, counters_of| absent_for(counters_of) < longest_kept);
        }
    }

    /// The ledger of a container of the last snapshot.
    pub fn counters_of(&mut self, path: &str) -> Option<&mut ContainerCounters> {
        self.by_path.get_mut(path)
    }

    /// Counts what a container of the last snapshot has started since the one before, at least, and returns
    /// it. `refused` is how many forks were refused by its pids limit so far, where that can be told.
    pub fn count_starts(&mut self, slot: usize, path: &str, refused: Option<u64>) -> u64 {
        let Some(counters_of) = self.by_path.get_mut(path) else {
            return 0;
        };
        let starts = self.estimator.starts(slot, refused, &mut counters_of.pid_mark);
        counters_of.observed_starts += starts;
        starts
    }

    pub fn count_folded(&mut self, nodes: u64) {
        self.folded_nodes += nodes;
    }

    /// Nodes put under `other` by a cap, over all collections.
    #[must_use]
    pub fn folded_nodes(&self) -> u64 {
        self.folded_nodes
    }

    /// Successful collections.
    #[must_use]
    pub fn collections(&self) -> u64 {
        self.collections
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::{Container, Runtime};
    use std::sync::Arc;

    #[test]
    fn the_last_events_of_a_container_in_the_overflow_are_kept() {
        let container = Container {
            path: "/docker/web".into(),
            id: "/docker/web".into(),
            container_id: "".into(),
            pod_uid: "".into(),
            own_name: None,
            runtime: Runtime::Docker,
        };
        let news = EventCounts { exits: [1, 0, 0], ..EventCounts::default() };
        let mut counters = CounterStore::new(100);
        let mut walk = WalkResult { containers: vec![Some(Arc::new(container))], ..WalkResult::default() };
        let at = Duration::from_secs;
        counters.update(&walk, |_| false, at(1), None);
        counters.add("/docker/web", news, at(1));
        counters.counters_of("/docker/web").expect("it is there").is_in_overflow = true;
        assert_eq!(counters.overflow_residual(), EventCounts::default());

        walk.containers[0] = None;
        counters.update(&walk, |_| false, at(2), None);
        counters.add("/docker/web", news, at(2));
        assert_eq!(counters.overflow_residual(), news);
        assert_eq!(
            counters.counters_of("/docker/web").expect("kept").events.expect("counted").exits,
            [2, 0, 0]
        );
    }
}
