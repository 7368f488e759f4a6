//! One collection with container names: the pipeline, and the names that container engines report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pipeline::Pipeline;
use crate::model::collection::{ApiStatus, NamesStatus};
use crate::model::snapshot::{NamedSnapshot, Snapshot};
use crate::names::known_names::{Joined, KnownNames, Waiting};
use crate::names::registry::{Registry, Woken};
use crate::observe::source::SourceError;

/// Runs collections and adds container names. Used by the exporter's loop and by the live view.
pub struct Collector {
    pub pipeline: Pipeline,
    pub registry: Arc<Registry>,
    names: KnownNames,
    latest: Option<Arc<Snapshot>>,
}

impl Collector {
    /// If `registry` stays empty, containers have no names.
    #[must_use]
    pub fn new(pipeline: Pipeline, registry: Arc<Registry>) -> Self {
        Self { pipeline, registry, names: KnownNames::default(), latest: None }
    }

    /// Sets the time that the series of a new container wait for its name.
    pub fn set_name_timeout(&mut self, timeout: Duration) {
        self.names = KnownNames::new(timeout);
    }

    /// Runs one collection. If it fails, the previous snapshot is kept.
    ///
    /// # Errors
    /// If the whole walk fails.
    pub fn collect(&mut self) -> Result<(), SourceError> {
        self.latest = Some(self.pipeline.collect()?);
        Ok(())
    }

    /// The latest snapshot without names; `None` before the first successful collection.
    #[must_use]
    pub fn latest(&self) -> Option<&Arc<Snapshot>> {
        self.latest.as_ref()
    }

    /// The latest snapshot with the currently known names; `None` before the first successful collection.
    pub fn named(&mut self) -> Option<NamedSnapshot> {
        self.join(false).0.map(|joined| joined.snapshot)
    }

    /// Blocks until no container waits for a name. A container waits for a limited time.
    pub fn wait_for_names(&mut self) {
        loop {
            let (joined, _, version) = self.join(true);
            let Some(deadline) = joined.and_then(|joined| joined.next_deadline) else { return };
            let now = self.pipeline.monotonic(Instant::now());
            let deadline = Instant::now() + deadline.saturating_sub(now);
            if self.registry.wait(version, deadline) == Woken::Stopping {
                return;
            }
        }
    }

    /// Like [`Self::named`]; if `is_patient`, containers that wait for a name are left out. Also returns the status of
    /// the sources of names and the version of the registry.
    pub(super) fn join(&mut self, is_patient: bool) -> (Option<Joined>, NamesStatus, u64) {
        let (names, status, version) = self.registry.read();
        let may_answer = |apis: &[(Arc<str>, ApiStatus)]| apis.iter().any(|(_, it)| it.up != Some(false));
        let waiting = is_patient.then(|| Waiting {
            now: self.pipeline.monotonic(Instant::now()),
            for_engines: may_answer(&status.docker),
            for_containerd: may_answer(&status.containerd),
            for_kubernetes: names.logs.is_some() || may_answer(&status.cri),
        });
        let joined = self.latest.as_ref().map(|latest| self.names.join(latest, &names, waiting));
        if let Some(joined) = &joined {
            self.registry.report_unnamed(&joined.unnamed);
        }
        (joined, status, version)
    }
}
