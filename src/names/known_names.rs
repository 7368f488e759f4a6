//! Joins the names from container engines and Kubernetes to the containers of a snapshot.
//!
//! Keeps the last known name of each container while no source has one. The series of a new container are
//! delayed until its name is known or a timeout passes, so that they do not appear under two names.

use std::sync::Arc;
use std::time::Duration;

use super::config::NameTimeouts;
use super::registry::{Names, Unnamed};
use crate::model::container::{Container, Runtime};
use crate::model::container_metadata::{ContainerMetadata, PodContainer, display_name};
use crate::model::snapshot::{ContainerState, ContainerSummary, NamedSnapshot, Snapshot};
use crate::model::text::{label_value, name_label};

/// The last known metadata of each container.
#[derive(Debug)]
pub struct KnownNames {
    timeout: Duration,
    /// By container slot. The slot may have been reused for another container.
    by_slot: Vec<Option<Known>>,
}

/// The metadata of one container, and where it comes from.
#[derive(Debug)]
struct Known {
    container: Arc<Container>,
    docker: Option<Arc<ContainerMetadata>>,
    kubernetes: Option<Arc<PodContainer>>,
    /// Made of both.
    metadata: Arc<ContainerMetadata>,
}

/// That new containers may wait for their name.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// The current monotonic time.
    pub now: Duration,
    /// An engine is used, and is not known to be down.
    pub for_engines: bool,
    /// The same for containerd's own API.
    pub for_containerd: bool,
    /// The same for a source of the names of Kubernetes.
    pub for_kubernetes: bool,
}

/// A snapshot with names, and the time until which containers wait for a name.
#[derive(Debug)]
pub struct Joined {
    pub snapshot: NamedSnapshot,
    /// Monotonic time at which the first timeout of a waiting container passes.
    pub next_deadline: Option<Duration>,
    /// The containers for which a source may have a name later.
    pub unnamed: Unnamed,
}

impl Default for KnownNames {
    fn default() -> Self {
        Self::new(NameTimeouts::default().new_container)
    }
}

impl KnownNames {
    /// `timeout` is how long a new container waits for its name.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, by_slot: Vec::new() }
    }

    /// Assigns a name to each container, except to new ones that wait.
    pub fn join(&mut self, snapshot: &Arc<Snapshot>, names: &Names, waiting: Option<Waiting>) -> Joined {
        let mut containers = Vec::with_capacity(snapshot.containers.len());
        let mut next_deadline: Option<Duration> = None;
        let mut unnamed = Unnamed::default();
        for state in &snapshot.containers {
            let metadata = self.metadata(state, names);
            let container = &state.container;
            // Names from log files are earlier than the images and labels of a CRI runtime.
            let lacks_pod_details = may_be_in_pod(container)
                && (names.lacks_cri_entry(container)
                    || metadata.as_ref().is_none_or(|it| it.container.is_empty()));
            let id = || container.container_id.to_string();
            unnamed.of_pods.extend(lacks_pod_details.then(id));
            if metadata.is_none() {
                unnamed.of_engines.extend(may_have_engine_name(container).then(id));
                unnamed.of_containerd.extend(may_be_in_containerd(container).then(id));
            }
            let waits = waiting.is_some_and(|waiting| {
                waiting.now < state.present_since + self.timeout
                    && ((waiting.for_engines && metadata.is_none() && may_have_engine_name(container))
                        || (waiting.for_containerd && metadata.is_none() && may_be_in_containerd(container))
                        || (waiting.for_kubernetes && lacks_pod_details))
            });
            if waits {
                let deadline = state.present_since + self.timeout;
                next_deadline = Some(next_deadline.map_or(deadline, |next| next.min(deadline)));
                continue;
            }
            containers.push(ContainerSummary {
                name: display_name(&state.container, metadata.as_deref()),
                paused: state.frozen.or(metadata.as_ref().map(|metadata| metadata.paused)),
                metadata,
                state: Arc::clone(state),
            });
        }
        let snapshot = NamedSnapshot { snapshot: Arc::clone(snapshot), containers };
        Joined { snapshot, next_deadline, unnamed }
    }

    /// The current metadata, or else the last known metadata.
    fn metadata(&mut self, state: &ContainerState, names: &Names) -> Option<Arc<ContainerMetadata>> {
        let slot = state.membership.slot()?;
        if self.by_slot.len() <= slot {
            self.by_slot.resize_with(slot + 1, || None);
        }
        let known = &mut self.by_slot[slot];
        if known.as_ref().is_some_and(|known| !Arc::ptr_eq(&known.container, &state.container)) {
            *known = None;
        }
        let before = known.as_ref();
        let docker = names.engine_metadata(&state.container);
        let docker = docker.or_else(|| before.and_then(|it| it.docker.clone()));
        let kubernetes = names.pod_container(state);
        let known_kubernetes = before.and_then(|it| it.kubernetes.clone());
        // The kubelet removes the name of a container before that of its pod.
        let kubernetes = match (kubernetes, known_kubernetes) {
            (Some(current), Some(known)) if current.container.is_empty() => Some(known),
            (current, known) => current.or(known),
        };
        if docker.is_none() && kubernetes.is_none() {
            return None;
        }
        let is_same = before.is_some_and(|it| {
            same(it.docker.as_ref(), docker.as_ref()) && same(it.kubernetes.as_ref(), kubernetes.as_ref())
        });
        if !is_same {
            let metadata = Arc::new(merged(docker.as_deref(), kubernetes.as_deref()));
            let container = Arc::clone(&state.container);
            *known = Some(Known { container, docker, kubernetes, metadata });
        }
        known.as_ref().map(|known| Arc::clone(&known.metadata))
    }
}

fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Kubernetes' names take precedence: Docker's names of its containers are made of them.
fn merged(docker: Option<&ContainerMetadata>, kubernetes: Option<&PodContainer>) -> ContainerMetadata {
    let mut metadata = docker.cloned().unwrap_or_default();
    if let Some(kubernetes) = kubernetes {
        let PodContainer { namespace, pod, container, image, labels } = kubernetes;
        if !container.is_empty() {
            metadata.name = name_label(&format!("{namespace}/{pod}/{container}"));
        }
        metadata.namespace = name_label(namespace);
        metadata.pod = name_label(pod);
        metadata.container = name_label(container);
        if !image.is_empty() {
            metadata.image = label_value(image);
        }
        if metadata.labels.iter().all(String::is_empty) && !labels.is_empty() {
            metadata.labels = labels.iter().map(|label| label_value(label)).collect();
        }
    }
    metadata
}

fn may_have_engine_name(container: &Container) -> bool {
    container.own_name.is_none() && container.runtime.has_docker_api_name()
}

/// Whether containerd can have a name: Kubernetes' names of containers are in its CRI API.
fn may_be_in_containerd(container: &Container) -> bool {
    container.pod_uid.is_empty() && matches!(container.runtime, Runtime::Nerdctl | Runtime::Containerd)
}

