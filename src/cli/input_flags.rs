//! Flags that all commands share: where to read processes, cgroups and names from.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::flag_error::FlagError;
use crate::cli::flag_values::parse_timeout_scale;
use crate::collect::config::{Bounds, CollectorConfig, SourceFlag};
use crate::names::config::{DockerConfig, DockerLabel, DockerTimeouts, LogDirectories};
use crate::names::docker_endpoint::Endpoint;

/// The source of the names of Kubernetes. `auto` uses what exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum KubernetesFlag {
    Auto,
    Logs,
    Off,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InputFlags {
    /// Mount point of procfs
    #[arg(long = "path.procfs", value_name = "DIR", default_value = "/proc", help_heading = "Collection")]
    procfs: PathBuf,

    /// Mount point of the cgroup hierarchies
    #[arg(
        long = "path.cgroupfs",
        value_name = "DIR",
        default_value = "/sys/fs/cgroup",
        help_heading = "Collection"
    )]
    cgroupfs: PathBuf,

    /// Name of the exporter's own container if no other processes are visible [default: host name]
    #[arg(long = "container.name", value_name = "NAME", help_heading = "Collection")]
    container_name: Option<String>,

    /// Docker API: unix:///path or tcp://host:port [default: $DOCKER_HOST, else the default socket of Docker or
    /// Podman]
    #[arg(long = "docker.host", value_name = "ADDRESS", help_heading = "Docker")]
    docker_host: Option<Endpoint>,

    /// Disable container name lookup
    #[arg(long, conflicts_with = "docker_host", help_heading = "Docker")]
    no_docker: bool,

    /// Source of the names of Kubernetes pods and their containers
    #[arg(
        long = "names.kubernetes",
        value_name = "SOURCE",
        default_value = "auto",
        help_heading = "Kubernetes"
    )]
    kubernetes: KubernetesFlag,

    /// Directory with a link to the log of every container; the directory pods next to it has one directory for every
    /// pod
    #[arg(
        long = "path.kubernetes-logs",
        value_name = "DIR",
        default_value = "/var/log/containers",
        help_heading = "Kubernetes"
    )]
    kubernetes_logs: PathBuf,

    /// Multiply every time-out and retry interval, for tests
    #[arg(long = "debug.timeout-scale", value_name = "FACTOR", default_value_t = 1.0, hide = true, value_parser = parse_timeout_scale)]
    pub(crate) timeout_scale: f64,
}

impl InputFlags {
    /// Settings of the Docker client; `None` with `--no-docker`. `variable` is the value of `DOCKER_HOST`.
    ///
    /// # Errors
    /// If the variable is needed and is not an address.
    pub(crate) fn docker(
        &self,
        variable: Option<&str>,
        labels: Vec<DockerLabel>,
    ) -> Result<Option<DockerConfig>, FlagError> {
        if self.no_docker {
            return Ok(None);
        }
        let endpoint = match (&self.docker_host, variable) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, Some(value)) => value.parse().map_err(FlagError::DockerHostVariable)?,
            (None, None) => Endpoint::Default,
        };
        Ok(Some(DockerConfig { endpoint, labels, timeouts: DockerTimeouts::scaled(self.timeout_scale) }))
    }

    /// The directories with the names of Kubernetes; `None` if they are not used.
    pub(crate) fn kubernetes(&self) -> Option<LogDirectories> {
        (self.kubernetes != KubernetesFlag::Off).then(|| LogDirectories::new(self.kubernetes_logs.clone()))
    }

    /// A collector that reads `/proc` with the default limits, and has no interval.
    pub(crate) fn collector(self) -> CollectorConfig {
        CollectorConfig {
            procfs: self.procfs,
            cgroupfs: self.cgroupfs,
            interval: Duration::ZERO,
            source: SourceFlag::Proc,
            bounds: Bounds::default(),
            container_name: self.container_name,
        }
    }
}
