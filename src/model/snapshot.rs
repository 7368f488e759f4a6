//! The result of one collection: all processes, and the numbers of each container. Immutable. All exported and
//! displayed data is a function of a snapshot and of the names of containers.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::busiest::NamedSeries;
use super::clock::BootClock;
use super::command_counts::CommandCounts;
use super::container::{Container, Runtime};
use super::container_metadata::ContainerMetadata;
use super::event_counts::EventCounts;
use super::forest::merged_nodes::ExportedNode;
use super::forest::stats::ForestStats;
use super::path_usage::PathUsage;
use super::pids::{NearestLimit, TaskLimits};
use super::pod::PodState;
use super::process::{Membership, ProcessKey};
use super::process_table::ProcessTable;
use super::rates::StartRate;

/// The result of one collection.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub processes: Arc<ProcessTable>,
    /// The containers that are exported individually, sorted by cgroup path.
    pub containers: Vec<Arc<ContainerState>>,
    /// The pods of these containers, sorted by uid.
    pub pods: Vec<PodState>,
    /// The sum of all containers above the limit.
    pub overflow: Option<ContainerNumbers>,
    /// All processes in no container, including those in systemd units; `None` if only the exporter's own container is
    /// visible.
    pub host: Option<ForestStats>,
    /// Kernel threads among the processes of the host. Trees do not show them.
    pub host_kernel_threads: u64,
    /// Processes started on the host; `None` if the kernel does not count forks.
    pub host_forks: Option<u64>,
    pub task_limits: TaskLimits,
    /// All runtimes seen since the start, with their current number of containers.
    pub containers_by_runtime: Vec<(Runtime, u64)>,
    pub clock: BootClock,
    /// Unix time of the start of the collection, in seconds.
    pub collected_at: f64,
    /// The same time in clock ticks since boot; `None` if it is unknown.
    pub collected_at_ticks: Option<u64>,
    /// The same time as monotonic time since the pipeline was created.
    pub collected_at_monotonic: Duration,
    /// Time since the previous successful collection; `None` in the first one.
    pub since_previous: Option<Duration>,
    /// Size of a page of memory in bytes.
    pub page_bytes: u64,
    /// Effective user ids by pid on the host. Filled only by a collection for trees.
    pub users: FxHashMap<u32, u32>,
}

impl Snapshot {
    /// How long a process has been running, in seconds.
    #[must_use]
    pub fn age(&self, key: ProcessKey) -> Option<u64> {
        let ticks = self.collected_at_ticks?.saturating_sub(key.start_time);
        ticks.checked_div(self.clock.ticks_per_second)
    }

    /// Seconds of CPU time.
    #[must_use]
    pub fn cpu_seconds(&self, ticks: u64) -> f64 {
        ticks as f64 / self.clock.ticks_per_second.max(1) as f64
    }

    /// CPU time since the previous collection as a share of one core, in percent.
    #[must_use]
    pub fn cpu_percent(&self, recent_ticks: u64) -> Option<f64> {
        let seconds = self.since_previous?.as_secs_f64();
        (seconds > 0.0).then(|| 100.0 * self.cpu_seconds(recent_ticks) / seconds)
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self, pages: u64) -> u64 {
        pages.saturating_mul(self.page_bytes)
    }
}

/// One container in one collection.
#[derive(Debug)]
pub struct ContainerState {
    /// Its slot, as in the records of its processes.
    pub membership: Membership,
    pub container: Arc<Container>,
    pub numbers: ContainerNumbers,
    /// Monotonic time of the first collection that found it, or that found it again after an absence.
    pub present_since: Duration,
}

impl Deref for ContainerState {
    type Target = ContainerNumbers;

    fn deref(&self) -> &ContainerNumbers {
        &self.numbers
    }
}

/// The numbers of one container; `None` if unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerNumbers {
    pub stats: ForestStats,
    /// Sorted by path.
    pub nodes: Vec<ExportedNode>,
    /// Estimated number of processes started.
    pub observed_starts: u64,
    pub events: Option<EventCounts>,
    /// Those of `events` since the previous collection.
    pub recent_events: Option<EventCounts>,
    /// The busiest commands, whose events are part of `events`; `None` if the kernel does not count by command.
    pub commands: Option<Vec<NamedSeries<CommandCounts>>>,
    /// `None` unless CPU and memory are exported.
    pub usage: Option<Box<PathUsage>>,
    /// `None` in the first collection.
    pub starts: Option<StartRate>,
    pub pids_current: Option<u64>,
    /// The smallest limit, and the one that refuses a fork first. They can be of different cgroups.
    pub pids_limit: Option<u64>,
    pub nearest_limit: Option<NearestLimit>,
    pub pids_peak: Option<u64>,
    /// Sum over all restarts of the container.
    pub pids_limit_hits: Option<u64>,
    /// According to the freezer.
    pub frozen: Option<bool>,
    /// Processes that are in the container's pid namespace but not in its cgroup.
    pub foreign_processes: Option<u64>,
}

/// A snapshot with the names of its containers.
#[derive(Debug, Default)]
pub struct NamedSnapshot {
    pub snapshot: Arc<Snapshot>,
    /// In the order of the snapshot, without containers that still wait for a name.
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
    /// Metadata from the container engine; `None` if no engine knows the container.
    pub metadata: Option<Arc<ContainerMetadata>>,
    /// According to the freezer, or else to the engine.
    pub paused: Option<bool>,
}

impl Deref for ContainerSummary {
    type Target = ContainerState;

    fn deref(&self) -> &ContainerState {
        &self.state
    }
}

/// A tree deeper than this is unlikely to be intended. The alert has the same threshold.
pub const TOO_DEEP: u32 = 50;
/// Share of a pids limit from which a container is near the limit.
const NEAR_LIMIT: f64 = 0.8;

impl ContainerSummary {
    /// Tasks as a share of the nearest pids limit; `None` if there is no limit.
    #[must_use]
    pub fn pids_used_ratio(&self) -> Option<f64> {
        self.nearest_limit.map(|nearest| nearest.used_ratio())
    }

    /// Whether the container is near a pids limit, where forks are rejected.
    #[must_use]
    pub fn is_near_limit(&self) -> bool {
        self.pids_used_ratio().is_some_and(|ratio| ratio >= NEAR_LIMIT)
    }

    /// The image; empty if unknown.
    #[must_use]
    pub fn image(&self) -> &str {
        self.metadata.as_ref().map_or("", |metadata| &metadata.image)
    }

    /// The Docker Compose service; empty if there is none.
    #[must_use]
    pub fn compose_service(&self) -> &str {
        self.metadata.as_ref().map_or("", |metadata| &metadata.compose_service)
    }
}