/// Whether this can be a container of a pod.
fn may_be_in_pod(container: &Container) -> bool {
    !container.pod_uid.is_empty() || container.runtime.is_of_kubernetes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::forest::merged_nodes::ExportedNode;
    use crate::model::process::Membership;
    use crate::model::snapshot::ContainerNumbers;
    use crate::names::kubernetes::KubernetesNames;

    const ID: &str = "b43d92bf1e5c6f78bb9b7bc6f40721280299855ba692092716e3a1b6c0b86f3f";

    fn snapshot(present_since: u64) -> Arc<Snapshot> {
        let container = Container {
            path: format!("/docker/{ID}").into(),
            id: format!("/docker/{ID}").into(),
            container_id: ID.into(),
            pod_uid: "".into(),
            own_name: None,
            runtime: Runtime::Docker,
        };
        let state = ContainerState {
            membership: Membership::container(0),
            container: Arc::new(container),
            numbers: ContainerNumbers::default(),
            present_since: Duration::from_secs(present_since),
        };
        Arc::new(Snapshot { containers: vec![Arc::new(state)], ..Snapshot::default() })
    }

    fn names() -> Names {
        let web = ContainerMetadata { name: "web".into(), ..ContainerMetadata::default() };
        Names::of_engine([(ID.to_owned(), Arc::new(web))].into())
    }

    #[test]
    fn a_new_container_waits_for_its_name_and_then_shows_its_id() {
        let (mut known, snapshot) = (KnownNames::default(), snapshot(10));
        let at = |now, for_engines| {
            let now = Duration::from_secs(now);
            Some(Waiting { now, for_engines, for_containerd: false, for_kubernetes: false })
        };
        let waiting = known.join(&snapshot, &Names::default(), at(11, true));
        assert_eq!(
            (waiting.snapshot.containers.len(), waiting.next_deadline),
            (0, Some(Duration::from_secs(12)))
        );
        for waiting in [at(12, true), at(11, false), None] {
            let joined = known.join(&snapshot, &Names::default(), waiting);
            assert_eq!((&*joined.snapshot.containers[0].name, joined.next_deadline), ("b43d92bf1e5c", None));
        }
    }

    #[test]
    fn the_last_known_name_stays_and_is_never_that_of_another_container_in_the_slot() {
        let (mut known, web) = (KnownNames::default(), snapshot(10));
        assert_eq!(&*known.join(&web, &names(), None).snapshot.containers[0].name, "web");
        assert_eq!(&*known.join(&web, &Names::default(), None).snapshot.containers[0].name, "web");
        let other = snapshot(20);
        assert_eq!(&*known.join(&other, &Names::default(), None).snapshot.containers[0].name, "b43d92bf1e5c");
    }

    /// A container of a pod, with this command.
    fn in_pod(command: &str) -> Arc<Snapshot> {
        let snapshot = snapshot(10);
        let container = Container {
            pod_uid: "1-2".into(),
            runtime: Runtime::Containerd,
            ..(*snapshot.containers[0].container).clone()
        };
        let mut numbers = ContainerNumbers { nodes: vec![ExportedNode::root(command)], ..Default::default() };
        numbers.stats.processes = 1;
        let state = ContainerState {
            membership: Membership::container(0),
            container: Arc::new(container),
            numbers,
            present_since: Duration::from_secs(10),
        };
        Arc::new(Snapshot { containers: vec![Arc::new(state)], ..Snapshot::default() })
    }

    #[test]
    fn containers_of_pods_have_names_from_kubernetes() {
        let mut kubernetes = KubernetesNames::default();
        let name = PodContainer {
            namespace: "default".into(),
            pod: "web-0".into(),
            container: "app".into(),
            ..PodContainer::default()
        };
        kubernetes.add_pod("1-2", "default", "web-0");
        let only_pod = |kubernetes| Names { logs: Some(Arc::new(kubernetes)), ..names() };
        let mut known = KnownNames::default();
        let mut joined = |snapshot: &Arc<Snapshot>, names: &Names| {
            let joined = known.join(snapshot, names, None);
            (joined.snapshot.containers[0].name.to_string(), !joined.unnamed.of_pods.is_empty())
        };
        let names = only_pod(kubernetes);
        assert_eq!(
            joined(&in_pod("pause"), &Names { engines: Vec::new(), ..names.clone() }).0,
            "default/web-0/POD"
        );
        let without_docker = Names { engines: Vec::new(), ..names };
        assert_eq!(
            joined(&in_pod("nginx"), &without_docker),
            ("default/web-0/b43d92bf1e5c".to_owned(), true),
            "its own name may follow"
        );
        let mut kubernetes = KubernetesNames::default();
        kubernetes.add_container(ID, name);
        let app = in_pod("nginx");
        // It takes precedence over Docker's name of the same container.
        assert_eq!(joined(&app, &only_pod(kubernetes)), ("default/web-0/app".to_owned(), false));
        let last = ("default/web-0/app".to_owned(), false);
        assert_eq!(joined(&app, &Names::default()), last, "no source has a name");
        assert_eq!(joined(&app, &without_docker), last, "only the pod has a name");
    }
}
