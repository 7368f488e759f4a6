//! Flags as resolved: checked, with defaults filled in, ready to be used.

use std::time::Duration;

use crate::collect::config::CollectorConfig;
use crate::names::config::DockerConfig;
use crate::serve::config::WebConfig;
use crate::view::rows::Layout;

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
    /// Every time-out is multiplied by it.
    pub timeout_scale: f64,
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
    /// Every time-out is multiplied by it.
    pub timeout_scale: f64,
}
