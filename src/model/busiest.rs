//! The busiest names of a container, which have their own series: commands by events, paths by CPU time. All others are
//! summed.
//!
//! The series of all names sum up to the totals of the container, and none of them decreases:
//!
//! * A name that becomes one of the busiest starts with its own count. That of earlier collections is already in the sum of
//!   the others, from where only as much can be taken back as the name that it replaces adds to that sum.
//! * A name that is replaced adds its count to the sum of the others.
//!
//! A name that comes back continues from its earlier value if the name that it replaces has at least that value. Otherwise
//! it starts with a lower value, which Prometheus treats as a reset of the counter.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use super::forest::merged_nodes::OTHER;
use super::name_budget::NameBudget;

/// What is counted by name.
pub trait Count: Copy + Default + AddAssign {
    /// What makes a name busy.
    fn total(self) -> u64;

    /// The smaller one, for each kind of event.
    #[must_use]
    fn min(self, other: Self) -> Self;
}

impl Count for u64 {
    fn total(self) -> u64 {
        self
    }

    fn min(self, other: Self) -> Self {
        Ord::min(self, other)
    }
}

/// A name with its own series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSeries<C> {
    pub name: Arc<str>,
    pub count: C,
    /// Since the previous choice.
    pub recent: C,
}

/// A name that is or was among the busiest, or may become one of them.
#[derive(Debug)]
struct Candidate<C> {
    /// Since the name was first counted.
    total: C,
    /// Since the last choice.
    fresh: C,
    /// The recent count: older ones count less.
    activity: f64,
}

/// The names of one container. All times are monotonic.
#[derive(Debug)]
pub struct Busiest<C> {
    /// Uses a seeded hasher, because containers choose the names.
    candidates: HashMap<Arc<str>, Candidate<C>>,
    named: Vec<NamedSeries<C>>,
    budget: NameBudget,
    chosen_at: Duration,
    /// Whether events were added since the last choice.
    has_fresh: bool,
}

impl<C: Count> Busiest<C> {
    /// New names of one container that get a series within an hour.
    const NEW_NAMES_PER_HOUR: u32 = 50;
    /// Names between two choices. More are not distinguished.
    const MAX_CANDIDATES: usize = 64;
    /// Names that are kept from one choice to the next, in addition to those with a series.
    const MAX_KEPT: usize = 16;
    /// Time after which an event counts half.
    const HALF_LIFE: Duration = Duration::from_secs(60);
    /// How many times busier a name must be than the one that it replaces.
    const HYSTERESIS: f64 = 2.0;

    #[must_use]
    pub fn new(now: Duration) -> Self {
        Self {
            candidates: HashMap::new(),
            named: Vec::new(),
            budget: NameBudget::new(Self::NEW_NAMES_PER_HOUR, now),
            chosen_at: now,
            has_fresh: false,
        }
    }

    /// Adds new events of a name.
    pub fn add(&mut self, name: &str, count: C) {
        // A name with the name of the sum belongs to it.
        if name == OTHER {
            return;
        }
        if !self.candidates.contains_key(name) {
            if self.candidates.len() >= Self::MAX_CANDIDATES {
                return;
            }
            let new = Candidate { total: C::default(), fresh: C::default(), activity: 0.0 };
            self.candidates.insert(name.into(), new);
        }
        if let Some(candidate) = self.candidates.get_mut(name) {
            self.has_fresh = true;
            candidate.total += count;
            candidate.fresh += count;
        }
    }

