//! Names and labels of containers, shared between the Docker client and the collector.
//!
//! The collector never waits for Docker: a list replaces the previous one as a whole, which remains available while
//! Docker does not answer.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::collection::DockerStatus;
use crate::model::container_metadata::ContainerMetadata;

/// What Docker knows of each container, by container id (64 hexadecimal digits).
pub type Directory = HashMap<String, Arc<ContainerMetadata>>;

#[derive(Debug, Default)]
struct State {
    directory: Arc<Directory>,
    status: DockerStatus,
    version: u64,
    is_stopping: bool,
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
            state.directory = Arc::new(directory);
            state.status = status;
        });
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

    /// The directory, the status, and their version for `Registry::wait`.
    #[must_use]
    pub fn read(&self) -> (Arc<Directory>, DockerStatus, u64) {
        let state = self.lock();
        (Arc::clone(&state.directory), state.status, state.version)
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

    /// Blocks until Docker has answered or failed for the first time, or the timeout has passed.
    pub(crate) fn wait_for_first_answer(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        loop {
            let (_, status, version) = self.read();
            if status.up.is_some() || self.wait(version, deadline) != Woken::Changed {
                return;
            }
        }
    }
}
