//! Forks, execs and exits as the kernel counts them.

use std::ops::AddAssign;

/// Events, which the kernel counts when they occur.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Processes started.
    pub forks: u64,
    /// Threads started, without the first thread of each process.
    pub thread_starts: u64,
    pub execs: u64,
    /// Processes that exited, by [`OUTCOMES`].
    pub exits: [u64; 3],
}

/// The values of the label `outcome`: exit status 0, another exit status, killed by a signal.
pub const OUTCOMES: [&str; 3] = ["success", "failure", "signal"];

impl EventCounts {
    /// The events counted since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        let exits = std::array::from_fn(|outcome| self.exits[outcome].saturating_sub(before.exits[outcome]));
        Self {
            forks: self.forks.saturating_sub(before.forks),
            thread_starts: self.thread_starts.saturating_sub(before.thread_starts),
            execs: self.execs.saturating_sub(before.execs),
            exits,
        }
    }

    /// The number of events of all kinds.
    #[must_use]
    pub fn total(self) -> u64 {
        self.forks + self.thread_starts + self.execs + self.exits.iter().sum::<u64>()
    }
}

impl AddAssign for EventCounts {
    fn add_assign(&mut self, more: Self) {
        self.forks += more.forks;
        self.thread_starts += more.thread_starts;
        self.execs += more.execs;
        for (sum, more) in self.exits.iter_mut().zip(more.exits) {
            *sum += more;
        }
    }
}
