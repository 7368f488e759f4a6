//! The configuration that flags resolve to: checked, with defaults.

use std::time::Duration;

use crate::collect::config::CollectorConfig;
use crate::export::collectors::Collectors;
use crate::names::config::NamesConfig;
use crate::serve::config::WebConfig;
use crate::view::rows::RowOptions;

/// When to use colors. `Auto` means on a terminal that supports them, unless `NO_COLOR` is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorFlag {
    #[default]
    Auto,
    Always,
    Never,
}

/// The configuration of `tree`.
#[derive(Clone, Debug)]
pub struct TreeConfig {
    pub collector: CollectorConfig,
    pub names: NamesConfig,
    /// Names, ids, pids or Compose services of containers; all containers if empty.
    pub wanted: Vec<String>,
    pub with_host: bool,
    pub layout: RowOptions,
    pub arguments: bool,
    pub host_pids: bool,
    /// Show CPU and memory.
    pub usage: bool,
    pub json: bool,
    pub ascii: bool,
    pub color: ColorFlag,
    /// Show the busiest commands, measured for this time.
    pub busy: Option<Duration>,
    /// Time between two collections; `None` to collect once.
    pub watch: Option<Duration>,
    /// Every timeout is multiplied by it.
    pub timeout_scale: f64,
}

/// The configuration of `roots`.
#[derive(Clone, Debug)]
pub struct RootsConfig {
    pub collector: CollectorConfig,
    pub names: NamesConfig,
    pub wanted: String,
    /// Print pids in the container's pid namespace.
    pub inside: bool,
}

/// What to run.
#[derive(Clone, Debug)]
pub enum Task {
    Serve(Config),
    Check(Config),
    Healthcheck(WebConfig),
    Tree(TreeConfig),
    Roots(RootsConfig),
}

/// The configuration of the exporter.
#[derive(Clone, Debug)]
pub struct Config {
    pub collector: CollectorConfig,
    pub names: NamesConfig,
    pub web: WebConfig,
    /// The enabled collectors.
    pub collectors: Collectors,
    pub once: bool,
    /// Every timeout is multiplied by it.
    pub timeout_scale: f64,
}
