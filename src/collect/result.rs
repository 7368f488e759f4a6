//! What a collection leaves for its publication.

use std::time::{Duration, Instant};

use crate::model::event_counts::EventCounts;
use crate::model::forest::merged_nodes::ExportedNode;
use crate::model::forest::stats::ForestStats;
use crate::model::limits::PidsReading;

/// What a collection found of one container, beside its shape.
#[derive(Debug, Default)]
pub struct ContainerResult {
    pub nodes: Vec<ExportedNode>,
    pub pids: PidsReading,
    pub limit_hits: Option<u64>,
    pub observed_starts: u64,
    pub events: Option<EventCounts>,
    /// Monotonic time since which it is there.
    pub present_since: Duration,
    pub foreign_processes: Option<u64>,
}

/// All containers beyond the cap, as one.
#[derive(Debug, Default)]
pub struct Overflow {
    pub stats: ForestStats,
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
