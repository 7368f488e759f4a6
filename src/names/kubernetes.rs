//! Names of the Kubernetes containers of a node: namespace, pod and container.

use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashMap;

use crate::model::container_metadata::{PodContainer, SANDBOX};
use crate::model::snapshot::ContainerState;

/// The command of a pod's sandbox.
const SANDBOX_COMMAND: &str = "pause";

/// The names of all containers of a node.
#[derive(Debug, Default)]
pub struct KubernetesNames {
    /// By container id (64 hexadecimal digits).
    containers: FxHashMap<Box<str>, Arc<PodContainer>>,
    /// By pod uid.
    pods: FxHashMap<Box<str>, Pod>,
}

/// The names of the containers of a pod whose own name is unknown. Most pods have none, so they are made when needed.
#[derive(Debug)]
struct Pod {
    namespace: Box<str>,
    pod: Box<str>,
    sandbox: OnceLock<Arc<PodContainer>>,
    other: OnceLock<Arc<PodContainer>>,
}

impl Pod {
    fn container(&self, container: &str) -> Arc<PodContainer> {
        Arc::new(PodContainer {
            namespace: self.namespace.to_string(),
            pod: self.pod.to_string(),
            container: container.to_owned(),
            ..PodContainer::default()
        })
    }
}

impl KubernetesNames {
    /// Adds a container by its id.
    pub fn add_container(&mut self, id: &str, name: PodContainer) {
        self.containers.insert(id.into(), Arc::new(name));
    }

    /// Adds a pod by its uid.
    pub fn add_pod(&mut self, uid: &str, namespace: &str, pod: &str) {
        let (sandbox, other) = (OnceLock::new(), OnceLock::new());
        self.pods.insert(uid.into(), Pod { namespace: namespace.into(), pod: pod.into(), sandbox, other });
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
        let (known, container) = if is_sandbox { (&pod.sandbox, SANDBOX) } else { (&pod.other, "") };
        Some(Arc::clone(known.get_or_init(|| pod.container(container))))
    }
}
