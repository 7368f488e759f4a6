//! Forks, execs and unsuccessful exits of one command.

use std::ops::{AddAssign, Sub};

use super::busiest::Count;
use super::event_counts::EventCounts;

/// Events of one command: forks by that of the parent, execs by that of the new program, exits by that of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandCounts {
    pub forks: u64,
    pub execs: u64,
    /// By [`COMMAND_OUTCOMES`]. Each exit has one outcome.
    pub exits: [u64; 3],
}

/// The values of the label `outcome` of exits by command: another exit status than 0, killed by a signal, killed by the
/// OOM killer.
pub const COMMAND_OUTCOMES: [&str; 3] = ["failure", "signal", "oom_kill"];

impl CommandCounts {
    /// The events of all commands together.
    #[must_use]
    pub fn of_all(events: &EventCounts) -> Self {
        let [_, failure, signal] = events.exits;
        let exits = [failure, signal.saturating_sub(events.oom_kills), events.oom_kills];
        Self { forks: events.forks, execs: events.execs, exits }
    }

    /// The same events without their command.
    #[must_use]
    pub fn to_events(self) -> EventCounts {
        let [failure, signal, oom_kills] = self.exits;
        EventCounts {
            forks: self.forks,
            execs: self.execs,
            exits: [0, failure, signal + oom_kills],
            oom_kills,
            ..EventCounts::default()
        }
    }

    fn zip(self, other: Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            forks: combine(self.forks, other.forks),
            execs: combine(self.execs, other.execs),
            exits: std::array::from_fn(|outcome| combine(self.exits[outcome], other.exits[outcome])),
        }
    }
}

impl Count for CommandCounts {
    fn total(self) -> u64 {
        self.forks + self.execs + self.exits.iter().sum::<u64>()
    }

    fn min(self, other: Self) -> Self {
        self.zip(other, Ord::min)
    }
}

impl AddAssign for CommandCounts {
    fn add_assign(&mut self, more: Self) {
        *self = self.zip(more, u64::saturating_add);
    }
}

impl Sub for CommandCounts {
    type Output = Self;

    /// Never below 0.
    fn sub(self, other: Self) -> Self {
        self.zip(other, u64::saturating_sub)
    }
}
