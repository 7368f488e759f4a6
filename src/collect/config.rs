//! Settings of the collector: paths, interval, source and bounds.

use std::path::PathBuf;
use std::time::Duration;

/// Limits of `/metrics`, whatever containers do.
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

/// Where processes are read from: `proc` reads the files of `/proc`; `bpf` the kernel's own list, or fails; `auto` uses
/// BPF where the kernel and the capabilities allow it, and `/proc` elsewhere. Without BPF forks are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SourceFlag {
    #[default]
    Auto,
    Proc,
    Bpf,
}

/// Settings of one pipeline.
#[derive(Clone, Debug)]
pub struct CollectorConfig {
    pub procfs: PathBuf,
    pub cgroupfs: PathBuf,
    pub interval: Duration,
    pub source: SourceFlag,
    pub bounds: Bounds,
    /// The name of the container that the exporter runs in, when it sees only that.
    pub container_name: Option<String>,
}
