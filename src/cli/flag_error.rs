//! Errors of flags. Every message is one line with the fix.

use crate::names::endpoint::EndpointError;

/// A flag or environment variable with a value that cannot be used.
///
/// Errors of a single value do not name the flag: clap adds it.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    #[error("use a number from 1 to 1000000")]
    NotACount,
    #[error("use a duration from 100ms to 1h, such as 5s")]
    Interval,
    #[error("use seconds from 0.1 to 86400, such as 0.3")]
    WatchPeriod,
    #[error("use a number from 0.001 to 1000")]
    TimeoutScale,
    #[error("use host:port or :port, such as 127.0.0.1:10073")]
    ListenAddress,
    #[error("use a path that starts with / and has no query, such as /metrics")]
    TelemetryPath,
    #[error("this path is reserved; use another one, such as /metrics")]
    ReservedPath,
    #[error("use the name of a label, such as com.example.team")]
    EmptyLabel,
    #[error(
        "--docker.label: \"{first}\" and \"{second}\" have the same label name {label}; remove one of them"
    )]
    SameLabel { first: String, second: String, label: String },
    #[error("DOCKER_HOST: {0}; or set --docker.host, or use --no-docker to disable container name lookup")]
    DockerHostVariable(EndpointError),
    #[error("use unix:///path, such as unix:///run/containerd/containerd.sock")]
    CriEndpoint,
    #[error("--cri.endpoint requires --names.kubernetes=cri or --names.kubernetes=auto")]
    UnusedCriEndpoint,
    /// clap rejected the command line.
    #[error("{0}")]
    Usage(String),
}
