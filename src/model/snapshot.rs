//! One moment of all containers: what every picture of the forests is made from. Pure.

use std::sync::Arc;

use crate::model::clock::BootClock;
use crate::model::container::Container;
use crate::model::container_metadata::ContainerMetadata;
use crate::model::forest::stats::ForestStats;
use crate::model::process::{Membership, ProcessKey};
use crate::model::process_table::ProcessTable;

/// All processes, and what is known of each container beside them.
#[derive(Debug, Default)]
pub struct NamedSnapshot {
    pub processes: Arc<ProcessTable>,
    /// In the order of their ids.
    pub containers: Vec<ContainerSummary>,
    /// Everything in no container; `None` where only the inside of one is seen.
    pub host: Option<ForestStats>,
    /// Kernel threads among them, which no tree shows.
    pub host_kernel_threads: u64,
    pub clock: BootClock,
    /// Unix time in seconds.
    pub collected_at: f64,
    /// The same in clock ticks since boot.
    pub collected_at_ticks: Option<u64>,
}

/// A container without its processes.
#[derive(Clone, Debug)]
pub struct ContainerSummary {
    pub membership: Membership,
    pub container: Arc<Container>,
    pub name: Box<str>,
    /// What Docker says; `None` where nobody does.
    pub metadata: Option<Arc<ContainerMetadata>>,
    pub stats: ForestStats,
    pub pids_current: Option<u64>,
    pub pids_limit: Option<u64>,
    pub paused: Option<bool>,
    /// `None` at the first look.
    pub starts: Option<StartRate>,
}

/// How fast a container starts processes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StartRate {
    pub per_second: f64,
    /// Counted by the kernel; else a lower bound.
    pub is_exact: bool,
}

impl NamedSnapshot {
    /// How long a process has been running, in seconds.
    #[must_use]
    pub fn age(&self, key: ProcessKey) -> Option<u64> {
        let ticks = self.collected_at_ticks?.saturating_sub(key.start_time);
        ticks.checked_div(self.clock.ticks_per_second)
    }
}

/// A tree that is deeper is deeper than anybody meant it to be; the alert on that has the same bound.
pub const TOO_DEEP: u32 = 50;
/// From this share of its pids limit on a container is near it.
const NEAR_LIMIT: f64 = 0.8;

impl ContainerSummary {
    /// Pids in use, as a part of the limit; `None` where there is none.
    #[must_use]
    pub fn pids_share(&self) -> Option<f64> {
        Some(self.pids_current? as f64 / self.pids_limit?.max(1) as f64)
    }

    /// Whether forks are about to be refused.
    #[must_use]
    pub fn is_near_limit(&self) -> bool {
        self.pids_share().is_some_and(|share| share >= NEAR_LIMIT)
    }

    /// The image that Docker names; empty where nobody does.
    #[must_use]
    pub fn image(&self) -> &str {
        self.metadata.as_ref().map_or("", |metadata| &metadata.image)
    }

    /// The service of Compose that Docker names; empty where there is none.
    #[must_use]
    pub fn compose_service(&self) -> &str {
        self.metadata.as_ref().map_or("", |metadata| &metadata.compose_service)
    }
}
