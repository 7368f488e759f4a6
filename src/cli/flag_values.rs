//! Parsers of the values of flags.

use std::time::Duration;

use crate::cli::flag_error::FlagError;
use crate::names::config::ExportedLabel;
use crate::names::endpoint::Endpoint;

/// The label names in Prometheus. Two Docker labels must not have the same one.
pub(crate) fn docker_labels(keys: Vec<String>) -> Result<Vec<ExportedLabel>, FlagError> {
    let mut labels: Vec<ExportedLabel> = Vec::with_capacity(keys.len());
    for key in keys {
        let name: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let label = format!("label_{name}");
        if let Some(same) = labels.iter().find(|known| known.label == label) {
            return Err(FlagError::SameLabel { first: same.key.clone(), second: key, label });
        }
        labels.push(ExportedLabel { key, label });
    }
    Ok(labels)
}

pub(crate) fn parse_docker_label(key: &str) -> Result<String, FlagError> {
    if key.is_empty() { Err(FlagError::EmptyLabel) } else { Ok(key.to_owned()) }
}

pub(crate) fn parse_cri_endpoint(address: &str) -> Result<Endpoint, FlagError> {
    match address.parse() {
        Ok(endpoint @ Endpoint::Unix(_)) => Ok(endpoint),
        _ => Err(FlagError::CriEndpoint),
    }
}

pub(crate) fn parse_count(value: &str) -> Result<usize, FlagError> {
    value.parse().ok().filter(|count| (1..=1_000_000).contains(count)).ok_or(FlagError::NotACount)
}

pub(crate) fn parse_interval(value: &str) -> Result<Duration, FlagError> {
    let allowed = Duration::from_millis(100)..=Duration::from_secs(3600);
    let interval = humantime::parse_duration(value).ok();
    interval.filter(|interval| allowed.contains(interval)).ok_or(FlagError::Interval)
}

/// Seconds, with decimals.
pub(crate) fn parse_watch_period(value: &str) -> Result<Duration, FlagError> {
    let seconds = value.parse().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or(FlagError::WatchPeriod)
}

/// The limits prevent an overflow of the product with a timeout.
pub(crate) fn parse_timeout_scale(value: &str) -> Result<f64, FlagError> {
    value.parse().ok().filter(|factor| (0.001..=1000.0).contains(factor)).ok_or(FlagError::TimeoutScale)
}

pub(crate) fn parse_listen_address(address: &str) -> Result<String, FlagError> {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    port.map(|_| address.to_owned()).ok_or(FlagError::ListenAddress)
}

pub(crate) fn parse_telemetry_path(path: &str) -> Result<String, FlagError> {
    const RESERVED: [&str; 4] = ["/-/", "/api/", "/assets/", "/containers/"];
    let is_plain =
        path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"<>\\".contains(&b));
    if !is_plain {
        Err(FlagError::TelemetryPath)
    } else if path == "/" || RESERVED.into_iter().any(|prefix| path.starts_with(prefix)) {
        Err(FlagError::ReservedPath)
    } else {
        Ok(path.to_owned())
    }
}
