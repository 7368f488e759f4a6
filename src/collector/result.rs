//! What a collection leaves for its publication.

use std::time::{Duration, Instant};

use crate::events::tally::EventCounts;
use crate::forest::nodes::ShownNode;
use crate::forest::shape::Shape;
use crate::pids::PidsReading;

/// What a collection found of one container, beside its shape.
#[derive(Debug, Default)]
pub struct ContainerResult {
    pub nodes: Vec<ShownNode>,
    pub pids: PidsReading,
    pub limit_hits: Option<u64>,
    pub observed_starts: u64,
    pub events: Option<EventCounts>,
    /// Monotonic time since which it is there.
    pub present_since: Duration,
    pub intruders: Option<u64>,
}

/// All containers beyond the cap, as one.
#[derive(Debug, Default)]
pub struct Overflow {
    pub shape: Shape,
    pub result: ContainerResult,
}

/// When a collection was begun, by all clocks.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    pub at: Instant,
    /// Seconds.
    pub unix: f64,
    /// Clock ticks since boot, as start times have them; `None` where the procfs does not tell.
    pub ticks: Option<u64>,
}