    /// Chooses at most `limit` names, from the events that were added.
    pub fn choose(&mut self, limit: usize, now: Duration) {
        for series in &mut self.named {
            series.recent = C::default();
        }
        if !self.has_fresh {
            return;
        }
        self.has_fresh = false;
        let elapsed = now.saturating_sub(self.chosen_at).as_secs_f64();
        self.chosen_at = now;
        let decay = 0.5_f64.powf(elapsed / Self::HALF_LIFE.as_secs_f64());
        for candidate in self.candidates.values_mut() {
            candidate.activity = candidate.activity * decay + candidate.fresh.total() as f64;
        }
        for series in &mut self.named {
            if let Some(candidate) = self.candidates.get(&series.name) {
                series.count += candidate.fresh;
                series.recent = candidate.fresh;
            }
        }
        self.budget.refill(Self::NEW_NAMES_PER_HOUR, now);
        for name in self.by_activity() {
            let candidate = &self.candidates[&name];
            if candidate.fresh.total() == 0 || self.named.iter().any(|series| series.name == name) {
                continue;
            }
            let replaced = if self.named.len() < limit {
                None
            } else {
                let is_busier =
                    |&(_, activity): &(usize, f64)| candidate.activity > Self::HYSTERESIS * activity;
                match self.least_active().filter(is_busier) {
                    Some((index, _)) => Some(index),
                    None => break,
                }
            };
            if !self.budget.admit(hash(&name), now) {
                continue;
            }
            let mut available = replaced.map_or(C::default(), |index| self.named[index].count);
            available += candidate.fresh;
            let series = NamedSeries { count: candidate.total.min(available), recent: candidate.fresh, name };
            match replaced {
                Some(index) => self.named[index] = series,
                None => self.named.push(series),
            }
        }
        self.end_choice();
    }

    /// The names with their own series.
    #[must_use]
    pub fn named(&self) -> &[NamedSeries<C>] {
        &self.named
    }

    /// All candidates, the most active one first.
    fn by_activity(&self) -> Vec<Arc<str>> {
        let mut sorted: Vec<(&Arc<str>, f64)> =
            self.candidates.iter().map(|(name, candidate)| (name, candidate.activity)).collect();
        sorted.sort_unstable_by(|(a, a_activity), (b, b_activity)| {
            b_activity.total_cmp(a_activity).then_with(|| a.cmp(b))
        });
        sorted.into_iter().map(|(name, _)| Arc::clone(name)).collect()
    }

    /// The index and the activity of the named name that is the least active, and among those the one with the fewest
    /// events.
    fn least_active(&self) -> Option<(usize, f64)> {
        let activity = |series: &NamedSeries<C>| {
            self.candidates.get(&series.name).map_or(0.0, |candidate| candidate.activity)
        };
        let rank = |series: &NamedSeries<C>| (activity(series), series.count.total());
        let least = self.named.iter().enumerate().min_by(|(_, a), (_, b)| {
            let (a, b) = (rank(a), rank(b));
            a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
        });
        least.map(|(index, series)| (index, activity(series)))
    }

    /// Drops the candidates that are the least active.
    fn end_choice(&mut self) {
        for candidate in self.candidates.values_mut() {
            candidate.fresh = C::default();
        }
        if self.candidates.len() <= Self::MAX_KEPT {
            return;
        }
        let named = &self.named;
        let is_named = |name: &Arc<str>| named.iter().any(|series| series.name == *name);
        let kept: Vec<Arc<str>> = self.by_activity().into_iter().filter(|it| !is_named(it)).collect();
        for name in kept.iter().skip(Self::MAX_KEPT) {
            self.candidates.remove(name);
        }
    }
}

