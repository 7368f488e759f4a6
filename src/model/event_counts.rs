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
    /// Processes that the OOM killer ended. They are also in `exits`, as killed by a signal.
    pub oom_kills: u64,
    pub lifetimes: Lifetimes,
}

/// How long exited processes lived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetimes {
    /// Number of processes that lived at most as long as the entry of [`LIFETIME_LIMITS`] and longer than the entry
    /// before; those that lived longer than all at the end.
    pub buckets: [u64; LIFETIME_LIMITS.len() + 1],
    /// The sum of all lifetimes, in nanoseconds.
    pub nanoseconds: u64,
}

/// The upper limits of the histogram of lifetimes, in seconds, as in `bpf/pstree.bpf.c`.
pub const LIFETIME_LIMITS: [f64; 5] = [0.01, 0.1, 1.0, 10.0, 60.0];

impl Lifetimes {
    fn since(self, before: Self) -> Self {
        Self {
            buckets: std::array::from_fn(|at| self.buckets[at].saturating_sub(before.buckets[at])),
            nanoseconds: self.nanoseconds.saturating_sub(before.nanoseconds),
        }
    }
}

impl AddAssign for Lifetimes {
    fn add_assign(&mut self, more: Self) {
        for (sum, more) in self.buckets.iter_mut().zip(more.buckets) {
            *sum += more;
        }
        self.nanoseconds = self.nanoseconds.saturating_add(more.nanoseconds);
    }
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
            oom_kills: self.oom_kills.saturating_sub(before.oom_kills),
            lifetimes: self.lifetimes.since(before.lifetimes),
        }
    }

    /// The number of events of all kinds, each exit once.
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
        self.oom_kills += more.oom_kills;
        self.lifetimes += more.lifetimes;
        for (sum, more) in self.exits.iter_mut().zip(more.exits) {
            *sum += more;
        }
    }
}
