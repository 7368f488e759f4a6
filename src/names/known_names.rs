//! Joins the names that container engines report to the containers of a snapshot.
//!
//! Keeps the last known name of each container while the engine does not answer. The series of a new container are
//! delayed until its name is known or a timeout passes, so that they do not appear under two names.

use std::sync::Arc;
use std::time::Duration;

use super::config::DockerTimeouts;
use super::registry::Directory;
use crate::model::container::Container;
use crate::model::container_metadata::{ContainerMetadata, display_name};
use crate::model::snapshot::{ContainerState, ContainerSummary, NamedSnapshot, Snapshot};

/// The last known metadata of each container.
#[derive(Debug)]
pub struct KnownNames {
    timeout: Duration,
    /// By container slot. The slot may have been reused for another container.
    by_slot: Vec<Option<(Arc<Container>, Arc<ContainerMetadata>)>>,
}

/// A snapshot with names, and the time until which containers wait for a name.
#[derive(Debug)]
pub struct Joined {
    pub snapshot: NamedSnapshot,
    /// Monotonic time at which the first timeout of a waiting container passes.
    pub next_deadline: Option<Duration>,
}

impl Default for KnownNames {
    fn default() -> Self {
        Self::new(DockerTimeouts::default().new_container)
    }
}

impl KnownNames {
    /// `timeout` is how long a new container waits for its name.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, by_slot: Vec::new() }
    }

    /// Assigns a name to each container. `waiting_at` is the current monotonic time if new containers may wait for
    /// their name.
    pub fn join(
        &mut self,
        snapshot: &Arc<Snapshot>,
        directory: &Directory,
        waiting_at: Option<Duration>,
    ) -> Joined {
        let mut containers = Vec::with_capacity(snapshot.containers.len());
        let mut next_deadline: Option<Duration> = None;
        for state in &snapshot.containers {
            let metadata = self.metadata(state, directory);
            if metadata.is_none() && waits_for_name(&state.container) {
                let deadline = state.present_since + self.timeout;
                if waiting_at.is_some_and(|now| now < deadline) {
                    next_deadline = Some(next_deadline.map_or(deadline, |next| next.min(deadline)));
                    continue;
                }
            }
            containers.push(ContainerSummary {
                name: display_name(&state.container, metadata.as_deref()).into(),
                paused: state.frozen.or(metadata.as_ref().map(|metadata| metadata.paused)),
                metadata,
                state: Arc::clone(state),
            });
        }
        Joined { snapshot: NamedSnapshot { snapshot: Arc::clone(snapshot), containers }, next_deadline }
    }

    /// The current metadata from the engine, or else the last known metadata.
    fn metadata(&mut self, state: &ContainerState, directory: &Directory) -> Option<Arc<ContainerMetadata>> {
        let slot = state.membership.slot()?;
        if self.by_slot.len() <= slot {
            self.by_slot.resize_with(slot + 1, || None);
        }
        let known = &mut self.by_slot[slot];
        if let Some(metadata) = directory.get(&*state.container.container_id) {
            *known = Some((Arc::clone(&state.container), Arc::clone(metadata)));
        }
        let (container, metadata) = known.as_ref()?;
        Arc::ptr_eq(container, &state.container).then(|| Arc::clone(metadata))
    }
}

fn waits_for_name(container: &Container) -> bool {
    container.own_name.is_none() && container.runtime.has_docker_api_name()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::Runtime;
    use crate::model::process::Membership;
    use crate::model::snapshot::ContainerNumbers;

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

    fn directory() -> Directory {
        let web = ContainerMetadata { name: "web".into(), ..ContainerMetadata::default() };
        Directory::from([(ID.to_owned(), Arc::new(web))])
    }

    #[test]
    fn a_new_container_waits_for_its_name_and_then_shows_its_id() {
        let (mut names, snapshot) = (KnownNames::default(), snapshot(10));
        let at = |seconds| Some(Duration::from_secs(seconds));
        let waiting = names.join(&snapshot, &Directory::new(), at(11));
        assert_eq!((waiting.snapshot.containers.len(), waiting.next_deadline), (0, at(12)));
        let late = names.join(&snapshot, &Directory::new(), at(12));
        assert_eq!((&*late.snapshot.containers[0].name, late.next_deadline), ("b43d92bf1e5c", None));
        let impatient = names.join(&snapshot, &Directory::new(), None);
        assert_eq!(&*impatient.snapshot.containers[0].name, "b43d92bf1e5c");
    }

    #[test]
    fn the_last_known_name_stays_and_is_never_that_of_another_container_in_the_slot() {
        let (mut names, web) = (KnownNames::default(), snapshot(10));
        assert_eq!(&*names.join(&web, &directory(), None).snapshot.containers[0].name, "web");
        assert_eq!(&*names.join(&web, &Directory::new(), None).snapshot.containers[0].name, "web");
        let other = snapshot(20);
        assert_eq!(&*names.join(&other, &Directory::new(), None).snapshot.containers[0].name, "b43d92bf1e5c");
    }
}
