//! Where container names come from.

use std::time::Duration;

use crate::names::docker_endpoint::Endpoint;

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
    pub timeouts: DockerTimeouts,
}

/// How long is waited for Docker, and how often it is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DockerTimeouts {
    pub ping_interval: Duration,
    pub ping: Duration,
    /// For a list of containers, on a daemon that answers pings meanwhile.
    pub list: Duration,
    /// Events that come together lead to one list.
    pub debounce: Duration,
    /// Docker replays few events, and a stream can be silent: nothing stays unnoticed for longer than this.
    pub relist_interval: Duration,
    /// Covers what happened between the first list and the opening of the event stream.
    pub first_relist: Duration,
    pub retry_interval: Duration,
    /// How long the first collection and `tree` wait for Docker's first answer.
    pub first_answer: Duration,
    /// The same with `--once` and `--check`, which have no second chance to show names.
    pub first_answer_once: Duration,
    /// How long the series of a new container wait for its name.
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
