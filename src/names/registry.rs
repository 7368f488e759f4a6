//! The names that Docker (or Podman) lends: what is known of each container beyond its cgroup.
//!
//! [`docker`] keeps a [`Registry`] up to date from the API; the collector reads it. Nothing here can hold a
//! collection up: the registry is swapped as a whole, and stays as it was while Docker is away.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::collection::DockerStatus;
use crate::model::container_metadata::ContainerMetadata;

/// By container id, 64 hex digits.
pub type Directory = HashMap<String, Arc<ContainerMetadata>>;

#[derive(Debug, Default)]
struct State {
    directory: Arc<Directory>,
    status: DockerStatus,
    version: u64,
    stopping: bool,
}

/// Shared between the task that talks to Docker and the collector, which also waits on it.
#[derive(Debug, Default)]
pub struct Registry {
    state: Mutex<State>,
    changed: Condvar,
}

/// Why [`Registry::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The directory or the status is another than at this version.
    Changed,
    Deadline,
    Stopping,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while holding the lock leaves no half-written state behind: each write is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.version += 1;
        self.changed.notify_all();
    }

    /// Replaces the directory after a successful list.
    pub fn publish(&self, directory: Directory, status: DockerStatus) {
        self.change(|state| {
            state.directory = Arc::new(directory);
            state.status = status;
        });
    }

    /// Docker does not answer; what was known stays.
    pub fn mark_down(&self) {
        if self.lock().status.up != Some(false) {
            self.change(|state| state.status.up = Some(false));
        }
    }

    /// Wakes the collector for good.
    pub fn stop(&self) {
        self.change(|state| state.stopping = true);
    }

    /// The directory, the status and the version to wait on.
    #[must_use]
    pub fn read(&self) -> (Arc<Directory>, DockerStatus, u64) {
        let state = self.lock();
        (Arc::clone(&state.directory), state.status, state.version)
    }

    /// Waits for a change after `version`, a deadline, or the end.
    #[must_use]
    pub fn wait(&self, version: u64, deadline: Instant) -> Woken {
        let mut state = self.lock();
        loop {
            if state.stopping {
                return Woken::Stopping;
            }
            if state.version != version {
                return Woken::Changed;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Woken::Deadline;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until Docker has answered or failed for the first time, at most this long.
    pub fn wait_for_first_answer(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        loop {
            let (_, status, version) = self.read();
            if status.up.is_some() || self.wait(version, deadline) != Woken::Changed {
                return;
            }
        }
    }
}
