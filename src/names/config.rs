//! Settings for container names.

use std::path::PathBuf;
use std::time::Duration;

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
    pub timeouts: DockerTimeouts,
}

/// The directories in which the kubelet creates names for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirectories {
    pub containers: PathBuf,
    pub pods: PathBuf,
}

impl LogDirectories {
    /// The directory `containers`, and the directory `pods` next to it.
    #[must_use]
    pub fn new(containers: PathBuf) -> Self {
        Self { pods: containers.with_file_name("pods"), containers }
    }
}

/// Timeouts and intervals of the Docker client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DockerTimeouts {
    pub ping_interval: Duration,
    pub ping: Duration,
    /// For a list of containers. The daemon answers pings in this time.
    pub list: Duration,
    /// Events within this time lead to one list.
    pub debounce: Duration,
    /// Between lists without an event. The stream can lose events: Docker replays at most 256.
    pub relist_interval: Duration,
    /// A second list shortly after the first covers the time until the event stream was open.
    pub first_relist: Duration,
    /// Between attempts to connect.
    pub retry_interval: Duration,
    /// Time that the first collection and `tree` wait for Docker's first response.
    pub first_answer: Duration,
    /// The same with `--once` and `--check`, which have no later collection that could add names.
    pub first_answer_once: Duration,
    /// Time that the series of a new container wait for its name.
    pub new_container: Duration,
}

impl Default for DockerTimeouts {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(2),
            ping: Duration::from_secs(2),
            list: Duration::from_secs(4),
            debounce: Duration::from_millis(150),
            relist_interval: Duration::from_secs(30),
            first_relist: Duration::from_secs(1),
            retry_interval: Duration::from_secs(1),
            first_answer: Duration::from_secs(2),
            first_answer_once: Duration::from_secs(5),
            new_container: Duration::from_secs(2),
        }
    }
}

impl DockerTimeouts {
    /// The defaults, each multiplied by `factor`.
    #[must_use]
    pub fn scaled(factor: f64) -> Self {
        let all = Self::default();
        Self {
            ping_interval: all.ping_interval.mul_f64(factor),
            ping: all.ping.mul_f64(factor),
            list: all.list.mul_f64(factor),
            debounce: all.debounce.mul_f64(factor),
            relist_interval: all.relist_interval.mul_f64(factor),
            first_relist: all.first_relist.mul_f64(factor),
            retry_interval: all.retry_interval.mul_f64(factor),
            first_answer: all.first_answer.mul_f64(factor),
            first_answer_once: all.first_answer_once.mul_f64(factor),
            new_container: all.new_container.mul_f64(factor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_counts_as_down_within_five_seconds() {
        let timeouts = DockerTimeouts::default();
        let limit = Duration::from_secs(5);
        assert!(timeouts.ping_interval + timeouts.ping <= limit, "a daemon that no longer answers");
        assert!(timeouts.list <= limit, "a list that does not end");
        assert!(timeouts.first_answer <= limit, "the first collection");
    }

    #[test]
    fn a_factor_scales_every_timeout() {
        let (all, scaled) = (DockerTimeouts::default(), DockerTimeouts::scaled(2.0));
        assert_eq!(DockerTimeouts::scaled(1.0), all);
        assert_eq!((scaled.ping, scaled.relist_interval), (all.ping * 2, all.relist_interval * 2));
    }
}
