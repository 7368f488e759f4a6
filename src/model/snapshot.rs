//! What one collection knows: all processes, and the numbers of each container. Immutable; everything that is exported
//! or shown is a function of it and of the names of containers.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::clock::BootClock;
use super::container::{Container, Runtime};
use super::container_metadata::ContainerMetadata;
use super::event_counts::EventCounts;
use super::forest::merged_nodes::ExportedNode;
use super::forest::stats::ForestStats;
use super::pids::TaskLimits;
use super::process::{Membership, ProcessKey};
use super::process_table::ProcessTable;
use super::rates::StartRate;

/// The result of one collection.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub processes: Arc<ProcessTable>,
    /// The containers that are exported one by one, in the order of their cgroup paths.
    pub containers: Vec<Arc<ContainerState>>,
    /// All containers beyond the limit, as one.
    pub overflow: Option<ContainerNumbers>,
    /// Everything in no container; `None` where only the inside of one container is visible.
    pub host: Option<ForestStats>,
    /// Kernel threads among the processes of the host, which no tree shows.
    pub host_kernel_threads: u64,
    /// Processes started on the host; `None` where the kernel does not count.
    pub host_forks: Option<u64>,
    pub task_limits: TaskLimits,
    /// Runtimes that were ever seen, with the number of their containers now.
    pub containers_by_runtime: Vec<(Runtime, u64)>,
    pub clock: BootClock,
    /// Unix time in seconds at which the collection began.
    pub collected_at: f64,
    /// The same in clock ticks since boot; `None` where the procfs does not show it.
    pub collected_at_ticks: Option<u64>,
    /// The same as monotonic time since the pipeline was made.
    pub collected_at_monotonic: Duration,
    /// Effective user ids by pid on the host, only where the collection was asked for them.
    pub users: FxHashMap<u32, u32>,
}

impl Snapshot {
    /// How long a process has been running, in seconds.
    #[must_use]
    pub fn age(&self, key: ProcessKey) -> Option<u64> {
        let ticks = self.collected_at_ticks?.saturating_sub(key.start_time);
        ticks.checked_div(self.clock.ticks_per_second)
    }
}

/// One container in one collection.
#[derive(Debug)]
pub struct ContainerState {
    /// Its slot, as the records of its processes have it.
    pub membership: Membership,
    pub container: Arc<Container>,
    pub numbers: ContainerNumbers,
    /// Monotonic time of the first collection that saw it, or saw it again.
    pub present_since: Duration,
}

impl Deref for ContainerState {
    type Target = ContainerNumbers;

    fn deref(&self) -> &ContainerNumbers {
        &self.numbers
    }
}

/// The numbers of one container; `None` is what is not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerNumbers {
    pub stats: ForestStats,
    /// Sorted by path.
    pub nodes: Vec<ExportedNode>,
    /// An estimate of the processes started.
    pub observed_starts: u64,
    pub events: Option<EventCounts>,
    /// `None` in the first collection.
    pub starts: Option<StartRate>,
    pub pids_current: Option<u64>,
    pub pids_limit: Option<u64>,
    pub pids_peak: Option<u64>,
    /// Over all restarts of the container.
    pub pids_limit_hits: Option<u64>,
    /// As the freezer says.
    pub frozen: Option<bool>,
    /// Processes outside the cgroup but inside the container's pid namespace.
    pub foreign_processes: Option<u64>,
}

/// A snapshot with the names of its containers.
#[derive(Debug, Default)]
pub struct NamedSnapshot {
    pub snapshot: Arc<Snapshot>,
    /// In the order of the snapshot, without those that still wait for a name.
    pub containers: Vec<ContainerSummary>,
}

impl Deref for NamedSnapshot {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

/// One container with its name.
#[derive(Clone, Debug)]
pub struct ContainerSummary {
    pub state: Arc<ContainerState>,
    /// The label `name`.
    pub name: Box<str>,
    /// What the container engine says; `None` where no engine knows the container.
    pub metadata: Option<Arc<ContainerMetadata>>,
    /// By the freezer, else by the engine.
    pub paused: Option<bool>,
}

impl Deref for ContainerSummary {
    type Target = ContainerState;

    fn deref(&self) -> &ContainerState {
        &self.state
    }
}

/// A tree that is deeper than this is deeper than anybody intends; the alert has the same threshold.
pub const TOO_DEEP: u32 = 50;
/// From this share of its pids limit on, a container is near the limit.
const NEAR_LIMIT: f64 = 0.8;

impl ContainerSummary {
    /// Tasks as a share of the pids limit; `None` where there is no limit.
    #[must_use]
    pub fn pids_share(&self) -> Option<f64> {
        Some(self.pids_current? as f64 / self.pids_limit?.max(1) as f64)
    }

    /// Whether forks will soon be refused.
    #[must_use]
    pub fn is_near_limit(&self) -> bool {
        self.pids_share().is_some_and(|share| share >= NEAR_LIMIT)
    }

    /// The image; empty where no engine names it.
    #[must_use]
    pub fn image(&self) -> &str {
        self.metadata.as_ref().map_or("", |metadata| &metadata.image)
    }

    /// The service of Docker Compose; empty where there is none.
    #[must_use]
    pub fn compose_service(&self) -> &str {
        self.metadata.as_ref().map_or("", |metadata| &metadata.compose_service)
    }
}
