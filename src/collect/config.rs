//! What the collector is told: paths, interval, source and bounds.

use std::path::PathBuf;
use std::time::Duration;

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
