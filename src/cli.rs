//! Flags as typed. Checked and resolved to a [`Config`], or one line that says what is wrong.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::error::{ContextKind, ErrorKind};

use crate::config::{Bounds, CollectorConfig, Config, DockerConfig, DockerLabel, SourceFlag, WebConfig};
use crate::logging::{LogFormat, LogLevel};
use crate::metadata::endpoint::Endpoint;

/// Flags as typed.
#[derive(Debug, Parser)]
#[command(
    name = "pstree-exporter",
    version = LONG_VERSION,
    about = "The process forest of every container, for Prometheus.",
    long_about = None,
    after_help = AFTER_HELP,
)]
pub struct Cli {
    /// Address to serve on: host:port, or :port for all. Repeatable
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = ":10073", help_heading = "Web", value_parser = parse_listen_address)]
    listen_addresses: Vec<String>,

    /// Path of the scrape target
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", help_heading = "Web", value_parser = parse_telemetry_path)]
    telemetry_path: String,

    /// Most connections at one time; more wait until one ends
    #[arg(long = "web.max-connections", value_name = "N", default_value_t = 512, help_heading = "Web", value_parser = parse_positive)]
    max_connections: usize,

    /// Time between collections; they never run on a scrape
    #[arg(long = "collection.interval", value_name = "DURATION", default_value = "5s", help_heading = "Collection", value_parser = parse_interval)]
    interval: Duration,

    /// Where to read processes from. bpf also counts forks, execs and exits, and wants CAP_BPF and CAP_PERFMON
    #[arg(
        long = "collection.source",
        value_name = "SOURCE",
        default_value = "auto",
        value_enum,
        help_heading = "Collection"
    )]
    source: SourceFlag,

    /// Collect once, print the metrics and exit; from /proc unless --collection.source=bpf is given
    #[arg(long, help_heading = "Collection")]
    once: bool,

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

    /// Docker label to add to pstree_container_info as label_<name>. Repeatable; none by default
    #[arg(long = "docker.label", value_name = "LABEL", help_heading = "Docker", value_parser = parse_docker_label)]
    docker_labels: Vec<String>,

    /// Do without names from Docker
    #[arg(long, conflicts_with_all = ["docker_host", "docker_labels"], help_heading = "Docker")]
    no_docker: bool,

    /// Containers shown for themselves; the rest is summed into id="other"
    #[arg(long = "bounds.containers", value_name = "N", default_value_t = Bounds::default().max_containers, help_heading = "Bounds", value_parser = parse_positive)]
    max_containers: usize,

    /// Tree nodes per container; the rest is folded into nodes named other
    #[arg(long = "bounds.nodes-per-container", value_name = "N", default_value_t = Bounds::default().nodes_per_container, help_heading = "Bounds", value_parser = parse_positive)]
    nodes_per_container: usize,

    /// Tree nodes of all containers together; the largest give way first
    #[arg(long = "bounds.nodes-per-host", value_name = "N", default_value_t = Bounds::default().nodes_per_host, help_heading = "Bounds", value_parser = parse_positive)]
    nodes_per_host: usize,

    /// New node names that a container may bring in an hour
    #[arg(long = "bounds.new-nodes-per-hour", value_name = "N", default_value_t = Bounds::default().new_nodes_per_hour, help_heading = "Bounds", value_parser = clap::value_parser!(u32).range(1..))]
    new_nodes_per_hour: u32,

    /// Cgroups whose forks, execs and exits are counted at one time; events of more are lost
    #[arg(long = "bounds.event-cgroups", value_name = "N", default_value_t = Bounds::default().event_cgroups, help_heading = "Bounds", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    event_cgroups: u32,

    /// Least severe messages to log
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        default_value = "info",
        value_enum,
        help_heading = "Logging"
    )]
    pub log_level: LogLevel,

    /// How to write log messages, which go to standard error
    #[arg(
        long = "log.format",
        value_name = "FORMAT",
        default_value = "logfmt",
        value_enum,
        help_heading = "Logging"
    )]
    pub log_format: LogFormat,
}

