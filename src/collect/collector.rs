//! One collection with container names: the pipeline, and the names that container engines report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pipeline::Pipeline;
use crate::model::collection::DockerStatus;
use crate::model::snapshot::{NamedSnapshot, Snapshot};
use crate::names::known_names::{Joined, KnownNames, Waiting};
use crate::names::registry::{Registry, UsedSources};
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
        let (names, _, _) = self.registry.read();
        let latest = self.latest.as_ref()?;
        let joined = self.names.join(latest, &names, None);
        if joined.wants_kubernetes {
            self.registry.want_kubernetes();
        }
        Some(joined.snapshot)
    }

    /// Like [`Self::named`]. Containers that wait for a name from `patient_for` are left out. Also returns Docker's
    /// status and the version of the registry.
    pub(super) fn join(&mut self, patient_for: UsedSources) -> (Option<Joined>, DockerStatus, u64) {
        let (names, status, version) = self.registry.read();
        let waiting = (patient_for != UsedSources::default()).then(|| Waiting {
            now: self.pipeline.monotonic(Instant::now()),
            for_docker: patient_for.docker && status.up != Some(false),
        });
        let joined = self.latest.as_ref().map(|latest| self.names.join(latest, &names, waiting));
        if joined.as_ref().is_some_and(|joined| joined.wants_kubernetes) {
            self.registry.want_kubernetes();
        }
        (joined, status, version)
    }
}
