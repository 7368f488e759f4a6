//! Settings for container names.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::default_sockets;
use super::endpoint::Endpoint;

/// Which sources of names to use.
#[derive(Clone, Debug)]
pub struct NamesConfig {
    /// Engines with the Docker API; `None` with `--no-docker`.
    pub docker: Option<Endpoints>,
    /// `None` if `--names.kubernetes` excludes log files.
    pub kubernetes_logs: Option<LogDirectories>,
    /// Container runtimes with the CRI API; `None` if `--names.kubernetes` excludes it.
    pub cri: Option<Endpoints>,
    pub labels: Vec<ExportedLabel>,
    pub timeouts: NameTimeouts,
}

impl NamesConfig {
    /// Whether a CRI API should answer. Otherwise, log files are the other source.
    #[must_use]
    pub(crate) fn expects_cri(&self) -> bool {
        self.cri.as_ref().is_some_and(|cri| cri.is_configured() || self.kubernetes_logs.is_none())
    }
}

/// The addresses of one API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoints {
    /// From flags or the environment.
    Configured(Vec<Endpoint>),
    /// All of the default sockets that exist.
    Default(DefaultSockets),
}

/// The API whose default sockets are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultSockets {
    Docker,
    Cri,
}

impl Endpoints {
    /// The addresses now. Default sockets can appear later.
    #[must_use]
    pub fn current(&self) -> Vec<Endpoint> {
        let root = Path::new("/");
        match self {
            Self::Configured(endpoints) => endpoints.clone(),
            Self::Default(DefaultSockets::Docker) => default_sockets::docker(root),
            Self::Default(DefaultSockets::Cri) => default_sockets::cri(root),
        }
    }

    #[must_use]
    pub(crate) fn is_configured(&self) -> bool {
        matches!(self, Self::Configured(_))
    }
}

/// A container label that is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedLabel {
    /// The name of the label in Docker or Kubernetes.
    pub key: String,
    /// The name of the label in Prometheus: `label_<name>`.
    pub label: String,
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

/// Timeouts and intervals of requests for names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NameTimeouts {
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
    /// Between attempts to connect, and between lists that containers without a name cause.
    pub retry_interval: Duration,
    /// Between searches for default sockets.
    pub search_interval: Duration,
    /// Time that the first collection and `tree` wait for the first responses.
    pub first_answer: Duration,
    /// The same with `--once` and `--check`, which have no later collection that could add names.
    pub first_answer_once: Duration,
    /// Time that the series of a new container wait for its name.
    pub new_container: Duration,
}

impl Default for NameTimeouts {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(2),
            ping: Duration::from_secs(2),
            list: Duration::from_secs(4),
            debounce: Duration::from_millis(150),
            relist_interval: Duration::from_secs(30),
            first_relist: Duration::from_secs(1),
            retry_interval: Duration::from_secs(1),
            search_interval: Duration::from_secs(10),
            first_answer: Duration::from_secs(2),
            first_answer_once: Duration::from_secs(5),
            new_container: Duration::from_secs(2),
        }
    }
}

impl NameTimeouts {
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
            search_interval: all.search_interval.mul_f64(factor),
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
        let timeouts = NameTimeouts::default();
        let limit = Duration::from_secs(5);
        assert!(timeouts.ping_interval + timeouts.ping <= limit, "a daemon that no longer answers");
        assert!(timeouts.list <= limit, "a list that does not end");
        assert!(timeouts.first_answer <= limit, "the first collection");
    }

    #[test]
    fn a_factor_scales_every_timeout() {
        let (all, scaled) = (NameTimeouts::default(), NameTimeouts::scaled(2.0));
        assert_eq!(NameTimeouts::scaled(1.0), all);
        assert_eq!((scaled.ping, scaled.relist_interval), (all.ping * 2, all.relist_interval * 2));
    }
}
