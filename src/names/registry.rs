//! Names and labels of containers, shared between the clients of container engines and the collector.
//!
//! The collector never waits for an engine: a list replaces the previous one of the same engine as a whole, which
//! remains available while the engine does not answer.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::model::collection::{ApiStatus, NamesStatus};
use crate::model::container::Container;
use crate::model::container_metadata::{ContainerMetadata, PodContainer};
use crate::model::snapshot::ContainerState;
use crate::names::kubernetes::KubernetesNames;

/// What an engine knows of each container, by container id (64 hexadecimal digits).
pub type Directory = HashMap<String, Arc<ContainerMetadata>>;

/// The names from one container engine.
#[derive(Clone, Debug, Default)]
pub struct EngineNames {
    pub directory: Arc<Directory>,
    /// The part that the cgroup path of a container must have. An engine that belongs to a user names only containers of
    /// this user.
    pub within: Option<Arc<str>>,
}

/// The names from all sources.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub engines: Vec<EngineNames>,
    /// From each CRI runtime.
    pub cri: Vec<Arc<KubernetesNames>>,
    /// Whether a CRI runtime answers: then it knows every container of a pod.
    pub is_cri_up: bool,
    /// From log files; `None` if they are not used or cannot be read.
    pub logs: Option<Arc<KubernetesNames>>,
}

impl Names {
    /// The names of one engine.
    #[must_use]
    pub fn of_engine(directory: Directory) -> Self {
        Self {
            engines: vec![EngineNames { directory: Arc::new(directory), within: None }],
            ..Self::default()
        }
    }

    /// What the engines know of a container.
    #[must_use]
    pub fn engine_metadata(&self, container: &Container) -> Option<Arc<ContainerMetadata>> {
        let engines = self
            .engines
            .iter()
            .filter(|engine| engine.within.as_ref().is_none_or(|within| container.path.contains(&**within)));
        engines.filter_map(|engine| engine.directory.get(&*container.container_id)).next().cloned()
    }

    /// Whether a CRI runtime answers and does not know this container.
    #[must_use]
    pub fn lacks_cri_entry(&self, container: &Container) -> bool {
        self.is_cri_up && self.cri.iter().all(|names| names.container(&container.container_id).is_none())
    }

    /// The names that Kubernetes has for a container: its own, or else that of its pod.
    #[must_use]
    pub fn pod_container(&self, state: &ContainerState) -> Option<Arc<PodContainer>> {
        let sources = || self.cri.iter().chain(&self.logs);
        let own = sources().find_map(|names| names.container(&state.container.container_id));
        own.or_else(|| sources().find_map(|names| names.of_pod(state)))
    }
}

/// The ids of containers that have no name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unnamed {
    /// Those that may have a name in the Docker API.
    pub of_engines: BTreeSet<String>,
    /// Those that may have a name in containerd.
    pub of_containerd: BTreeSet<String>,
    /// Those that may have a name in Kubernetes, also if only their images and labels are missing.
    pub of_pods: BTreeSet<String>,
}

/// The kind of an API that has names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Docker,
    Containerd,
    Cri,
}

/// One API of a kind, and its last answer.
#[derive(Debug)]
struct Source<T> {
    endpoint: Arc<str>,
    names: Arc<T>,
    status: ApiStatus,
    within: Option<Arc<str>>,
}

impl<T> Source<T> {
    fn publish(&mut self, names: T, started: Instant) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.names = Arc::new(names);
        self.status = ApiStatus {
            up: Some(true),
            duration: started.elapsed().as_secs_f64(),
            last_success: Some(now.as_secs_f64()),
        };
    }
}

/// All APIs of a kind.
#[derive(Debug)]
struct Sources<T>(Vec<Source<T>>);

impl<T> Default for Sources<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Default> Sources<T> {
    fn entry(&mut self, endpoint: &Arc<str>) -> &mut Source<T> {
        let index = self.0.iter().position(|source| source.endpoint == *endpoint).unwrap_or_else(|| {
            let endpoint = Arc::clone(endpoint);
            let (names, status) = (Arc::default(), ApiStatus::default());
            self.0.push(Source { endpoint, names, status, within: None });
            self.0.len() - 1
        });
        &mut self.0[index]
    }

