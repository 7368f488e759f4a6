//! Metadata of a container from its container engine.

use crate::model::container::Container;

/// Metadata of one container from Docker, as label values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerMetadata {
    /// Without the leading `/`.
    pub name: String,
    pub image: String,
    pub compose_project: String,
    pub compose_service: String,
    /// Values of the allow-listed labels, in the order of that list; empty if the container does not have the label.
    pub labels: Vec<String>,
    pub paused: bool,
}

/// The label `name`: the name in the path if there is one, otherwise the name in Docker.
#[must_use]
pub fn display_name<'a>(container: &'a Container, metadata: Option<&'a ContainerMetadata>) -> &'a str {
    match (&container.own_name, metadata) {
        (None, Some(metadata)) => &metadata.name,
        _ => container.fallback_name(),
    }
}
