//! Log output on standard error, as logfmt or JSON.

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Logfmt,
    Json,
}

/// Installs the logger of the process. Later calls have no effect.
pub fn init(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    // Only messages of this crate: libraries log the content of requests.
    let filter = Targets::new().with_target("pstree_exporter", level);
    let registry = tracing_subscriber::registry();
    let _ = match format {
        LogFormat::Logfmt => {
            let layer = tracing_logfmt::builder().with_target(false).layer().with_writer(std::io::stderr);
            registry.with(layer.with_filter(filter)).try_init()
        }
        LogFormat::Json => {
            let layer =
                fmt::layer().json().flatten_event(true).with_target(false).with_writer(std::io::stderr);
            registry.with(layer.with_filter(filter)).try_init()
        }
    };
}
