//! Values of flags: checked, or one line that says what to give.

use std::time::Duration;

use crate::names::config::DockerLabel;

pub(crate) fn docker_labels(keys: Vec<String>) -> Result<Vec<DockerLabel>, String> {
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

pub(crate) fn parse_docker_label(key: &str) -> Result<String, String> {
    if key.is_empty() {
        Err("a label has a name, such as com.example.team".into())
    } else {
        Ok(key.to_owned())
    }
}

pub(crate) fn parse_positive(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(number) if (1..=1_000_000).contains(&number) => Ok(number),
        _ => Err("give a number from 1 to 1000000".into()),
    }
}

pub(crate) fn parse_interval(value: &str) -> Result<Duration, String> {
    match humantime::parse_duration(value) {
        Ok(interval) if (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&interval) => {
            Ok(interval)
        }
        _ => Err("give a time from 100ms to 1h, such as 5s".into()),
    }
}

/// Wide enough for tests, and no product with a time-out overflows.
pub(crate) fn parse_timeout_scale(value: &str) -> Result<f64, String> {
    match value.parse() {
        Ok(factor) if (0.001..=1000.0).contains(&factor) => Ok(factor),
        _ => Err("give a number from 0.001 to 1000".into()),
    }
}

pub(crate) fn parse_listen_address(address: &str) -> Result<String, String> {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    match port {
        Some(_) => Ok(address.to_owned()),
        None => Err("give host:port or :port, such as 127.0.0.1:10073".into()),
    }
}

pub(crate) fn parse_telemetry_path(path: &str) -> Result<String, String> {
    let is_plain =
        path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"<>\\".contains(&b));
    if !is_plain {
        return Err("give a path that starts with / and has no query, such as /metrics".into());
    }
    let is_taken = |prefix| path.starts_with(prefix);
    if path == "/" || ["/-/", "/api/", "/assets/", "/containers/"].into_iter().any(is_taken) {
        return Err("this path has another use; give another, such as /metrics".into());
    }
    Ok(path.to_owned())
}
