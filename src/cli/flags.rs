//! The flags of the exporter, and parsing of the whole command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::error::{ContextKind, ErrorKind};

use crate::cli::collector_flags::CollectorFlags;
use crate::cli::config::{Config, Task};
use crate::cli::flag_error::FlagError;
use crate::cli::flag_values::{
    docker_labels, parse_count, parse_docker_label, parse_interval, parse_listen_address,
    parse_telemetry_path,
};
use crate::cli::input_flags::InputFlags;
use crate::cli::logging::{LogFormat, LogLevel};
use crate::cli::tree_flags::{Command, with_joined_watch};
use crate::collect::config::{Bounds, CollectorConfig, SourceFlag};
use crate::export::collectors::Collector;
use crate::serve::config::{Timeouts, WebConfig};

/// Flags as typed.
#[derive(Debug, Parser)]
#[command(
    name = "pstree-exporter",
    version = LONG_VERSION,
    about = "Prometheus exporter for the process forest of every container.",
    long_about = None,
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    /// Address to listen on: host:port, or :port for all addresses. Repeatable
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = ":10073", help_heading = "Web", value_parser = parse_listen_address)]
    listen_addresses: Vec<String>,

    /// Path of the metrics
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", help_heading = "Web", value_parser = parse_telemetry_path)]
    telemetry_path: String,

    /// Maximum concurrent connections. When full, the longest-idle connection is closed
    #[arg(long = "web.max-connections", value_name = "N", default_value_t = 1250, help_heading = "Web", value_parser = parse_count)]
    max_connections: usize,

    /// TLS, basic authentication, headers and rate limit, in the format of the Prometheus exporter-toolkit
    #[arg(long = "web.config.file", value_name = "FILE", help_heading = "Web")]
    web_config_file: Option<PathBuf>,

    /// Listen on sockets from systemd socket activation instead of --web.listen-address
    #[arg(long = "web.systemd-socket", conflicts_with = "listen_addresses", help_heading = "Web")]
    systemd_socket: bool,

    /// Show the arguments of processes on pages and in JSON. Arguments can contain secrets
    #[arg(long = "web.arguments", help_heading = "Web")]
    web_arguments: bool,

    /// Time between collections. Scrapes return the latest collection
    #[arg(long = "collection.interval", value_name = "DURATION", default_value = "5s", help_heading = "Collection", value_parser = parse_interval)]
    interval: Duration,

    /// Source of processes. bpf also counts forks, execs and exits, and requires CAP_BPF and CAP_PERFMON
    #[arg(
        long = "collection.source",
        value_name = "SOURCE",
        default_value = "auto",
        value_enum,
        help_heading = "Collection"
    )]
    source: SourceFlag,

    /// Collect once, print the metrics and exit. Reads /proc unless --collection.source=bpf is set
    #[arg(long, help_heading = "Other modes")]
    once: bool,

    /// Check what can be monitored on this machine, print how to fix problems, and exit. The exit status is 1 if
    /// containers cannot be monitored
    #[arg(long, conflicts_with = "once", help_heading = "Other modes")]
    check: bool,

    /// Check whether an exporter with these flags is running, and exit. For images without a shell
    #[arg(long, conflicts_with_all = ["once", "check"], help_heading = "Other modes")]
    healthcheck: bool,

    #[command(flatten)]
    input: InputFlags,

    /// Label of Docker containers or Kubernetes pods to add to pstree_container_info as `label_<name>`. Repeatable
    /// [default: none]
    #[arg(long = "docker.label", value_name = "LABEL", help_heading = "Docker", value_parser = parse_docker_label)]
    docker_labels: Vec<String>,

    /// Maximum containers with their own series. The others are added up in id="other"
    #[arg(long = "bounds.containers", value_name = "N", default_value_t = Bounds::default().max_containers, help_heading = "Bounds", value_parser = parse_count)]
    max_containers: usize,

    /// Maximum tree nodes per container. The others are aggregated into nodes named other
    #[arg(long = "bounds.nodes-per-container", value_name = "N", default_value_t = Bounds::default().nodes_per_container, help_heading = "Bounds", value_parser = parse_count)]
    nodes_per_container: usize,

    /// Maximum tree nodes of all containers. The largest containers are reduced first
    #[arg(long = "bounds.nodes-per-host", value_name = "N", default_value_t = Bounds::default().nodes_per_host, help_heading = "Bounds", value_parser = parse_count)]
    nodes_per_host: usize,

    /// Maximum new node names per container and hour
    #[arg(long = "bounds.new-nodes-per-hour", value_name = "N", default_value_t = Bounds::default().new_nodes_per_hour, help_heading = "Bounds", value_parser = clap::value_parser!(u32).range(1..))]
    new_nodes_per_hour: u32,

    /// Maximum cgroups whose forks, execs and exits are counted. Events of other cgroups are lost
    #[arg(long = "bounds.event-cgroups", value_name = "N", default_value_t = Bounds::default().event_cgroups, help_heading = "Bounds", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    event_cgroups: u32,

    /// Maximum commands per container whose forks, execs and exits have their own series. The others are added up in
    /// command="other". 0 disables these series
    #[arg(long = "bounds.commands-per-container", value_name = "N", default_value_t = Bounds::default().commands_per_container, help_heading = "Bounds", value_parser = clap::value_parser!(u32).range(0..=50))]
    commands_per_container: u32,

    #[command(flatten)]
    collectors: CollectorFlags,

    /// Minimum severity of log messages
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        default_value = "info",
        value_enum,
        help_heading = "Logging"
    )]
    pub log_level: LogLevel,

    /// Format of log messages on standard error
    #[arg(
        long = "log.format",
        value_name = "FORMAT",
        default_value = "logfmt",
        value_enum,
        help_heading = "Logging"
    )]
    pub log_format: LogFormat,
}

