//! Decodes a list of containers from the Docker API, entry by entry: an entry or a field that has an unexpected type
//! costs only itself. Engines differ in the states, port types and null values that they send.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::registry::Directory;
use crate::model::container_metadata::ContainerMetadata;
use crate::model::text::{label_value, name_label};

/// A decoded list.
#[derive(Debug, Default)]
pub struct DockerList {
    pub directory: Directory,
    /// The number of entries without a usable id.
    pub undecodable: usize,
}

/// The fields of an entry that are used.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(rename = "Id")]
    id: String,
    #[serde(borrow, rename = "Names")]
    names: Option<&'a RawValue>,
    #[serde(borrow, rename = "Image")]
    image: Option<&'a RawValue>,
    #[serde(borrow, rename = "Labels")]
    labels: Option<&'a RawValue>,
    #[serde(borrow, rename = "State")]
    state: Option<&'a RawValue>,
}

/// The value of a field; `None` if it has another type.
fn decode<'a, T: Deserialize<'a>>(field: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(field?.get()).ok()
}

/// Decodes the response to `GET /containers/json`. `allowed_labels` are the labels to read, in the order of the flag.
///
/// # Errors
/// If it is not a JSON array.
pub fn decode_list(body: &[u8], allowed_labels: &[String]) -> Result<DockerList, serde_json::Error> {
    let entries: Vec<&RawValue> = serde_json::from_slice(body)?;
    let mut list = DockerList::default();
    for entry in entries {
        let Ok(entry) = serde_json::from_str::<Entry<'_>>(entry.get()) else {
            list.undecodable += 1;
            continue;
        };
        if let Some(metadata) = to_metadata(&entry, allowed_labels) {
            list.directory.insert(entry.id, Arc::new(metadata));
        }
    }
    Ok(list)
}

/// `None` if the container has no name: it is shown by its id.
fn to_metadata(entry: &Entry<'_>, allowed_labels: &[String]) -> Option<ContainerMetadata> {
    let names: Vec<Option<String>> = decode(entry.names)?;
    // Links add names such as `/other/alias`; the container's own name has no second slash.
    let names = names.iter().flatten().map(|name| name.trim_start_matches('/'));
    let own = names.min_by_key(|name| name.contains('/'))?;
    let labels: HashMap<String, &RawValue> = decode(entry.labels).unwrap_or_default();
    let label = |key: &str| {
        let value: Option<String> = decode(labels.get(key).copied());
        value.map(|value| label_value(&value)).unwrap_or_default()
    };
    Some(ContainerMetadata {
        name: name_label(own),
        image: label_value(&decode::<String>(entry.image).unwrap_or_default()),
        compose_project: label("com.docker.compose.project"),
        compose_service: label("com.docker.compose.service"),
        labels: allowed_labels.iter().map(|key| label(key)).collect(),
        paused: decode::<String>(entry.state).is_some_and(|state| state == "paused"),
        ..ContainerMetadata::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_one(entry: &str) -> Option<ContainerMetadata> {
        let body = format!("[{entry}]");
        let list = decode_list(body.as_bytes(), &["team".into(), "absent".into()]).expect("an array");
        list.directory.get("x").map(|it| (**it).clone())
    }

    #[test]
    fn uses_the_containers_own_name_not_that_of_a_link() {
        let metadata = decode_one(
            r#"{"Id":"x","Names":["/front/db","/db"],"Image":"img","State":"paused",
                "Labels":{"com.docker.compose.service":"web","team":"red","secret":"x"}}"#,
        )
        .expect("a name");
        assert_eq!((&*metadata.name, &*metadata.image), ("db", "img"));
        assert_eq!(metadata.labels, ["red", ""]);
        assert_eq!(metadata.compose_service, "web");
        assert!(metadata.paused);
    }

    #[test]
    fn a_container_without_a_name_has_no_metadata() {
        for entry in [r#"{"Id":"x"}"#, r#"{"Id":"x","Names":[]}"#, r#"{"Id":"x","Names":null}"#] {
            assert_eq!(decode_one(entry), None, "{entry}");
        }
    }

    #[test]
    fn an_unexpected_value_costs_its_field_or_its_entry_only() {
        for odd in [
            r#""State":"stopped""#,
            r#""State":"configured""#,
            r#""State":null"#,
            r#""State":7"#,
            r#""Ports":[{"PrivatePort":80,"Type":"quic"}]"#,
            r#""Labels":null"#,
            r#""Labels":{"team":null}"#,
            r#""Labels":[]"#,
            r#""Image":{}"#,
            r#""NetworkSettings":null"#,
            r#""NetworkSettings":{"Networks":{"bridge":null}}"#,
            r#""Names2":"x""#,
        ] {
            let metadata = decode_one(&format!(r#"{{"Id":"x","Names":["/db"],{odd}}}"#));
            assert_eq!(metadata.expect(odd).name, "db", "{odd}");
        }
        let body = br#"[{"Id":null,"Names":["/a"]}, 7, null, {"Id":"x","Names":["/db", null]}]"#;
        let list = decode_list(body, &[]).expect("an array");
        assert_eq!((list.directory.len(), list.undecodable), (1, 3));
        assert_eq!(list.directory["x"].name, "db");
        for body in ["", "{}", "[{\"Id\": ", "OK"] {
            assert!(decode_list(body.as_bytes(), &[]).is_err(), "{body}");
        }
    }
}
