//! The rate of processes started between two collections.

use std::time::Duration;

/// Processes that a container starts per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StartRate {
    pub per_second: f64,
    /// Whether the kernel counted the starts. Otherwise, the rate is an estimate and a lower bound.
    pub is_exact: bool,
}

/// The counters of started processes in one collection.
#[derive(Clone, Copy, Debug)]
pub struct CountedStarts {
    /// Monotonic time.
    pub at: Duration,
    /// `None` if the kernel does not count forks.
    pub forks: Option<u64>,
    pub observed: u64,
}

impl CountedStarts {
    /// The rate since an earlier collection. Uses the kernel's count if both collections have it.
    #[must_use]
    pub fn rate_since(&self, before: &Self) -> Option<StartRate> {
        let seconds = self.at.checked_sub(before.at).filter(|elapsed| !elapsed.is_zero())?.as_secs_f64();
        let (started, is_exact) = match self.forks.zip(before.forks) {
            Some((now, before)) => (now.saturating_sub(before), true),
            None => (self.observed.saturating_sub(before.observed), false),
        };
        Some(StartRate { per_second: started as f64 / seconds, is_exact })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_prefers_the_count_of_the_kernel_and_needs_time() {
        let at =
            |seconds, forks, observed| CountedStarts { at: Duration::from_secs(seconds), forks, observed };
        let rate = |per_second, is_exact| Some(StartRate { per_second, is_exact });
        assert_eq!(at(3, Some(110), 12).rate_since(&at(1, Some(100), 10)), rate(5.0, true));
        assert_eq!(at(5, None, 13).rate_since(&at(3, Some(110), 12)), rate(0.5, false));
        assert_eq!(at(3, Some(1), 1).rate_since(&at(3, Some(0), 0)), None);
    }
}