    fn status(&self) -> Vec<(Arc<str>, ApiStatus)> {
        self.0.iter().map(|source| (Arc::clone(&source.endpoint), source.status)).collect()
    }

    fn have_answered(&self) -> bool {
        self.0.iter().all(|source| source.status.up.is_some())
    }
}

#[derive(Debug, Default)]
struct State {
    docker: Sources<Directory>,
    containerd: Sources<Directory>,
    cri: Sources<KubernetesNames>,
    logs: Logs,
    has_unnamed_pods: bool,
    version: u64,
    is_stopping: bool,
}

/// The names from log files.
#[derive(Debug, Default)]
enum Logs {
    #[default]
    Unused,
    /// They are read for the first time.
    Expected,
    Unavailable,
    Read(Arc<KubernetesNames>),
}

/// The latest names and the state of the APIs. Also wakes the collector when either changes, and for shutdown.
#[derive(Debug, Default)]
pub struct Registry {
    state: Mutex<State>,
    changed: Condvar,
    /// For tasks that cannot block.
    unnamed: watch::Sender<Arc<Unnamed>>,
}

/// Why [`Registry::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// A name or a status has changed since the given version.
    Changed,
    Deadline,
    /// [`Registry::stop`] was called.
    Stopping,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.version += 1;
        self.changed.notify_all();
    }

    /// Announces an API. The first collection waits for the first answer of Docker and CRI. `within` is the part that the
    /// paths of its containers must have.
    pub(crate) fn expect(&self, api: Api, endpoint: &Arc<str>, within: Option<Arc<str>>) {
        self.change(|state| match api {
            Api::Docker => state.docker.entry(endpoint).within = within,
            Api::Containerd => state.containerd.entry(endpoint).within = within,
            Api::Cri => state.cri.entry(endpoint).within = within,
        });
    }

    /// Announces the names from log files.
    pub(crate) fn expect_logs(&self) {
        self.change(|state| state.logs = Logs::Expected);
    }

    /// Replaces the directory of an engine after a successful list, which began at `started`.
    pub(crate) fn publish_docker(&self, endpoint: &Arc<str>, directory: Directory, started: Instant) {
        self.change(|state| state.docker.entry(endpoint).publish(directory, started));
    }

    /// Replaces what containerd knows of containers that had no name; the request began at `started`.
    pub(crate) fn publish_containerd(&self, endpoint: &Arc<str>, directory: Directory, started: Instant) {
        self.change(|state| state.containerd.entry(endpoint).publish(directory, started));
    }

    /// Replaces the names of a CRI runtime after a successful list, which began at `started`.
    pub(crate) fn publish_cri(&self, endpoint: &Arc<str>, names: KubernetesNames, started: Instant) {
        self.change(|state| state.cri.entry(endpoint).publish(names, started));
    }

    /// Replaces the names from log files; `None` if they cannot be read.
    pub(crate) fn publish_logs(&self, names: Option<KubernetesNames>) {
        self.change(|state| {
            state.logs = names.map_or(Logs::Unavailable, |names| Logs::Read(Arc::new(names)));
        });
    }

    /// Records that an API does not answer. Its names are kept.
    pub(crate) fn mark_down(&self, api: Api, endpoint: &Arc<str>) {
        let mut state = self.lock();
        let status = match api {
            Api::Docker => &mut state.docker.entry(endpoint).status,
            Api::Containerd => &mut state.containerd.entry(endpoint).status,
            Api::Cri => &mut state.cri.entry(endpoint).status,
        };
        if status.up != Some(false) {
            status.up = Some(false);
            state.version += 1;
            self.changed.notify_all();
        }
    }

    /// Removes an engine.
    pub(crate) fn forget_docker(&self, endpoint: &Arc<str>) {
        self.change(|state| state.docker.0.retain(|source| source.endpoint != *endpoint));
    }

    /// Tells the sources which containers have no name.
    pub(crate) fn report_unnamed(&self, unnamed: &Unnamed) {
        if !unnamed.of_pods.is_empty() {
            let mut state = self.lock();
            if !std::mem::replace(&mut state.has_unnamed_pods, true) {
                self.changed.notify_all();
            }
        }
        let is_new = **self.unnamed.borrow() != *unnamed;
        // The kubelet may create the name of a pod later.
        if is_new || !unnamed.of_pods.is_empty() {
            self.unnamed.send_replace(Arc::new(unnamed.clone()));
        }
    }

    /// The containers without a name. The receiver is notified when they change, and by each collection in which a
    /// container of a pod has no name.
    pub(crate) fn unnamed(&self) -> watch::Receiver<Arc<Unnamed>> {
        self.unnamed.subscribe()
    }

    /// Blocks until a container of a pod has no name. Returns `false` on shutdown.
    pub(crate) fn wait_for_unnamed_pods(&self) -> bool {
        let mut state = self.lock();
        while !state.is_stopping && !state.has_unnamed_pods {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.has_unnamed_pods = false;
        !state.is_stopping
    }

    /// Blocks for this time. Returns `false` on shutdown.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        loop {
            let version = self.lock().version;
            match self.wait(version, deadline) {
                Woken::Changed => {}
                Woken::Deadline => return true,
                Woken::Stopping => return false,
            }
        }
    }

    /// Makes every present and future [`Registry::wait`] return [`Woken::Stopping`].
    pub(crate) fn stop(&self) {
        self.change(|state| state.is_stopping = true);
    }

    /// The names, the status of their sources, and their version for `Registry::wait`.
    #[must_use]
    pub fn read(&self) -> (Names, NamesStatus, u64) {
        let state = self.lock();
        let engines = state.docker.0.iter().chain(&state.containerd.0);
        let engines = engines.map(|source| EngineNames {
            directory: Arc::clone(&source.names),
            within: source.within.clone(),
        });
        let names = Names {
            engines: engines.collect(),
            cri: state.cri.0.iter().map(|source| Arc::clone(&source.names)).collect(),
            is_cri_up: state.cri.0.iter().any(|source| source.status.up == Some(true)),
            logs: match &state.logs {
                Logs::Read(names) => Some(Arc::clone(names)),
                _ => None,
            },
        };
        let status = NamesStatus {
            docker: state.docker.status(),
            containerd: state.containerd.status(),
            cri: state.cri.status(),
        };
        (names, status, state.version)
    }

    /// Blocks until something changed after `version`, the deadline has passed, or [`Registry::stop`] was called.
    #[must_use]
    pub(crate) fn wait(&self, version: u64, deadline: Instant) -> Woken {
        let mut state = self.lock();
        loop {
            if state.is_stopping {
                return Woken::Stopping;
            }
            if state.version != version {
                return Woken::Changed;
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Woken::Deadline;
            }
            state = self.changed.wait_timeout(state, remaining).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Blocks until every announced source has answered or failed for the first time, or the timeout has passed.
    pub(crate) fn wait_for_first_answer(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        loop {
            let (version, is_complete) = {
                let state = self.lock();
                let is_complete = state.docker.have_answered()
                    && state.cri.have_answered()
                    && !matches!(state.logs, Logs::Expected);
                (state.version, is_complete)
            };
            if is_complete || self.wait(version, deadline) != Woken::Changed {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::Runtime;

    #[test]
    fn the_engine_of_a_user_names_only_containers_of_this_user() {
        let container = |path: &str| Container {
            path: path.into(),
            id: path.into(),
            container_id: "1".into(),
            pod_uid: "".into(),
            own_name: None,
            runtime: Runtime::Podman,
        };
        let web = ContainerMetadata { name: "web".into(), ..ContainerMetadata::default() };
        let directory = Arc::new(Directory::from([("1".to_owned(), Arc::new(web))]));
        let engine = EngineNames { directory, within: Some("/user-1000.slice/".into()) };
        let names = Names { engines: vec![engine], ..Names::default() };
        let is_named = |path: &str| names.engine_metadata(&container(path)).is_some();
        assert!(is_named("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-1.scope"));
        assert!(!is_named("/user.slice/user-1001.slice/user@1001.service/user.slice/libpod-1.scope"));
        assert!(!is_named("/machine.slice/libpod-1.scope"));
    }
}
