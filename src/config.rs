//! Flags as resolved: checked, with defaults filled in, ready to be used.

use std::path::PathBuf;
use std::time::Duration;

use crate::metadata::endpoint::Endpoint;
use crate::tree::layout::Layout;

/// What `/metrics` may grow to, whatever containers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub max_containers: usize,
    pub nodes_per_container: usize,
    pub nodes_per_host: usize,
    pub new_nodes_per_hour: u32,
    /// Cgroups whose events the kernel counts at one time.
    pub event_cgroups: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_containers: 2_000,
            nodes_per_container: 50,
            nodes_per_host: 2_000,
            new_nodes_per_hour: 100,
            event_cgroups: 16_384,
        }
    }
}

/// Where to read processes from: the files of `/proc`, the kernel's own list by BPF (or not at all), or BPF
/// where the kernel and our rights allow it and `/proc` elsewhere. Without BPF forks are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SourceFlag {
    #[default]
    Auto,
    Proc,
    Bpf,
}

/// An allow-listed Docker label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerLabel {
    /// As Docker knows it.
    pub key: String,
    /// As Prometheus knows it: `label_<name>`.
    pub label: String,
}

/// What the collector needs to know.
#[derive(Clone, Debug)]
pub struct CollectorConfig {
    pub procfs: PathBuf,
    pub cgroupfs: PathBuf,
    pub interval: Duration,
    pub source: SourceFlag,
    pub bounds: Bounds,
    /// The name to show when all that is seen is the container around us.
    pub container_name: Option<String>,
}

/// How names are fetched.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    pub endpoint: Endpoint,
    pub labels: Vec<DockerLabel>,
}

/// How HTTP is served.
#[derive(Clone, Debug)]
pub struct WebConfig {
    pub listen_addresses: Vec<String>,
    pub telemetry_path: String,
    pub max_connections: usize,
    /// Whether pages and JSON show arguments.
    pub arguments: bool,
    /// TLS, users and headers.
    pub config_file: Option<PathBuf>,
    /// Listen on what systemd opened, instead of on addresses.
    pub systemd_socket: bool,
}

/// When to colour; `Auto` is on a terminal that has colours, unless `NO_COLOR` is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorFlag {
    #[default]
    Auto,
    Always,
    Never,
}

/// What `tree` shows, and how.
#[derive(Clone, Debug)]
pub struct TreeConfig {
    pub collector: CollectorConfig,
    /// `None` with `--no-docker`.
    pub docker: Option<DockerConfig>,
    /// Names, ids, pids or services; all containers where there are none.
    pub wanted: Vec<String>,
    pub with_host: bool,
    pub layout: Layout,
    pub arguments: bool,
    pub host_pids: bool,
    pub json: bool,
    pub ascii: bool,
    pub color: ColorFlag,
    /// Time between two looks; `None` to look once.
    pub watch: Option<Duration>,
}

/// What `roots` prints.
#[derive(Clone, Debug)]
pub struct RootsConfig {
    pub collector: CollectorConfig,
    /// `None` with `--no-docker`.
    pub docker: Option<DockerConfig>,
    pub wanted: String,
    /// Pids of the container's own namespace.
    pub inside: bool,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Task {
    Serve(Config),
    Check(Config),
    Healthcheck(WebConfig),
    Tree(TreeConfig),
    Roots(RootsConfig),
}

/// Everything that the exporter needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    pub collector: CollectorConfig,
    /// `None` with `--no-docker`.
    pub docker: Option<DockerConfig>,
    pub web: WebConfig,
    pub once: bool,
}