/// SipHash: names that collide are expensive to find.
fn hash(name: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::command_counts::CommandCounts;

    fn forks(forks: u64) -> CommandCounts {
        CommandCounts { forks, ..CommandCounts::default() }
    }

    /// A container, with the sum of all events.
    struct Container {
        commands: Busiest<CommandCounts>,
        total: u64,
        seconds: u64,
    }

    impl Container {
        fn new() -> Self {
            Self { commands: Busiest::new(Duration::ZERO), total: 0, seconds: 0 }
        }

        /// Five seconds in which these commands fork.
        fn collect(&mut self, events: &[(&str, u64)]) {
            self.seconds += 5;
            for &(command, count) in events {
                self.commands.add(command, forks(count));
                self.total += count;
            }
            self.commands.choose(5, Duration::from_secs(self.seconds));
        }

        fn of(&self, command: &str) -> Option<u64> {
            self.commands.named().iter().find(|it| &*it.name == command).map(|it| it.count.forks)
        }

        /// What the series of all other commands shows.
        fn others(&self) -> u64 {
            let named: u64 = self.commands.named().iter().map(|it| it.count.forks).sum();
            self.total.checked_sub(named).expect("the named commands have no more events than all")
        }
    }

    #[test]
    fn a_command_is_exact_from_its_first_event() {
        let mut container = Container::new();
        container.collect(&[("sh", 3), ("date", 2)]);
        container.collect(&[("sh", 300)]);
        assert_eq!((container.of("sh"), container.of("date"), container.others()), (Some(303), Some(2), 0));
    }

    #[test]
    fn a_storm_is_named_at_once_and_exact_if_all_series_are_taken() {
        let mut container = Container::new();
        for _ in 0..100 {
            container.collect(&[("a", 10), ("b", 10), ("c", 10), ("d", 10), ("e", 5)]);
        }
        container.collect(&[("a", 10), ("b", 10), ("c", 10), ("d", 10), ("e", 5), ("storm", 1500)]);
        assert_eq!((container.of("storm"), container.of("e")), (Some(1500), None));
        assert_eq!(container.others(), 505, "the command that it replaced");
    }

    #[test]
    fn a_command_that_is_a_little_busier_replaces_none() {
        let mut container = Container::new();
        for _ in 0..100 {
            container.collect(&[("a", 10), ("b", 10), ("c", 10), ("d", 10), ("e", 10)]);
            container.collect(&[("a", 10), ("b", 10), ("c", 10), ("d", 10), ("e", 10), ("f", 19)]);
        }
        assert_eq!((container.of("f"), container.others()), (None, 1900));
    }

    #[test]
    fn a_command_that_comes_back_continues_from_its_value() {
        let mut container = Container::new();
        let others = [("b", 900), ("c", 900), ("d", 900), ("e", 900)];
        container.collect(&[&[("a", 300)][..], &others].concat());
        // The storm replaces `a`, which then replaces the storm.
        for _ in 0..10 {
            container.collect(&[&[("storm", 5000)][..], &others].concat());
        }
        assert_eq!((container.of("a"), container.of("storm")), (None, Some(50_000)));
        let mut before = container.others();
        for round in 0..200 {
            container.collect(&[&[("a", 9000)][..], &others].concat());
            assert!(container.others() >= before, "round {round}: the sum of the others decreased");
            before = container.others();
        }
        let a = container.of("a").expect("it is busy");
        assert!((300..=300 + 200 * 9000).contains(&a), "{a}");
        assert_eq!(container.of("storm"), None);
    }

    /// Numbers that look random.
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    #[test]
    fn sums_are_exact_and_neither_a_series_nor_the_sum_of_the_others_decreases() {
        let names: Vec<String> = (0..30).map(|number| format!("c{number}")).collect();
        let mut state = 1;
        let mut container = Container::new();
        let mut last: HashMap<Arc<str>, u64> = HashMap::new();
        let mut last_others = 0;
        for _ in 0..5_000 {
            let busy = random(&mut state) as usize % names.len();
            let events: Vec<(&str, u64)> = (0..random(&mut state) % 8)
                .map(|offset| (&*names[(busy + offset as usize) % names.len()], random(&mut state) % 1000))
                .collect();
            container.collect(&events);
            assert!(container.commands.named().len() <= 5);
            assert!(container.others() >= last_others);
            last_others = container.others();
            let now: HashMap<Arc<str>, u64> =
                container.commands.named().iter().map(|it| (Arc::clone(&it.name), it.count.forks)).collect();
            for (command, &count) in &now {
                assert!(last.get(command).is_none_or(|&before| before <= count), "{command}");
            }
            last = now;
        }
    }

    #[test]
    fn random_names_are_limited_in_number_and_memory() {
        let mut container = Container::new();
        let mut seen = std::collections::HashSet::new();
        for collection in 0..720 {
            let names: Vec<String> = (0..100).map(|number| format!("n{collection}-{number}")).collect();
            let events: Vec<(&str, u64)> = names.iter().map(|name| (&**name, 1 + collection)).collect();
            container.collect(&events);
            seen.extend(container.commands.named().iter().map(|it| Arc::clone(&it.name)));
            let kept = container.commands.candidates.len();
            assert!(kept <= Busiest::<CommandCounts>::MAX_KEPT + 5, "{kept} candidates");
        }
        // The budget of the first hour, and what it gained meanwhile.
        assert!(seen.len() <= 100, "{} names in an hour", seen.len());
        assert_eq!(
            container.total,
            container.others() + container.commands.named().iter().map(|it| it.count.forks).sum::<u64>()
        );
    }

    #[test]
    fn a_command_with_the_name_of_the_sum_belongs_to_it() {
        let mut container = Container::new();
        container.collect(&[(OTHER, 7)]);
        assert_eq!((container.of(OTHER), container.others()), (None, 7));
    }
}
