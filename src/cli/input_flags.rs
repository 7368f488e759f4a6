//! Flags that say where to look: the same for the exporter and for a tree.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::values::parse_timeout_scale;
use crate::collect::config::{Bounds, CollectorConfig, SourceFlag};
use crate::names::config::{DockerConfig, DockerLabel, DockerTimeouts};
use crate::names::docker_endpoint::Endpoint;

#[derive(Debug, clap::Args)]
pub(crate) struct ReadingFlags {
    /// Where the procfs to read is mounted
    #[arg(long = "path.procfs", value_name = "DIR", default_value = "/proc", help_heading = "Collection")]
    procfs: PathBuf,

    /// Where the cgroup hierarchies are mounted
    #[arg(
        long = "path.cgroupfs",
        value_name = "DIR",
        default_value = "/sys/fs/cgroup",
        help_heading = "Collection"
    )]
    cgroupfs: PathBuf,

    /// Name to show for the container around the exporter, when that is all it sees [default: host name]
    #[arg(long = "container.name", value_name = "NAME", help_heading = "Collection")]
    container_name: Option<String>,

    /// Docker API: unix:///path or tcp://host:port [default: $DOCKER_HOST, else the usual socket of Docker,
    /// else that of Podman]
    #[arg(long = "docker.host", value_name = "ADDRESS", help_heading = "Docker")]
    docker_host: Option<Endpoint>,

    /// Do without names from Docker
    #[arg(long, conflicts_with = "docker_host", help_heading = "Docker")]
    no_docker: bool,

    /// Multiply every time-out and retry interval, for tests
    #[arg(long = "debug.timeout-scale", value_name = "FACTOR", default_value_t = 1.0, hide = true, value_parser = parse_timeout_scale)]
    pub(crate) timeout_scale: f64,
}

impl ReadingFlags {
    /// `None` with `--no-docker`. `variable` is the value of `DOCKER_HOST`.
    pub(crate) fn docker(
        &self,
        variable: Option<&str>,
        labels: Vec<DockerLabel>,
    ) -> Result<Option<DockerConfig>, String> {
        if self.no_docker {
            return Ok(None);
        }
        let endpoint = match (&self.docker_host, variable) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, Some(value)) => value.parse().map_err(|error| {
                format!("DOCKER_HOST: {error}; or give --docker.host, or --no-docker to do without names")
            })?,
            (None, None) => Endpoint::Usual,
        };
        Ok(Some(DockerConfig { endpoint, labels, timeouts: DockerTimeouts::scaled(self.timeout_scale) }))
    }

    /// By `/proc`, at any time, with the usual bounds.
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
