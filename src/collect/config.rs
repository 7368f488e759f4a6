//! Settings of the collector: paths, interval, source and limits.

use std::path::PathBuf;
use std::time::Duration;

/// Limits on the size of `/metrics`, independent of what containers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub max_containers: usize,
    pub nodes_per_container: usize,
    pub nodes_per_host: usize,
    pub new_nodes_per_hour: u32,
    /// Maximum number of cgroups whose events the kernel counts.
    pub event_cgroups: u32,
    /// Maximum number of commands of a container with their own series; 0 to not count by command.
    pub commands_per_container: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_containers: 2_000,
            nodes_per_container: 50,
            nodes_per_host: 2_000,
            new_nodes_per_hour: 100,
            event_cgroups: 16_384,
            commands_per_container: 5,
        }
    }
}

/// Source of processes. `proc` reads the files of `/proc`. `bpf` reads the kernel's task list and fails if BPF is not
/// possible. `auto` uses BPF if the kernel and the capabilities allow it, and otherwise `/proc`. Without BPF, forks are
/// not counted.
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
    /// Whether CPU time and memory of paths are exported.
    pub usage: bool,
    /// Whether systemd units on the host are forests of their own.
    pub units: bool,
    /// The name of the container that the exporter runs in, if no other container is visible.
    pub container_name: Option<String>,
}