const AFTER_HELP: &str = "Walks /proc every few seconds, finds which container each process belongs to, and \
serves counts, depth, root processes, zombies and the tree itself. Docker is asked for names only; no root \
is needed.";

const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (revision ",
    env!("PSTREE_REVISION"),
    ", rustc ",
    env!("PSTREE_RUST_VERSION"),
    ")"
);

/// How parsing ended when there is nothing to run.
#[derive(Debug)]
pub enum Stop {
    /// Help or version, for standard output.
    Print(String),
    /// Wrong flags, in one line.
    Refuse(String),
}

impl Cli {
    /// Parses a command line, the program's name first.
    ///
    /// # Errors
    /// What to print instead of running.
    pub fn parse_from_args(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Self, Stop> {
        Self::try_parse_from(arguments).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Print(error.render().to_string()),
            _ => Stop::Refuse(one_line(&error)),
        })
    }

    /// Resolves flags against `docker_host_variable`, the value of `DOCKER_HOST`.
    ///
    /// # Errors
    /// One line that names the flag and the remedy.
    pub fn resolve(self, docker_host_variable: Option<&str>) -> Result<Config, String> {
        let docker = if self.no_docker {
            None
        } else {
            let from_variable = docker_host_variable.filter(|value| !value.is_empty());
            let endpoint = match (self.docker_host, from_variable) {
                (Some(endpoint), _) => endpoint,
                (None, Some(value)) => value.parse().map_err(|error| {
                    format!("DOCKER_HOST: {error}; or give --docker.host, or --no-docker to do without names")
                })?,
                (None, None) => Endpoint::Usual,
            };
            Some(DockerConfig { endpoint, labels: docker_labels(self.docker_labels)? })
        };
        Ok(Config {
            collector: CollectorConfig {
                procfs: self.procfs,
                cgroupfs: self.cgroupfs,
                interval: self.interval,
                // Counters would begin and end with the one collection.
                source: match self.source {
                    SourceFlag::Auto if self.once => SourceFlag::Proc,
                    source => source,
                },
                bounds: Bounds {
                    max_containers: self.max_containers,
                    nodes_per_container: self.nodes_per_container,
                    nodes_per_host: self.nodes_per_host,
                    new_nodes_per_hour: self.new_nodes_per_hour,
                    event_cgroups: self.event_cgroups,
                },
                container_name: self.container_name,
            },
            docker,
            web: WebConfig {
                listen_addresses: self.listen_addresses,
                telemetry_path: self.telemetry_path,
                max_connections: self.max_connections,
            },
            once: self.once,
        })
    }
}

/// clap's message without its usage, in one line.
fn one_line(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let message = rendered.lines().next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let similar =
        [ContextKind::SuggestedArg, ContextKind::SuggestedValue].iter().find_map(|&kind| error.get(kind));
    match similar {
        Some(similar) => format!("{message} (did you mean {similar}?); see --help"),
        None => format!("{message}; see --help"),
    }
}

fn docker_labels(keys: Vec<String>) -> Result<Vec<DockerLabel>, String> {
    let mut labels: Vec<DockerLabel> = Vec::with_capacity(keys.len());
    for key in keys {
        let name: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let label = format!("label_{name}");
        if let Some(same) = labels.iter().find(|known| known.label == label) {
            return Err(format!(
                "--docker.label: \"{}\" and \"{key}\" would both be {label}; give one of them only",
                same.key
            ));
        }
        labels.push(DockerLabel { key, label });
    }
    Ok(labels)
}

fn parse_docker_label(key: &str) -> Result<String, String> {
    if key.is_empty() {
        Err("a label has a name, such as com.example.team".into())
    } else {
        Ok(key.to_owned())
    }
}

fn parse_positive(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(number) if (1..=1_000_000).contains(&number) => Ok(number),
        _ => Err("give a number from 1 to 1000000".into()),
    }
}

