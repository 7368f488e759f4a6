//! Settings for container names.

use crate::names::docker_endpoint::Endpoint;

/// A Docker label that is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerLabel {
    /// The name of the label in Docker.
    pub key: String,
    /// The name of the label in Prometheus: `label_<name>`.
    pub label: String,
}

/// Settings of the Docker client.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    pub endpoint: Endpoint,
    pub labels: Vec<DockerLabel>,
}