const AFTER_HELP: &str = "Reads /proc every few seconds, assigns each process to its container, and exports \
process counts, tree depth, root processes, zombies and the tree itself. Docker is used only for container \
names. Root is not required.";

const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (revision ",
    env!("PSTREE_REVISION"),
    ", rustc ",
    env!("PSTREE_RUST_VERSION"),
    ")"
);

/// Why there is nothing to run.
#[derive(Debug)]
pub enum EarlyExit {
    /// Help or version, for standard output.
    Print(String),
    /// A wrong command line.
    Error(FlagError),
}

impl Cli {
    /// Parses a command line. The first argument is the name of the program.
    ///
    /// # Errors
    /// If there is nothing to run: help or version was requested, or the command line is wrong.
    pub fn parse_from_args(
        arguments: impl IntoIterator<Item = std::ffi::OsString>,
    ) -> Result<Self, EarlyExit> {
        Self::try_parse_from(with_joined_watch(arguments)).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                EarlyExit::Print(error.render().to_string())
            }
            _ => EarlyExit::Error(FlagError::Usage(one_line(&error))),
        })
    }

    /// Resolves the flags to a configuration. `docker_host_variable` is the value of `DOCKER_HOST`.
    ///
    /// # Errors
    /// If a combination of values, or the variable, cannot be used.
    pub fn resolve(self, docker_host_variable: Option<&str>) -> Result<Task, FlagError> {
        let variable = docker_host_variable.filter(|value| !value.is_empty());
        match self.command {
            Some(Command::Tree(flags)) => flags.resolve(variable).map(Task::Tree),
            Some(Command::Roots(flags)) => flags.resolve(variable).map(Task::Roots),
            None => {
                let task: fn(Config) -> Task = match (self.check, self.healthcheck) {
                    (true, _) => Task::Check,
                    (_, true) => |config| Task::Healthcheck(config.web),
                    _ => Task::Serve,
                };
                self.resolve_exporter(variable).map(task)
            }
        }
    }

    fn resolve_exporter(self, docker_host_variable: Option<&str>) -> Result<Config, FlagError> {
        let timeout_scale = self.input.timeout_scale;
        let names = self.input.names(docker_host_variable, docker_labels(self.docker_labels)?)?;
        let CollectorFlags(collectors) = self.collectors;
        let collector = CollectorConfig {
            interval: self.interval,
            // One collection has no counts of events, so loading BPF programs is useless.
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
                commands_per_container: match collectors.has(Collector::Commands) {
                    true => self.commands_per_container,
                    false => 0,
                },
            },
            usage: collectors.has(Collector::Usage),
            ..self.input.collector()
        };
        Ok(Config {
            collector,
            names,
            web: WebConfig {
                listen_addresses: self.listen_addresses,
                telemetry_path: self.telemetry_path,
                max_connections: self.max_connections,
                arguments: self.web_arguments,
                config_file: self.web_config_file,
                systemd_socket: self.systemd_socket,
                timeouts: Timeouts::scaled(timeout_scale),
            },
            collectors,
            once: self.once,
            timeout_scale,
        })
    }
}

