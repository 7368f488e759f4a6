//! Processes started a second, from one collection to the next. Pure.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::event_counts::EventCounts;
use crate::model::snapshot::StartRate;

/// The counters of the last collection by container path.
#[derive(Debug, Default)]
pub struct Rates {
    last: HashMap<Box<str>, Counted>,
    now: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    at: Duration,
    forks: Option<u64>,
    starts: u64,
    rate: Option<StartRate>,
    is_present: bool,
}

impl Rates {
    /// Begins a publication of the collection taken at `now`, a monotonic time.
    pub fn begin(&mut self, now: Duration) {
        self.now = now;
        self.last.values_mut().for_each(|counted| counted.is_present = false);
    }

    /// Takes the counters of one container. `None` at its first collection. A collection that is published
    /// again has the same rate.
    pub fn update(&mut self, path: &str, events: Option<EventCounts>, starts: u64) -> Option<StartRate> {
        let forks = events.map(|events| events.forks);
        let fresh = Counted { at: self.now, forks, starts, rate: None, is_present: true };
        let Some(last) = self.last.get_mut(path) else {
            self.last.insert(path.into(), fresh);
            return None;
        };
        if last.at < self.now {
            let seconds = (self.now - last.at).as_secs_f64();
            let (grown, is_exact) = match forks.zip(last.forks) {
                Some((now, before)) => (now.saturating_sub(before), true),
                None => (starts.saturating_sub(last.starts), false),
            };
            *last =
                Counted { rate: Some(StartRate { per_second: grown as f64 / seconds, is_exact }), ..fresh };
        }
        last.is_present = true;
        last.rate
    }

    /// Forgets containers that are gone.
    pub fn finish(&mut self) {
        self.last.retain(|_, counted| counted.is_present);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forks(forks: u64) -> Option<EventCounts> {
        Some(EventCounts { forks, ..EventCounts::default() })
    }

    #[test]
    fn a_rate_needs_two_collections_and_prefers_the_kernels_count() {
        let mut rates = Rates::default();
        let mut at = |seconds, events, starts| {
            rates.begin(Duration::from_secs(seconds));
            let rate = rates.update("/docker/a", events, starts);
            rates.finish();
            rate
        };
        assert_eq!(at(1, forks(100), 10), None);
        assert_eq!(at(3, forks(110), 12), Some(StartRate { per_second: 5.0, is_exact: true }));
        assert_eq!(
            at(3, forks(110), 12),
            Some(StartRate { per_second: 5.0, is_exact: true }),
            "published again"
        );
        assert_eq!(at(5, None, 13), Some(StartRate { per_second: 0.5, is_exact: false }));
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut rates = Rates::default();
        rates.begin(Duration::from_secs(1));
        rates.update("/docker/a", None, 1);
        rates.finish();
        rates.begin(Duration::from_secs(2));
        rates.finish();
        assert!(rates.last.is_empty());
    }
}
