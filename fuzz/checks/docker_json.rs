//! Responses of the Docker API: a list of containers, or events. Users who start containers or build images choose
//! names, images and labels.

use bollard::models::EventMessage;
use pstree_exporter::model::container_metadata::ContainerMetadata;
use pstree_exporter::names::docker_list::decode_list;
use serde_json::Value;

use super::shown::{MOST_CHARS, assert_label, is_harmful};

const ALLOWED: [&str; 2] = ["team", "org.opencontainers.image.title"];

pub fn check(data: &[u8]) {
    for line in data.split(|&byte| byte == b'\n') {
        let _ = serde_json::from_slice::<EventMessage>(line);
    }
    let Ok(list) = decode_list(data, &ALLOWED.map(str::to_owned)) else { return };
    // Fields that the exporter ignores can be invalid UTF-8. Then there is no reference to compare with.
    let Ok(raw) = serde_json::from_slice::<Vec<Value>>(data) else { return };
    assert!(list.directory.len() + list.undecodable <= raw.len());
    for (id, metadata) in &list.directory {
        // Of several entries with this id, any may count.
        let same: Vec<&Value> = raw.iter().filter(|entry| entry["Id"] == **id).collect();
        if let [entry] = same[..] {
            check_one(metadata, entry);
        }
    }
    let mut lost = 0;
    for entry in &raw {
        let is_named = entry["Names"]
            .as_array()
            .is_some_and(|names| names.iter().all(Value::is_string) && !names.is_empty());
        if let Some(id) = entry["Id"].as_str().filter(|_| is_named) {
            lost += usize::from(!list.directory.contains_key(id));
        }
    }
    // An entry with a field twice is one that cannot be decoded; the reference has the last of them.
    assert!(
        lost <= list.undecodable,
        "{lost} names get lost, {} entries cannot be decoded",
        list.undecodable
    );
}

fn check_one(metadata: &ContainerMetadata, raw: &Value) {
    let names: Vec<&str> = raw["Names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let ContainerMetadata { name, image, compose_project, compose_service, labels, paused, .. } = metadata;
    for value in [name, image, compose_project, compose_service].into_iter().chain(labels) {
        assert_label(value);
    }
    assert!(
        names.iter().any(|raw| is_shown_as(raw.trim_start_matches('/'), name, CHECKSUM)),
        "{name:?} of {names:?}"
    );
    assert!(is_shown_as(raw["Image"].as_str().unwrap_or_default(), image, 0));
    assert_eq!(labels.len(), ALLOWED.len());
    for (key, value) in ALLOWED.iter().zip(labels) {
        assert!(is_shown_as(raw["Labels"][key].as_str().unwrap_or_default(), value, 0), "{key}");
    }
    assert_eq!(*paused, raw["State"] == "paused");
}

/// Characters after the mark of a truncated name.
const CHECKSUM: usize = 8;

/// Whether `shown` is the same text, except for replaced characters and truncation. Truncated text has `end` characters
/// after the mark.
fn is_shown_as(raw: &str, shown: &str, end: usize) -> bool {
    let is_cut = raw.chars().count() > MOST_CHARS;
    let shown: Vec<char> = shown.chars().collect();
    let kept = if is_cut { MOST_CHARS - 1 - end } else { MOST_CHARS };
    let (shown, rest) = shown.split_at(shown.len().min(kept));
    let raw: Vec<char> = raw.chars().take(kept).collect();
    let same =
        |(&raw, &shown): (&char, &char)| raw == shown || (shown == '\u{fffd}' && !raw.is_alphanumeric());
    rest.first().is_none_or(|&mark| mark == '…')
        && rest.len() == if is_cut { 1 + end } else { 0 }
        && shown.len() == raw.len()
        && raw.iter().zip(shown).all(same)
        && raw.iter().zip(shown).all(|(&raw, &shown)| !is_harmful(raw) || shown == '\u{fffd}')
}
