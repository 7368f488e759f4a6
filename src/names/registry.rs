//! Names and labels of containers, shared between the Docker client and the collector.
//!
//! The collector never waits for Docker: a list replaces the previous one as a whole, which remains available while
//! Docker does not answer.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::collection::DockerStatus;
use crate::model::container_metadata::ContainerMetadata;
use crate::names::kubernetes::KubernetesNames;

/// What Docker knows of each container, by container id (64 hexadecimal digits).
pub type Directory = HashMap<String, Arc<ContainerMetadata>>;

/// The names from all sources.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub docker: Arc<Directory>,
    /// `None` if Kubernetes names are disabled or unavailable.
    pub kubernetes: Option<Arc<KubernetesNames>>,
}

#[derive(Debug, Default)]
struct State {
    names: Names,
    status: DockerStatus,
    /// Whether Kubernetes names were read at least once, or are disabled.
    has_kubernetes: bool,
    /// A container without a name was found.
    is_kubernetes_wanted: bool,
    version: u64,
    is_stopping: bool,
}

/// Which sources of names are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsedSources {
    pub docker: bool,
    pub kubernetes: bool,
}

/// The latest directory and the state of the Docker API. Also wakes the collector when either changes, and for shutdown.
#[derive(Debug, Default)]
pub struct Registry {
    state: Mutex<State>,
    changed: Condvar,
}

/// Why [`Registry::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The directory or the status has changed since the given version.
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

    /// Replaces the directory after a successful list.
    pub(crate) fn publish(&self, directory: Directory, status: DockerStatus) {
        self.change(|state| {
            state.names.docker = Arc::new(directory);
            state.status = status;
        });
    }

    /// Replaces the Kubernetes names; `None` if they cannot be read.
    pub(crate) fn publish_kubernetes(&self, names: Option<KubernetesNames>) {
        self.change(|state| {
            state.names.kubernetes = names.map(Arc::new);
            state.has_kubernetes = true;
        });
    }

    /// Requests that the Kubernetes names are read again, because a container has none.
    pub(crate) fn want_kubernetes(&self) {
        let mut state = self.lock();
        if !state.is_kubernetes_wanted {
            state.is_kubernetes_wanted = true;
            self.changed.notify_all();
        }
    }

    /// Blocks until [`Self::want_kubernetes`] is called. Returns `false` on shutdown.
    pub(crate) fn wait_until_kubernetes_is_wanted(&self) -> bool {
        let mut state = self.lock();
        while !state.is_stopping && !state.is_kubernetes_wanted {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_kubernetes_wanted = false;
        !state.is_stopping
    }

    /// Blocks for this time. Returns `false` on shutdown.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        loop {
            let (_, _, version) = self.read();
            match self.wait(version, deadline) {
                Woken::Changed => {}
                Woken::Deadline => return true,
                Woken::Stopping => return false,
            }
        }
    }

    /// Records that Docker does not answer. The directory is kept.
    pub(crate) fn mark_down(&self) {
        if self.lock().status.up != Some(false) {
            self.change(|state| state.status.up = Some(false));
        }
    }

    /// Makes every present and future [`Registry::wait`] return [`Woken::Stopping`].
    pub(crate) fn stop(&self) {
        self.change(|state| state.is_stopping = true);
    }

    /// The names, the status of Docker, and their version for `Registry::wait`.
    #[must_use]
    pub fn read(&self) -> (Names, DockerStatus, u64) {
        let state = self.lock();
        (state.names.clone(), state.status, state.version)
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

    /// Blocks until every source of names that is used has answered or failed for the first time, or the timeout has
    /// passed.
    pub(crate) fn wait_for_first_answer(&self, timeout: Duration, used: UsedSources) {
        let deadline = Instant::now() + timeout;
        loop {
            let (version, is_complete) = {
                let state = self.lock();
                let has_docker = !used.docker || state.status.up.is_some();
                (state.version, has_docker && (!used.kubernetes || state.has_kubernetes))
            };
            if is_complete || self.wait(version, deadline) != Woken::Changed {
                return;
            }
        }
    }
}
