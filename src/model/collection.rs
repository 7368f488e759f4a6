//! How collections went: the numbers that the exporter exposes about itself.

use super::cgroup_layout::CgroupLayout;
use super::process::Skipped;

/// How the last run of one collector went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CollectorRun {
    pub success: bool,
    /// Seconds.
    pub duration: f64,
    /// Unix time in seconds.
    pub last_success: Option<f64>,
}

/// The kernel's event counters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EventsStatus {
    pub run: CollectorRun,
    /// Events that the kernel could not count.
    pub lost: u64,
    /// Events counted in cgroups that cannot be attributed.
    pub unattributed: u64,
}

/// The state of the pipeline after a collection, failed or not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CollectionStatus {
    /// The labels `source` and `reason` of `pstree_source_info`.
    pub source: &'static str,
    pub source_reason: &'static str,
    /// `None` before the first cgroup file was read.
    pub cgroup_layout: Option<CgroupLayout>,
    /// Cgroup paths are relative to a cgroup namespace: they begin with `/..`.
    pub has_relative_cgroup_paths: bool,
    pub processes: CollectorRun,
    /// `None` where there is no pids controller to read.
    pub pids: Option<CollectorRun>,
    /// `None` where the kernel does not count.
    pub events: Option<EventsStatus>,
    /// Successful collections.
    pub collections: u64,
    /// Processes left out, over all collections.
    pub skipped: Skipped,
    /// Nodes aggregated under `other`, over all collections.
    pub aggregated_nodes: u64,
}

/// The connection to Docker's API.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DockerStatus {
    /// `None` before the first answer, or the first failure to get one.
    pub up: Option<bool>,
    /// Seconds that the last list of containers took.
    pub duration: f64,
    /// Unix time of the last successful list.
    pub last_success: Option<f64>,
}