fn parse_interval(value: &str) -> Result<Duration, String> {
    match humantime::parse_duration(value) {
        Ok(interval) if (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&interval) => {
            Ok(interval)
        }
        _ => Err("give a time from 100ms to 1h, such as 5s".into()),
    }
}

fn parse_listen_address(address: &str) -> Result<String, String> {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    match port {
        Some(_) => Ok(address.to_owned()),
        None => Err("give host:port or :port, such as 127.0.0.1:10073".into()),
    }
}

fn parse_telemetry_path(path: &str) -> Result<String, String> {
    let is_plain =
        path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"<>\\".contains(&b));
    if !is_plain {
        return Err("give a path that starts with / and has no query, such as /metrics".into());
    }
    if ["/", "/-/healthy", "/-/ready"].contains(&path) {
        return Err("this path has another use; give another, such as /metrics".into());
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Config, String> {
        let all = std::iter::once("pstree-exporter").chain(arguments.iter().copied()).map(Into::into);
        match Cli::parse_from_args(all) {
            Ok(cli) => cli.resolve(None),
            Err(Stop::Refuse(line) | Stop::Print(line)) => Err(line),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.web.listen_addresses, [":10073"]);
        assert_eq!(config.web.telemetry_path, "/metrics");
        assert_eq!(config.collector.interval, Duration::from_secs(5));
        assert_eq!(config.collector.bounds, Bounds::default());
        assert_eq!(config.docker.unwrap().endpoint, Endpoint::Usual);
    }

    #[test]
    fn listen_addresses_repeat() {
        let config = parse(&["--web.listen-address=127.0.0.1:1", "--web.listen-address=[::1]:2"]).unwrap();
        assert_eq!(config.web.listen_addresses, ["127.0.0.1:1", "[::1]:2"]);
    }

    #[test]
    fn row_33_each_bad_flag_is_named_in_one_line() {
        for (arguments, mentions) in [
            (&["--collection.interval=0s"][..], &["--collection.interval", "100ms"][..]),
            (&["--collection.interval=abc"], &["--collection.interval", "5s"]),
            (&["--web.listen-address=10073"], &["--web.listen-address", ":port"]),
            (&["--web.listen-address=:99999"], &["--web.listen-address"]),
            (&["--web.telemetry-path=metrics"], &["--web.telemetry-path", "/metrics"]),
            (&["--web.telemetry-path=/"], &["--web.telemetry-path", "another"]),
            (&["--docker.host=/run/docker.sock"], &["--docker.host", "unix:///"]),
            (&["--docker.host=ssh://me@there"], &["--docker.host", "not supported"]),
            (&["--docker.host=unix:///x", "--no-docker"], &["--docker.host", "--no-docker"]),
            (&["--docker.label=a.b", "--docker.label=a-b"], &["--docker.label", "label_a_b"]),
            (&["--bounds.containers=0"], &["--bounds.containers", "1000000"]),
            (&["--log.level=loud"], &["--log.level"]),
            (&["--collection.intervall=5s"], &["--collection.intervall", "--collection.interval"]),
            (&["stray"], &["stray", "--help"]),
        ] {
            let line = parse(arguments).expect_err(&format!("{arguments:?}"));
            assert_eq!(line.lines().count(), 1, "{line}");
            for mention in mentions {
                assert!(line.contains(mention), "{arguments:?} gave {line:?}, which lacks {mention:?}");
            }
        }
    }

    #[test]
    fn docker_host_variable() {
        let resolve = |variable| Cli::parse_from_args(["x".into()]).unwrap().resolve(variable);
        let endpoint = |variable| resolve(variable).unwrap().docker.unwrap().endpoint;
        assert_eq!(endpoint(Some("tcp://127.0.0.1:1")), Endpoint::Tcp("127.0.0.1:1".into()));
        assert_eq!(endpoint(Some("")), Endpoint::Usual);
        assert!(resolve(Some("ssh://x")).unwrap_err().starts_with("DOCKER_HOST: "));
    }
}
