//! The commands `tree` and `roots`, and their flags.

use std::ffi::OsString;
use std::time::Duration;

use crate::cli::config::{ColorFlag, RootsConfig, TreeConfig};
use crate::cli::flag_error::FlagError;
use crate::cli::flag_values::parse_watch_period;
use crate::cli::input_flags::InputFlags;
use crate::collect::config::{Bounds, CollectorConfig, SourceFlag};
use crate::view::rows::{RowOptions, Sort};

const DEFAULT_WATCH_SECONDS: &str = "2";
/// Commands of a container that a tree shows.
const MAX_BUSY_COMMANDS: u32 = 10;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show the process forest of containers, once or live
    Tree(TreeFlags),
    /// Print the pids of a container's root processes, one per line
    Roots(RootsFlags),
}

#[derive(Debug, clap::Args)]
pub(crate) struct TreeFlags {
    /// Name, Compose service, pod, pod/container, id prefix, or host pid of a process in the container [default: all containers]
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,

    /// Also show the processes that are in no container
    #[arg(long, help_heading = "Filter")]
    host: bool,

    /// Show only branches that contain a zombie
    #[arg(long, help_heading = "Filter")]
    zombies: bool,

    /// Maximum depth to show
    #[arg(long, value_name = "N", help_heading = "Filter", value_parser = clap::value_parser!(u32).range(1..))]
    depth: Option<u32>,

    /// Show the arguments of commands
    #[arg(long, help_heading = "Display")]
    args: bool,

    /// Show pids on the host beside those in the container
    #[arg(long, help_heading = "Display")]
    host_pids: bool,

    /// Show CPU, measured for one second or between two updates, and memory
    #[arg(long, help_heading = "Display")]
    usage: bool,

    /// Show the busiest commands, measured for SECONDS (default: 2) or between two updates: forks, execs, failures and kills per second; requires CAP_BPF and CAP_PERFMON
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = DEFAULT_WATCH_SECONDS,
        value_parser = parse_watch_period,
        conflicts_with = "json",
        help_heading = "Display"
    )]
    busy: Option<Duration>,

    /// Order of siblings: lowest pid, oldest, most children, or most CPU or memory first; the last two imply --usage
    #[arg(long, value_name = "BY", default_value = "pid", value_enum, help_heading = "Display")]
    sort: Sort,

    /// Show every process on its own line; by default, identical siblings are folded into one
    #[arg(long, help_heading = "Display")]
    no_fold: bool,

    /// Draw with ASCII characters, even if the locale supports Unicode
    #[arg(long, help_heading = "Display")]
    ascii: bool,

    /// When to use colors; auto means on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", default_value = "auto", value_enum, help_heading = "Display")]
    color: ColorFlag,

    /// Print JSON, with processes nested below their parents
    #[arg(long, conflicts_with_all = ["watch", "zombies", "depth", "no_fold"], help_heading = "Display")]
    json: bool,

    /// Update the view every SECONDS (default: 2), and mark processes that started or exited
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = DEFAULT_WATCH_SECONDS,
        value_parser = parse_watch_period,
        help_heading = "Display"
    )]
    watch: Option<Duration>,

    /// Source of processes; bpf also counts forks, and requires CAP_BPF and CAP_PERFMON [default: auto with --busy, otherwise proc]
    #[arg(long = "collection.source", value_name = "SOURCE", value_enum, help_heading = "Collection")]
    source: Option<SourceFlag>,

    #[command(flatten)]
    input: InputFlags,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RootsFlags {
    /// Name, Compose service, pod, pod/container, id prefix, or host pid of a process in the container
    #[arg(value_name = "CONTAINER")]
    container: String,

    /// Print pids in the container's pid namespace, for commands that run inside the container
    #[arg(long, help_heading = "Display")]
    inside: bool,

    #[command(flatten)]
    input: InputFlags,
}

impl TreeFlags {
    pub(crate) fn resolve(self, docker_host_variable: Option<&str>) -> Result<TreeConfig, FlagError> {
        Ok(TreeConfig {
            timeout_scale: self.input.timeout_scale,
            names: self.input.names(docker_host_variable, Vec::new())?,
            collector: CollectorConfig {
                interval: self.watch.unwrap_or_default(),
                source: self.source.unwrap_or(match self.busy {
                    Some(_) => SourceFlag::Auto,
                    None => SourceFlag::Proc,
                }),
                bounds: Bounds { commands_per_container: MAX_BUSY_COMMANDS, ..Bounds::default() },
                ..self.input.collector()
            },
            wanted: self.containers,
            with_host: self.host,
            layout: RowOptions {
                sort: self.sort,
                fold: !self.no_fold,
                max_depth: self.depth,
                zombies_only: self.zombies,
            },
            arguments: self.args,
            host_pids: self.host_pids,
            usage: self.usage || self.sort.is_by_usage(),
            json: self.json,
            ascii: self.ascii,
            color: self.color,
            busy: self.busy,
            watch: self.watch,
        })
    }
}

impl RootsFlags {
    pub(crate) fn resolve(self, docker_host_variable: Option<&str>) -> Result<RootsConfig, FlagError> {
        Ok(RootsConfig {
            names: self.input.names(docker_host_variable, Vec::new())?,
            collector: self.input.collector(),
            wanted: self.container,
            inside: self.inside,
        })
    }
}

/// Accepts both `--watch 0.3 NAME` and `--watch NAME`, and the same for `--busy`: joins a following number to the flag. A
/// number above 60 is treated as a pid.
pub(crate) fn with_joined_watch(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    for argument in arguments {
        let is_plain = |text: &&str| text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let number = argument.to_str().filter(is_plain).and_then(|text| text.parse::<f64>().ok());
        let is_number = number.is_some_and(|number| number <= 60.0);
        match joined.last_mut() {
            Some(last) if is_number && (last == "--watch" || last == "--busy") => {
                last.push("=");
                last.push(&argument);
            }
            _ => joined.push(argument),
        }
    }
    joined
}
