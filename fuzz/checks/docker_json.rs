//! Responses of the Docker API: a list of containers, or events. Users who start containers or build images choose
//! names, images and labels.

use bollard::models::{ContainerSummary, EventMessage};
use pstree_exporter::model::container_metadata::ContainerMetadata;
use pstree_exporter::names::docker::to_metadata;
use serde_json::Value;

use super::shown::{MOST_CHARS, assert_label, is_harmful};

const ALLOWED: [&str; 2] = ["team", "org.opencontainers.image.title"];

pub fn check(data: &[u8]) {
    for line in data.split(|&byte| byte == b'\n') {
        let _ = serde_json::from_slice::<EventMessage>(line);
    }
    let Ok(list) = serde_json::from_slice::<Vec<ContainerSummary>>(data) else { return };
    // Fields that the exporter ignores can be invalid UTF-8. Then there is no reference to compare with.
    let Ok(raw) = serde_json::from_slice::<Vec<Value>>(data) else { return };
    assert_eq!(list.len(), raw.len());
    for (summary, raw) in list.into_iter().zip(&raw) {
        check_one(to_metadata(summary, &ALLOWED.map(str::to_owned)), raw);
    }
}

fn check_one(metadata: Option<ContainerMetadata>, raw: &Value) {
    let names: Vec<&str> = raw["Names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(metadata) = metadata else {
        assert!(names.is_empty(), "a name gets lost: {names:?}");
        return;
    };
    let ContainerMetadata { name, image, compose_project, compose_service, labels, paused, .. } = &metadata;
    for value in [name, image, compose_project, compose_service].into_iter().chain(labels) {
        assert_label(value);
    }
    assert!(names.iter().any(|raw| is_shown_as(raw.trim_start_matches('/'), name)), "{name:?} of {names:?}");
    assert!(is_shown_as(raw["Image"].as_str().unwrap_or_default(), image));
    assert_eq!(labels.len(), ALLOWED.len());
    for (key, value) in ALLOWED.iter().zip(labels) {
        assert!(is_shown_as(raw["Labels"][key].as_str().unwrap_or_default(), value), "{key}");
    }
    assert_eq!(*paused, raw["State"] == "paused");
}

/// Whether `shown` is the same text, except for replaced characters and truncation.
fn is_shown_as(raw: &str, shown: &str) -> bool {
    let is_cut = raw.chars().count() > MOST_CHARS;
    let (kept, mark) = if is_cut { (MOST_CHARS - 1, "…") } else { (MOST_CHARS, "") };
    let Some(shown) = shown.strip_suffix(mark) else { return false };
    let same = |(raw, shown): (char, char)| raw == shown || (shown == '\u{fffd}' && !raw.is_alphanumeric());
    shown.chars().count() == raw.chars().take(kept).count()
        && raw.chars().zip(shown.chars()).all(same)
        && raw.chars().zip(shown.chars()).all(|(raw, shown)| !is_harmful(raw) || shown == '\u{fffd}')
}
