//! Flags of `tree` and `roots`.

use std::ffi::OsString;
use std::time::Duration;

use crate::cli::config::{ColorFlag, RootsConfig, TreeConfig};
use crate::cli::input_flags::ReadingFlags;
use crate::collect::config::{CollectorConfig, SourceFlag};
use crate::view::rows::{Layout, Sort};

const DEFAULT_PERIOD: &str = "2";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show the process forest of containers, once or live
    Tree(TreeFlags),
    /// Print the pids of a container's root processes, one a line, for xargs
    Roots(RootsFlags),
}

#[derive(Debug, clap::Args)]
pub(crate) struct TreeFlags {
    /// Names, services of Compose, pids on the host of processes inside, or beginnings of ids; all containers
    /// where none is given
    #[arg(value_name = "CONTAINER")]
    wanted: Vec<String>,

    /// The processes in no container, too
    #[arg(long, help_heading = "What")]
    host: bool,

    /// Only branches that hold a zombie
    #[arg(long, help_heading = "What")]
    zombies: bool,

    /// Levels to show, from the roots down
    #[arg(long, value_name = "N", help_heading = "What", value_parser = clap::value_parser!(u32).range(1..))]
    depth: Option<u32>,

    /// Arguments of the commands
    #[arg(long, help_heading = "What")]
    args: bool,

    /// Pids on the host beside those in the container
    #[arg(long, help_heading = "What")]
    host_pids: bool,

    /// Which sibling comes first: the lower pid, the older, or the one with more children
    #[arg(long, value_name = "BY", default_value = "pid", value_enum, help_heading = "How")]
    sort: Sort,

    /// A line for each process, also where siblings are alike
    #[arg(long, help_heading = "How")]
    no_fold: bool,

    /// Draw in ASCII, also where the locale has more
    #[arg(long, help_heading = "How")]
    ascii: bool,

    /// When to colour; auto does on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", default_value = "auto", value_enum, help_heading = "How")]
    color: ColorFlag,

    /// Print JSON, with every process in the list of its parent
    #[arg(long, conflicts_with_all = ["watch", "zombies", "depth", "no_fold"], help_heading = "How")]
    json: bool,

    /// Show it live, with what came and what went, every so many seconds; 2 where no number is given
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = DEFAULT_PERIOD,
        value_parser = parse_period,
        help_heading = "How"
    )]
    watch: Option<Duration>,

    /// Where a live view reads processes from; bpf knows every fork, and wants CAP_BPF and CAP_PERFMON
    #[arg(
        long = "collection.source",
        value_name = "SOURCE",
        default_value = "proc",
        value_enum,
        requires = "watch",
        help_heading = "Collection"
    )]
    source: SourceFlag,

    #[command(flatten)]
    reading: ReadingFlags,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RootsFlags {
    /// Name, service of Compose, pid on the host of a process inside, or beginning of an id
    #[arg(value_name = "CONTAINER")]
    wanted: String,

    /// Pids of the container's own namespace, for commands that run inside
    #[arg(long, help_heading = "What")]
    inside: bool,

    #[command(flatten)]
    reading: ReadingFlags,
}

impl TreeFlags {
    pub(crate) fn resolve(self, docker_host_variable: Option<&str>) -> Result<TreeConfig, String> {
        Ok(TreeConfig {
            timeout_scale: self.reading.timeout_scale,
            docker: self.reading.docker(docker_host_variable, Vec::new())?,
            collector: CollectorConfig {
                interval: self.watch.unwrap_or_default(),
                source: self.source,
                ..self.reading.collector()
            },
            wanted: self.wanted,
            with_host: self.host,
            layout: Layout {
                sort: self.sort,
                fold: !self.no_fold,
                max_depth: self.depth,
                zombies_only: self.zombies,
            },
            arguments: self.args,
            host_pids: self.host_pids,
            json: self.json,
            ascii: self.ascii,
            color: self.color,
            watch: self.watch,
        })
    }
}

impl RootsFlags {
    pub(crate) fn resolve(self, docker_host_variable: Option<&str>) -> Result<RootsConfig, String> {
        Ok(RootsConfig {
            docker: self.reading.docker(docker_host_variable, Vec::new())?,
            collector: self.reading.collector(),
            wanted: self.wanted,
            inside: self.inside,
        })
    }
}

fn parse_period(seconds: &str) -> Result<Duration, String> {
    match seconds.parse::<f64>() {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("give seconds from 0.1 to 86400, such as 0.3".into()),
    }
}

/// `--watch 0.3 NAME` and `--watch NAME` are both natural to type: what follows is joined where it can only be a
/// time. What is longer than a minute is rather a pid.
pub(crate) fn with_joined_watch(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    for argument in arguments {
        let is_plain = |text: &&str| text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let number = argument.to_str().filter(is_plain).and_then(|text| text.parse::<f64>().ok());
        let is_number = number.is_some_and(|number| number <= 60.0);
        match joined.last_mut() {
            Some(last) if is_number && last == "--watch" => {
                last.push("=");
                last.push(&argument);
            }
            _ => joined.push(argument),
        }
    }
    joined
}
