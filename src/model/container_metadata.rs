//! Metadata of a container from its container engine and from Kubernetes.

use crate::model::container::Container;
use crate::model::text::name_label;

/// The label `container` of a pod's sandbox, which only holds its namespaces. cAdvisor uses the same name.
pub const SANDBOX: &str = "POD";

/// Metadata of one container, as label values.
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
    /// Of Kubernetes; empty elsewhere. `container` is empty if only the pod is known.
    pub namespace: String,
    pub pod: String,
    pub container: String,
}

impl ContainerMetadata {
    /// Whether it is the sandbox of a pod.
    #[must_use]
    pub fn is_sandbox(&self) -> bool {
        self.container == SANDBOX && !self.pod.is_empty()
    }
}

/// What Kubernetes knows of a container. `container` is empty if only the pod is known; `image` is empty and `labels` has
/// no values if the source has only names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodContainer {
    pub namespace: String,
    pub pod: String,
    pub container: String,
    pub image: String,
    /// As in [`ContainerMetadata`].
    pub labels: Vec<String>,
}

/// The label `name`: the name in the path if there is one, otherwise the name from an engine or from Kubernetes,
/// otherwise the beginning of the id.
#[must_use]
pub fn display_name(container: &Container, metadata: Option<&ContainerMetadata>) -> Box<str> {
    match (&container.own_name, metadata) {
        (None, Some(metadata)) if !metadata.name.is_empty() => metadata.name.as_str().into(),
        (None, Some(metadata)) if !metadata.pod.is_empty() => {
            let ContainerMetadata { namespace, pod, .. } = metadata;
            name_label(&format!("{namespace}/{pod}/{}", container.fallback_name())).into()
        }
        _ => container.fallback_name().into(),
    }
}