/// clap's message without the usage, in one line.
fn one_line(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let mut lines = rendered.lines();
    let message = lines.next().unwrap_or_default();
    let mut message = message.strip_prefix("error: ").unwrap_or(message).to_owned();
    if message.ends_with(':') {
        let listed: Vec<&str> = lines.take_while(|line| line.starts_with(' ')).map(str::trim).collect();
        message = format!("{message} {}", listed.join(", "));
    }
    let similar =
        [ContextKind::SuggestedArg, ContextKind::SuggestedValue].iter().find_map(|&kind| error.get(kind));
    match similar {
        Some(similar) => format!("{message} (did you mean {similar}?); see --help"),
        None => format!("{message}; see --help"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::TreeConfig;
    use crate::names::config::{DefaultSockets, Endpoints};
    use crate::names::endpoint::Endpoint;

    fn parse_task(arguments: &[&str]) -> Result<Task, FlagError> {
        let all = std::iter::once("pstree-exporter").chain(arguments.iter().copied()).map(Into::into);
        match Cli::parse_from_args(all) {
            Ok(cli) => cli.resolve(None),
            Err(EarlyExit::Error(error)) => Err(error),
            Err(EarlyExit::Print(text)) => panic!("{arguments:?} prints {text}"),
        }
    }

    fn parse(arguments: &[&str]) -> Result<Config, FlagError> {
        match parse_task(arguments)? {
            Task::Serve(config) => Ok(config),
            other => panic!("{arguments:?} is {other:?}"),
        }
    }

    fn parse_tree(arguments: &[&str]) -> Result<TreeConfig, FlagError> {
        match parse_task(&[&["tree"], arguments].concat())? {
            Task::Tree(config) => Ok(config),
            other => panic!("{arguments:?} is {other:?}"),
        }
    }

    #[test]
    fn watch_accepts_an_optional_number_and_names() {
        let of = |arguments: &[&str]| {
            let config = parse_tree(arguments).unwrap();
            (config.watch.map(|it| it.as_secs_f64()), config.wanted.join(" "))
        };
        assert_eq!(of(&["web"]), (None, "web".into()));
        assert_eq!(of(&["--watch"]), (Some(2.0), String::new()));
        assert_eq!(of(&["--watch", "web"]), (Some(2.0), "web".into()));
        assert_eq!(of(&["--watch", "0.3", "web"]), (Some(0.3), "web".into()));
        assert_eq!(of(&["--watch=0.3", "web", "db"]), (Some(0.3), "web db".into()));
        assert_eq!(of(&["web", "--watch", "5"]), (Some(5.0), "web".into()));
        assert_eq!(of(&["--watch", "27024"]), (Some(2.0), "27024".into()), "a pid");
        assert_eq!(of(&["--watch", "4e2"]), (Some(2.0), "4e2".into()), "an id");
        assert_eq!(of(&["--watch=120"]), (Some(120.0), String::new()));
        for bad in ["0", "0.01", "-1", "nan", "inf", "1e9"] {
            let line = parse_tree(&[&format!("--watch={bad}")]).expect_err(bad).to_string();
            assert!(line.contains("--watch") && line.contains("0.3"), "{line}");
        }
    }

    #[test]
    fn busy_accepts_an_optional_number_and_reads_kernel_counters_by_default() {
        let of = |arguments: &[&str]| {
            let config = parse_tree(arguments).unwrap();
            (config.busy.map(|it| it.as_secs_f64()), config.collector.source, config.wanted.join(" "))
        };
        assert_eq!(of(&["--busy", "web"]), (Some(2.0), SourceFlag::Auto, "web".into()));
        assert_eq!(of(&["--busy", "5", "web"]), (Some(5.0), SourceFlag::Auto, "web".into()));
        assert_eq!(
            of(&["--busy=0.5", "--collection.source=proc"]),
            (Some(0.5), SourceFlag::Proc, String::new())
        );
        assert_eq!(of(&["web"]), (None, SourceFlag::Proc, "web".into()));
        let line = parse_tree(&["--busy=0"]).expect_err("too short").to_string();
        assert!(line.contains("--busy") && !line.contains("--watch"), "{line}");
    }

    #[test]
    fn commands_reject_flags_of_the_exporter() {
        for arguments in [&["tree", "--web.listen-address=:1"][..], &["--once", "tree"]] {
            let line = parse_task(arguments).expect_err("rejected").to_string();
            assert_eq!(line.lines().count(), 1, "{line}");
        }
        assert!(parse_tree(&["--json", "--watch"]).is_err());
        assert!(parse_task(&["roots"]).is_err());
    }

    #[test]
    fn clap_accepts_the_definition() {
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
        assert_eq!(config.names.docker, Some(Endpoints::Default(DefaultSockets::Docker)));
        assert_eq!(config.names.cri, Some(Endpoints::Default(DefaultSockets::Cri)));
    }

    #[test]
    fn listen_addresses_repeat() {
        let config = parse(&["--web.listen-address=127.0.0.1:1", "--web.listen-address=[::1]:2"]).unwrap();
        assert_eq!(config.web.listen_addresses, ["127.0.0.1:1", "[::1]:2"]);
    }

    #[test]
    fn each_wrong_flag_is_reported_in_one_line_with_the_fix() {
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
            (&["--cri.endpoint=tcp://localhost:1"], &["--cri.endpoint", "unix:///"]),
            (
                &["--cri.endpoint=unix:///x", "--names.kubernetes=logs"],
                &["--cri.endpoint", "--names.kubernetes"],
            ),
            (&["--docker.label=a.b", "--docker.label=a-b"], &["--docker.label", "label_a_b"]),
            (&["--bounds.containers=0"], &["--bounds.containers", "1000000"]),
            (&["--log.level=loud"], &["--log.level"]),
            (&["--collection.intervall=5s"], &["--collection.intervall", "--collection.interval"]),
            (&["stray"], &["stray", "--help"]),
        ] {
            let line = parse(arguments).expect_err(&format!("{arguments:?}")).to_string();
            assert_eq!(line.lines().count(), 1, "{line}");
            for mention in mentions {
                assert!(line.contains(mention), "{arguments:?} gave {line:?}, which lacks {mention:?}");
            }
        }
    }

    #[test]
    fn missing_and_conflicting_arguments_are_reported() {
        for (arguments, mention) in [
            (&["roots"][..], "<CONTAINER>"),
            (&["--docker.host=unix:///x", "--no-docker", "--docker.label=a"], "--no-docker"),
        ] {
            let line = parse_task(arguments).expect_err(&format!("{arguments:?}")).to_string();
            assert!(line.contains(mention) && line.lines().count() == 1, "{line}");
        }
    }

    #[test]
    fn docker_host_variable() {
        let resolve = |variable| Cli::parse_from_args(["x".into()]).unwrap().resolve(variable);
        let docker = |variable| match resolve(variable).unwrap() {
            Task::Serve(config) => config.names.docker.unwrap(),
            other => panic!("{other:?}"),
        };
        let tcp = Endpoint::Tcp("127.0.0.1:1".into());
        assert_eq!(docker(Some("tcp://127.0.0.1:1")), Endpoints::Configured(vec![tcp]));
        assert_eq!(docker(Some("")), Endpoints::Default(DefaultSockets::Docker));
        assert!(resolve(Some("ssh://x")).unwrap_err().to_string().starts_with("DOCKER_HOST: "));
    }
}
