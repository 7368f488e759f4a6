//! Makes a rendered snapshot from a collection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::collectors::Collectors;
use super::exporter_families::{ExporterStatus, families};
use super::rendered::RenderedSnapshot;
use super::self_metrics::{OwnProcess, start_time_seconds};
use crate::model::collection::{CollectionStatus, NamesStatus};
use crate::model::snapshot::NamedSnapshot;

/// Values that do not change while the exporter runs.
#[derive(Debug)]
pub struct Renderer {
    /// Names of the labels `label_<name>`, in the order of their values in the metadata.
    container_labels: Arc<[String]>,
    collectors: Collectors,
    /// The possible reasons why only some processes are visible, and whether each one applies.
    partial: [(&'static str, bool); 2],
    start_time_seconds: Option<f64>,
}

impl Renderer {
    #[must_use]
    pub fn new(
        container_labels: Vec<String>,
        collectors: Collectors,
        partial: [(&'static str, bool); 2],
    ) -> Self {
        let container_labels = container_labels.into();
        Self { container_labels, collectors, partial, start_time_seconds: start_time_seconds() }
    }

    /// Renders a collection. `web_config` is whether the current web configuration is in effect, and how many reloads
    /// failed.
    #[must_use]
    pub fn render(
        &self,
        snapshot: NamedSnapshot,
        status: &CollectionStatus,
        names: &NamesStatus,
        web_config: Option<(bool, u64)>,
        (collected_at, interval): (Instant, Duration),
    ) -> RenderedSnapshot {
        let exporter = ExporterStatus {
            partial: &self.partial,
            names,
            web_config,
            interval: interval.as_secs_f64(),
            own: OwnProcess::read(self.start_time_seconds),
        };
        let families = families(&snapshot, status, &exporter);
        RenderedSnapshot::new(
            snapshot,
            families,
            Arc::clone(&self.container_labels),
            self.collectors,
            (collected_at, interval),
        )
    }
}
