//! Names and labels of containers, shared between the clients of container engines and the collector.
//!
//! The collector never waits for an engine: a list replaces the previous one of the same engine as a whole, which
//! remains available while the engine does not answer.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::model::collection::{ApiStatus, NamesStatus};
use crate::model::container_metadata::{ContainerMetadata, PodContainer};
use crate::model::snapshot::ContainerState;
use crate::names::kubernetes::KubernetesNames;

/// What an engine knows of each container, by container id (64 hexadecimal digits).
pub type Directory = HashMap<String, Arc<ContainerMetadata>>;

/// The names from all sources.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Of each container engine.
    pub engines: Vec<Arc<Directory>>,
    /// From each source of the names of Kubernetes. The first that knows a container decides.
    pub kubernetes: Vec<Arc<KubernetesNames>>,
}

impl Names {
    /// The names of one engine.
    #[must_use]
    pub fn of_engine(directory: Directory) -> Self {
        Self { engines: vec![Arc::new(directory)], kubernetes: Vec::new() }
    }

    /// What the engines know of a container.
    #[must_use]
    pub fn engine_metadata(&self, container_id: &str) -> Option<Arc<ContainerMetadata>> {
        self.engines.iter().find_map(|directory| directory.get(container_id)).cloned()
    }

    /// The names that Kubernetes has for a container: its own, or else that of its pod.
    #[must_use]
    pub fn pod_container(&self, state: &ContainerState) -> Option<Arc<PodContainer>> {
        let own = |names: &Arc<KubernetesNames>| names.container(&state.container.container_id);
        let of_pod = |names: &Arc<KubernetesNames>| names.of_pod(state);
        self.kubernetes.iter().find_map(own).or_else(|| self.kubernetes.iter().find_map(of_pod))
    }
}

/// Containers that have no name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unnamed {
    /// Ids of those that may have a name in the Docker API.
    pub of_engines: Vec<String>,
    /// Ids of those that may have a name in containerd.
    pub of_containerd: Vec<String>,
    /// Whether Kubernetes may have the name of one.
    pub has_pods: bool,
}

/// The kind of an API that has names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Docker,
    Cri,
}

/// One API of a kind, and its last answer.
#[derive(Debug)]
struct Source<T> {
    endpoint: Arc<str>,
    names: Arc<T>,
    status: ApiStatus,
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
            self.0.push(Source { endpoint, names: Arc::default(), status: ApiStatus::default() });
            self.0.len() - 1
        });
        &mut self.0[index]
    }

    fn status(&self) -> Vec<(Arc<str>, ApiStatus)> {
        self.0.iter().map(|source| (Arc::clone(&source.endpoint), source.status)).collect()
    }

    fn names(&self) -> impl Iterator<Item = Arc<T>> {
        self.0.iter().map(|source| Arc::clone(&source.names))
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
        // Each field is written by one assignment, so a poisoned lock is still consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.version += 1;
        self.changed.notify_all();
    }

    /// Announces an API: the first collection waits for its first answer.
    pub(crate) fn expect(&self, api: Api, endpoint: &Arc<str>) {
        self.change(|state| match api {
            Api::Docker => drop(state.docker.entry(endpoint)),
            Api::Cri => drop(state.cri.entry(endpoint)),
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

    /// Replaces what containerd knows of containers that had no name.
    pub(crate) fn publish_containerd(&self, endpoint: &Arc<str>, directory: Directory) {
        self.change(|state| state.containerd.entry(endpoint).names = Arc::new(directory));
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
            Api::Cri => &mut state.cri.entry(endpoint).status,
        };
        if status.up != Some(false) {
            status.up = Some(false);
            state.version += 1;
            self.changed.notify_all();
        }
    }

    /// Removes an API.
    pub(crate) fn forget(&self, api: Api, endpoint: &Arc<str>) {
        self.change(|state| match api {
            Api::Docker => state.docker.0.retain(|source| source.endpoint != *endpoint),
            Api::Cri => state.cri.0.retain(|source| source.endpoint != *endpoint),
        });
    }

    /// Tells the sources which containers have no name.
    pub(crate) fn report_unnamed(&self, unnamed: &Unnamed) {
        if unnamed.has_pods {
            let mut state = self.lock();
            if !std::mem::replace(&mut state.has_unnamed_pods, true) {
                self.changed.notify_all();
            }
        }
        let is_new = **self.unnamed.borrow() != *unnamed;
        // Kubernetes is asked again in each collection: the kubelet may create the name later.
        if is_new || unnamed.has_pods {
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
        let logs = match &state.logs {
            Logs::Read(names) => Some(Arc::clone(names)),
            _ => None,
        };
        let names = Names {
            engines: state.docker.names().chain(state.containerd.names()).collect(),
            kubernetes: state.cri.names().chain(logs).collect(),
        };
        let status = NamesStatus { docker: state.docker.status(), cri: state.cri.status() };
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
