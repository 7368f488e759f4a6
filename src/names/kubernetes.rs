//! Names of the Kubernetes containers of a node: namespace, pod and container.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::container_metadata::PodContainer;
use crate::model::snapshot::ContainerState;

/// The container of a pod that only holds its namespaces. cAdvisor uses the same name.
pub(super) const SANDBOX: &str = "POD";
/// The command of that container.
const SANDBOX_COMMAND: &str = "pause";

/// The names of all containers of a node.
#[derive(Debug, Default)]
pub struct KubernetesNames {
    /// By container id (64 hexadecimal digits).
    containers: HashMap<String, Arc<PodContainer>>,
    /// By pod uid.
    pods: HashMap<String, Pod>,
}

/// The names of the containers of a pod whose own name is unknown.
#[derive(Debug)]
struct Pod {
    sandbox: Arc<PodContainer>,
    other: Arc<PodContainer>,
}

impl KubernetesNames {
    /// Adds a container by its id.
    pub fn add_container(&mut self, id: &str, name: PodContainer) {
        self.containers.insert(id.to_owned(), Arc::new(name));
    }

    /// Adds a pod by its uid.
    pub fn add_pod(&mut self, uid: &str, namespace: &str, pod: &str) {
        let name = |container: &str| {
            Arc::new(PodContainer {
                namespace: namespace.to_owned(),
                pod: pod.to_owned(),
                container: container.to_owned(),
                ..PodContainer::default()
            })
        };
        self.pods.insert(uid.to_owned(), Pod { sandbox: name(SANDBOX), other: name("") });
    }

    /// The names of a container, by its id.
    #[must_use]
    pub fn container(&self, id: &str) -> Option<Arc<PodContainer>> {
        self.containers.get(id).cloned()
    }

    /// The names of the pod of a container. A container that has only the process `pause` is the sandbox of its pod.
    #[must_use]
    pub fn of_pod(&self, state: &ContainerState) -> Option<Arc<PodContainer>> {
        let pod = self.pods.get(&*state.container.pod_uid)?;
        let is_sandbox = state.stats.processes == 1
            && state.nodes.first().is_some_and(|node| &*node.path == SANDBOX_COMMAND);
        Some(Arc::clone(if is_sandbox { &pod.sandbox } else { &pod.other }))
    }
}
