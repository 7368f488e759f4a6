//! The families of the host and of the exporter itself, built with the types of the prometheus crate.

use std::sync::Arc;

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::catalog::{CATALOG, Id, Kind};
use super::self_metrics::OwnProcess;
use crate::model::collection::{ApiStatus, CollectionStatus, CollectorRun, NamesStatus};
use crate::model::snapshot::Snapshot;

/// What the exporter exposes about itself in addition to the collection.
#[derive(Clone, Copy, Debug)]
pub struct ExporterStatus<'a> {
    /// The possible reasons for a partial snapshot, and whether each one applies.
    pub partial: &'a [(&'static str, bool)],
    pub names: &'a NamesStatus,
    /// Whether the current web configuration is in effect, and how many reloads failed; `None` without a web
    /// configuration.
    pub web_config: Option<(bool, u64)>,
    /// Seconds between collections.
    pub interval: f64,
    pub own: OwnProcess,
}

/// All families that have a sample, in the order of the catalog.
#[must_use]
pub fn families(
    snapshot: &Snapshot,
    status: &CollectionStatus,
    exporter: &ExporterStatus<'_>,
) -> Vec<MetricFamily> {
    let mut families = Families::new();
    families.host(snapshot);
    families.exporter(snapshot, status, exporter);
    families.finish()
}

/// Fills the families in the order of the catalog.
#[derive(Debug)]
struct Families {
    metrics: Vec<Vec<Metric>>,
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

impl Families {
    fn new() -> Self {
        Self { metrics: CATALOG.iter().map(|_| Vec::new()).collect() }
    }

    fn push(&mut self, id: Id, labels: Vec<LabelPair>, value: f64) {
        let mut metric = Metric::from_label(labels);
        match id.family().kind {
            // Only containers have histograms.
            Kind::Gauge | Kind::Histogram => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
        }
        self.metrics[id as usize].push(metric);
    }

    /// Adds a sample to a family without labels, if the value is known.
    fn single(&mut self, id: Id, value: Option<f64>) {
        if let Some(value) = value {
            self.push(id, Vec::new(), value);
        }
    }

    /// Adds a sample to a family with one label.
    fn labelled(&mut self, id: Id, value_of_label: &str, value: f64) {
        self.push(id, vec![pair(id.family().labels[0], value_of_label)], value);
    }

    fn host(&mut self, snapshot: &Snapshot) {
        for &(runtime, count) in &snapshot.containers_by_runtime {
            self.labelled(Id::Containers, runtime.label(), count as f64);
        }
        if let Some(stats) = &snapshot.host {
            self.single(Id::HostProcesses, Some(stats.processes as f64));
            self.single(Id::HostKernelThreads, Some(snapshot.host_kernel_threads as f64));
            self.single(Id::HostThreads, Some(stats.threads as f64));
            self.single(Id::HostZombies, Some(stats.zombies() as f64));
            self.single(Id::HostDepth, Some(f64::from(stats.depth)));
        }
        self.single(Id::HostForks, snapshot.host_forks.map(|forks| forks as f64));
        self.single(Id::HostPidMax, snapshot.task_limits.pid_max.map(|most| most as f64));
        self.single(Id::HostThreadsMax, snapshot.task_limits.threads_max.map(|most| most as f64));
    }

    fn exporter(&mut self, snapshot: &Snapshot, status: &CollectionStatus, exporter: &ExporterStatus<'_>) {
        let build = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("revision", crate::REVISION),
            ("rustversion", crate::RUST_VERSION),
        ];
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| pair(name, value)).collect();
        self.push(Id::BuildInfo, labels(&build), 1.0);
        if let Some(layout) = status.cgroup_layout {
            let source = [
                ("source", status.source),
                ("cgroup", layout.label()),
                ("reason", status.source_reason),
                ("paths", status.cgroup_paths.label()),
            ];
            self.push(Id::SourceInfo, labels(&source), 1.0);
        }
        for &(reason, applies) in exporter.partial {
            self.labelled(Id::SourcePartial, reason, f64::from(u8::from(applies)));
        }
        self.run("processes", status.processes);
        if let Some(pids) = status.pids {
            self.run("pids", pids);
        }
        if let Some(events) = status.events {
            self.run("events", events.run);
            self.single(Id::EventsLost, Some(events.lost as f64));
            self.single(Id::EventsUnattributed, Some(events.unattributed as f64));
        }
        self.apis("docker", &exporter.names.docker);
        self.apis("cri", &exporter.names.cri);
        for (endpoint, docker) in exporter.names.docker.iter().filter(|(_, it)| it.last_success.is_some()) {
            self.labelled(Id::DockerUp, endpoint, f64::from(u8::from(docker.up == Some(true))));
        }
        self.single(Id::WebConfigGood, exporter.web_config.map(|(is_good, _)| f64::from(u8::from(is_good))));
        self.single(Id::WebConfigFailures, exporter.web_config.map(|(_, failures)| failures as f64));
        self.single(Id::Collections, Some(status.collections as f64));
        self.single(Id::LastCollection, Some(snapshot.collected_at));
        self.single(Id::CollectionInterval, Some(exporter.interval));
        let skipped = status.skipped;
        for (reason, count) in
            [("vanished", skipped.vanished), ("denied", skipped.denied), ("malformed", skipped.malformed)]
        {
            self.labelled(Id::SkippedProcesses, reason, count as f64);
        }
        self.single(Id::NodesFolded, Some(status.aggregated_nodes as f64));
        let own = exporter.own;
        let number = |value: Option<u64>| value.map(|value| value as f64);
        self.single(Id::ProcessCpu, own.cpu_seconds);
        self.single(Id::ProcessResident, number(own.resident_bytes));
        self.single(Id::ProcessVirtual, number(own.virtual_bytes));
        self.single(Id::ProcessOpenFds, number(own.open_fds));
        self.single(Id::ProcessMaxFds, number(own.max_fds));
        self.single(Id::ProcessStartTime, own.start_time_seconds);
        self.single(Id::ProcessThreads, number(own.threads));
    }

    /// All APIs of a kind that have answered, as one collector: it succeeds if all of them do.
    fn apis(&mut self, collector: &str, apis: &[(Arc<str>, ApiStatus)]) {
        let answered = || apis.iter().map(|(_, api)| api).filter(|api| api.last_success.is_some());
        if answered().next().is_none() {
            return;
        }
        let run = CollectorRun {
            success: answered().all(|api| api.up == Some(true)),
            duration: answered().map(|api| api.duration).fold(0.0, f64::max),
            last_success: answered().filter_map(|api| api.last_success).reduce(f64::min),
        };
        self.run(collector, run);
    }

    fn run(&mut self, collector: &str, run: CollectorRun) {
        self.labelled(Id::CollectorSuccess, collector, f64::from(u8::from(run.success)));
        self.labelled(Id::CollectorDuration, collector, run.duration);
        if let Some(time) = run.last_success {
            self.labelled(Id::CollectorLastSuccess, collector, time);
        }
    }

    fn finish(self) -> Vec<MetricFamily> {
        CATALOG
            .iter()
            .zip(self.metrics)
            .filter(|(_, metrics)| !metrics.is_empty())
            .map(|(family, metrics)| {
                let mut out = MetricFamily::default();
                out.set_name(family.name.to_owned());
                out.set_help(family.help.to_owned());
                out.set_field_type(match family.kind {
                    Kind::Gauge | Kind::Histogram => MetricType::GAUGE,
                    Kind::Counter => MetricType::COUNTER,
                });
                out.set_metric(metrics);
                out
            })
            .collect()
    }
}
