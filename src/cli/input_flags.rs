//! Flags that all commands share: where to read processes, cgroups and names from.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::flag_error::FlagError;
use crate::cli::flag_values::{parse_cri_endpoint, parse_timeout_scale};
use crate::collect::config::{Bounds, CollectorConfig, SourceFlag};
use crate::names::config::{
    DefaultSockets, Endpoints, ExportedLabel, LogDirectories, NameTimeouts, NamesConfig,
};
use crate::names::endpoint::Endpoint;

/// The source of the names of Kubernetes. `auto` uses what exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum KubernetesFlag {
    Auto,
    Logs,
    Cri,
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

    /// Treat each service and scope of systemd that is in no container as a forest of its own, with runtime="systemd"
    #[arg(long = "forests.units", help_heading = "Collection")]
    units: bool,

    /// Docker API: unix:///path or tcp://host:port. Repeatable [default: $DOCKER_HOST, else the default sockets of Docker
    /// and Podman that exist, also those of users]
    #[arg(long = "docker.host", value_name = "ADDRESS", help_heading = "Docker")]
    docker_hosts: Vec<Endpoint>,

    /// Do not use the Docker API. Containers of Docker and Podman are shown by id
    #[arg(long, conflicts_with = "docker_hosts", help_heading = "Docker")]
    no_docker: bool,

    /// Source of the names of Kubernetes pods and their containers: names of log files, the CRI API, or both (auto)
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

    /// CRI API of a container runtime: unix:///path. That of containerd also has names of nerdctl. Repeatable [default:
    /// the default sockets of containerd, CRI-O, k3s, k0s and MicroK8s that exist]
    #[arg(long = "cri.endpoint", value_name = "ADDRESS", help_heading = "Kubernetes", value_parser = parse_cri_endpoint)]
    cri_endpoints: Vec<Endpoint>,

    /// Multiply every time-out and retry interval, for tests
    #[arg(long = "debug.timeout-scale", value_name = "FACTOR", default_value_t = 1.0, hide = true, value_parser = parse_timeout_scale)]
    pub(crate) timeout_scale: f64,
}

impl InputFlags {
    /// The sources of names. `variable` is the value of `DOCKER_HOST`.
    ///
    /// # Errors
    /// If the variable is needed and is not an address, or if flags conflict.
    pub(crate) fn names(
        &self,
        variable: Option<&str>,
        labels: Vec<ExportedLabel>,
    ) -> Result<NamesConfig, FlagError> {
        let docker = match (&*self.docker_hosts, variable) {
            _ if self.no_docker => None,
            ([], None) => Some(Endpoints::Default(DefaultSockets::Docker)),
            ([], Some(value)) => {
                Some(Endpoints::Configured(vec![value.parse().map_err(FlagError::DockerHostVariable)?]))
            }
            (endpoints, _) => Some(Endpoints::Configured(endpoints.to_vec())),
        };
        let has_logs = matches!(self.kubernetes, KubernetesFlag::Auto | KubernetesFlag::Logs);
        let cri = match (self.kubernetes, &*self.cri_endpoints) {
            (KubernetesFlag::Logs | KubernetesFlag::Off, []) => None,
            (KubernetesFlag::Logs | KubernetesFlag::Off, _) => return Err(FlagError::UnusedCriEndpoint),
            (_, []) => Some(Endpoints::Default(DefaultSockets::Cri)),
            (_, endpoints) => Some(Endpoints::Configured(endpoints.to_vec())),
        };
        Ok(NamesConfig {
            docker,
            kubernetes_logs: has_logs.then(|| LogDirectories::new(self.kubernetes_logs.clone())),
            cri,
            labels,
            timeouts: NameTimeouts::scaled(self.timeout_scale),
        })
    }

    /// A collector that reads `/proc` with the default limits, and has no interval.
    pub(crate) fn collector(self) -> CollectorConfig {
        CollectorConfig {
            procfs: self.procfs,
            cgroupfs: self.cgroupfs,
            interval: Duration::ZERO,
            source: SourceFlag::Proc,
            bounds: Bounds::default(),
            usage: false,
            units: self.units,
            container_name: self.container_name,
        }
    }
}
