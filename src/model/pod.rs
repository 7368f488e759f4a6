//! A pod: the containers that share one cgroup and its limits.

use std::sync::Arc;

use super::container::Container;
use super::pids::PodPids;

/// One pod in one collection.
#[derive(Debug)]
pub struct PodState {
    /// One of its containers.
    pub container: Arc<Container>,
    pub pids: PodPids,
}

impl PodState {
    /// The label `pod_uid`.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.container.pod_uid
    }
}
