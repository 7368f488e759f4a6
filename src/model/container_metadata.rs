//! What a container engine says about a container.

use crate::model::container::Container;

/// What Docker says of one container, as label values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerMetadata {
    /// Without the leading `/`.
    pub name: String,
    pub image: String,
    pub compose_project: String,
    pub compose_service: String,
    /// Values of the allow-listed labels, in the order of that list; empty where a container has none.
    pub labels: Vec<String>,
    pub paused: bool,
}

/// The label `name`: what Docker calls a container, unless its path tells a name of its own.
#[must_use]
pub fn display_name<'a>(container: &'a Container, metadata: Option<&'a ContainerMetadata>) -> &'a str {
    match (&container.own_name, metadata) {
        (None, Some(metadata)) => &metadata.name,
        _ => container.fallback_name(),
    }
}
