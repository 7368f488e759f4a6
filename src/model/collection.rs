//! The status of collections, which the exporter exposes about itself.

use std::sync::Arc;

use super::cgroup_layout::{CgroupLayout, CgroupPaths};
use super::process::Skipped;

/// The status of the last run of one collector.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CollectorRun {
    pub success: bool,
    /// Duration of the last run in seconds.
    pub duration: f64,
    /// Unix time of the last successful run, in seconds.
    pub last_success: Option<f64>,
}

/// The kernel's event counters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EventsStatus {
    pub run: CollectorRun,
    /// Events that the kernel could not count.
    pub lost: u64,
    /// Events counted in cgroups whose owner is unknown.
    pub unattributed: u64,
}

/// The status of the pipeline after a successful or failed collection.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CollectionStatus {
    /// The labels `source` and `reason` of `pstree_source_info`.
    pub source: &'static str,
    pub source_reason: &'static str,
    /// `None` until the first cgroup file is read.
    pub cgroup_layout: Option<CgroupLayout>,
    pub cgroup_paths: CgroupPaths,
    /// A path outside of the exporter's cgroup namespace was seen and could not be completed.
    pub has_relative_cgroup_paths: bool,
    pub processes: CollectorRun,
    /// `None` if no pids controller can be read.
    pub pids: Option<CollectorRun>,
    /// `None` if the kernel does not count events.
    pub events: Option<EventsStatus>,
    /// Successful collections.
    pub collections: u64,
    /// Processes skipped in all collections.
    pub skipped: Skipped,
    /// Nodes aggregated under `other` in all collections.
    pub aggregated_nodes: u64,
}

/// The status of an API that has names.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ApiStatus {
    /// `None` until the API has answered or failed for the first time.
    pub up: Option<bool>,
    /// Duration of the last list of containers in seconds.
    pub duration: f64,
    /// Unix time of the last successful list, in seconds. `None` if the API has never answered.
    pub last_success: Option<f64>,
}

/// The status of every API that has names, with its address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamesStatus {
    pub docker: Vec<(Arc<str>, ApiStatus)>,
    pub containerd: Vec<(Arc<str>, ApiStatus)>,
    pub cri: Vec<(Arc<str>, ApiStatus)>,
}

impl NamesStatus {
    /// Whether the same APIs are up in `other`.
    #[must_use]
    pub fn has_same_apis_up(&self, other: &Self) -> bool {
        let same = |a: &[(Arc<str>, ApiStatus)], b: &[(Arc<str>, ApiStatus)]| {
            let up = |(name, status): &(Arc<str>, ApiStatus)| (Arc::clone(name), status.up);
            a.iter().map(up).eq(b.iter().map(up))
        };
        same(&self.docker, &other.docker)
            && same(&self.containerd, &other.containerd)
            && same(&self.cri, &other.cri)
    }
}
