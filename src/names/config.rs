//! Where container names come from.

use super::docker_endpoint::Endpoint;

/// An allow-listed Docker label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerLabel {
    /// As Docker knows it.
    pub key: String,
    /// As Prometheus knows it: `label_<name>`.
    pub label: String,
}

/// How names are fetched.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    pub endpoint: Endpoint,
    pub labels: Vec<DockerLabel>,
}
