//! A collection's numbers to metric families. Pure. Text has been made safe where it came in.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::export::catalog::{CATALOG, Id, Kind};
use crate::export::self_metrics::OwnProcess;
use crate::model::cgroup_layout::CgroupLayout;
use crate::model::clock::BootClock;
use crate::model::collection::{CollectorRun, DockerStatus};
use crate::model::container::Runtime;
use crate::model::container_metadata::ContainerMetadata;
use crate::model::event_counts::{EventCounts, OUTCOMES};
use crate::model::forest::merged_nodes::{CommInterner, ExportedNode, OTHER};
use crate::model::forest::root_kinds::RootKind;
use crate::model::forest::stats::{DEPTH_BUCKETS, ForestStats};
use crate::model::limits::{PidsReading, TaskLimits};
use crate::model::process::{ProcessState, Skipped};

/// How many guilty parents are named.
const MAX_ZOMBIE_PARENTS: usize = 5;

/// One container, ready to be shown.
#[derive(Clone, Copy, Debug)]
pub struct ContainerView<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub container_id: &'a str,
    pub pod_uid: &'a str,
    pub runtime: &'a str,
    pub metadata: Option<&'a ContainerMetadata>,
    pub stats: &'a ForestStats,
    pub nodes: &'a [ExportedNode],
    pub observed_starts: u64,
    /// `None` where the kernel does not count.
    pub events: Option<EventCounts>,
    pub pids: &'a PidsReading,
    /// Over all restarts.
    pub limit_hits: Option<u64>,
    pub paused: Option<bool>,
    pub foreign_processes: Option<u64>,
}

/// Everything that is in no container.
#[derive(Clone, Copy, Debug)]
pub struct HostView<'a> {
    /// `None` where only the inside of a container is seen.
    pub stats: Option<&'a ForestStats>,
    pub kernel_threads: u64,
    /// `None` where the kernel does not count.
    pub forks: Option<u64>,
    pub limits: TaskLimits,
    /// Present containers by runtime.
    pub containers: &'a [(Runtime, u64)],
}

/// What the kernel's counters did beside counting.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventsView {
    pub run: CollectorRun,
    pub lost: u64,
    pub unattributed: u64,
}

/// The exporter about itself.
#[derive(Clone, Copy, Debug)]
pub struct ExporterView<'a> {
    /// The labels `source` and `reason`.
    pub source: &'static str,
    pub reason: &'static str,
    pub layout: Option<CgroupLayout>,
    /// Reasons why the snapshot is not whole, with whether they apply.
    pub partial: &'a [(&'static str, bool)],
    pub processes: CollectorRun,
    /// `None` where there is no pids controller to read.
    pub pids: Option<CollectorRun>,
    /// `None` where the kernel does not count.
    pub events: Option<EventsView>,
    /// `None` with `--no-docker`.
    pub docker: Option<DockerStatus>,
    /// Whether the web configuration is in force, and how often it could not be read anew; `None` without one.
    pub web_config: Option<(bool, u64)>,
    pub collections: u64,
    /// Unix time of the snapshot.
    pub collected_at: Option<f64>,
    pub interval_seconds: f64,
    pub skipped: Skipped,
    pub folded_nodes: u64,
    pub own: OwnProcess,
}

/// Fills the families of the catalog, in its order.
#[derive(Debug)]
pub struct Families<'a> {
    metrics: Vec<Vec<Metric>>,
    clock: BootClock,
    steps: &'a CommInterner,
    /// Names of the labels `label_<name>`, in the order of their values in the metadata.
    docker_labels: &'a [String],
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

impl<'a> Families<'a> {
    #[must_use]
    pub fn new(clock: BootClock, steps: &'a CommInterner, docker_labels: &'a [String]) -> Self {
        Self { metrics: CATALOG.iter().map(|_| Vec::new()).collect(), clock, steps, docker_labels }
    }

    fn push(&mut self, id: Id, labels: Vec<LabelPair>, value: f64) {
        let mut metric = Metric::from_label(labels);
        match id.family().kind {
            Kind::Gauge => {
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

    /// A sample of a family without labels, where the value is known.
    fn single(&mut self, id: Id, value: Option<f64>) {
        if let Some(value) = value {
            self.push(id, Vec::new(), value);
        }
    }

    /// A sample of a family with one label of its own.
    fn labelled(&mut self, id: Id, value_of_label: &str, value: f64) {
        self.push(id, vec![pair(id.family().labels[0], value_of_label)], value);
    }

    /// All families of one container.
    pub fn container(&mut self, view: &ContainerView<'_>) {
        let stats = view.stats;
        let base = |extra: usize| {
            let mut labels = Vec::with_capacity(2 + extra);
            labels.push(pair("id", view.id));
            labels.push(pair("name", view.name));
            labels
        };
        let with = |id: Id, values: &[&str]| {
            let mut labels = base(values.len());
            labels.extend(id.family().labels.iter().zip(values).map(|(label, value)| pair(label, value)));
            labels
        };
        self.info(view, base(6 + self.docker_labels.len()));
        let pids = view.pids;
        let plain = [
            (Id::ContainerProcesses, Some(stats.processes)),
            (Id::ContainerThreads, Some(stats.threads)),
            (Id::ContainerZombies, Some(stats.zombies())),
            (Id::ContainerDepth, Some(u64::from(stats.depth))),
            (Id::ContainerMaxChildren, Some(u64::from(stats.max_children))),
            (Id::ContainerObservedStarts, Some(view.observed_starts)),
            (Id::ContainerForks, view.events.map(|events| events.forks)),
            (Id::ContainerThreadStarts, view.events.map(|events| events.thread_starts)),
            (Id::ContainerExecs, view.events.map(|events| events.execs)),
            (Id::ContainerPidsCurrent, pids.current),
            (Id::ContainerPidsLimit, pids.limit),
            (Id::ContainerPidsPeak, pids.peak),
            (Id::ContainerPidsLimitHits, view.limit_hits),
            (Id::ContainerPaused, view.paused.map(u64::from)),
            (Id::ContainerNamespaceIntruders, view.foreign_processes),
        ];
        for (id, value) in plain {
            if let Some(value) = value {
                self.push(id, base(0), value as f64);
            }
        }
        for (state, count) in ProcessState::ALL.iter().zip(stats.by_state) {
            let id = Id::ContainerProcessesByState;
            self.push(id, with(id, &[state.label()]), count as f64);
        }
        for (outcome, count) in view.events.iter().flat_map(|events| OUTCOMES.iter().zip(events.exits)) {
            let id = Id::ContainerExits;
            self.push(id, with(id, &[outcome]), count as f64);
        }
        for (kind, roots) in RootKind::ALL.iter().zip(&stats.roots) {
            let id = Id::ContainerRoots;
            self.push(id, with(id, &[kind.label()]), roots.count as f64);
            if let Some(time) = roots.oldest_start_time.and_then(|ticks| self.clock.unix(ticks)) {
                let id = Id::ContainerOldestRoot;
                self.push(id, with(id, &[kind.label()]), time);
            }
        }
        // Depths are occupied without gaps down to the deepest.
        for (index, &count) in stats.by_depth.iter().enumerate().filter(|&(_, &count)| count > 0) {
            let id = Id::ContainerProcessesByDepth;
            self.push(id, with(id, &[&depth_label(index)]), count as f64);
        }
        for node in view.nodes {
            let depth = node.depth.to_string();
            let values = [&node.path, node.parent(), node.comm(), &depth];
            let id = Id::ContainerNodeProcesses;
            self.push(id, with(id, &values), node.processes as f64);
            if node.zombies > 0 {
                let id = Id::ContainerNodeZombies;
                self.push(id, with(id, &values), node.zombies as f64);
            }
        }
        for (parent, count) in self.non_reaping_parents(stats) {
            let id = Id::ContainerZombiesByParent;
            self.push(id, with(id, &[parent]), count as f64);
        }
        if let Some(since) = stats.oldest_zombie_since {
            self.push(Id::ContainerOldestZombie, base(0), since);
        }
    }

    fn info(&mut self, view: &ContainerView<'_>, mut labels: Vec<LabelPair>) {
        let of_metadata =
            |get: fn(&ContainerMetadata) -> &String| view.metadata.map_or("", |metadata| get(metadata));
        let values = [
            view.container_id,
            of_metadata(|metadata| &metadata.image),
            view.runtime,
            of_metadata(|metadata| &metadata.compose_project),
            of_metadata(|metadata| &metadata.compose_service),
            view.pod_uid,
        ];
        let id = Id::ContainerInfo;
        labels.extend(id.family().labels.iter().zip(values).map(|(label, value)| pair(label, value)));
        for (index, name) in self.docker_labels.iter().enumerate() {
            let value = view.metadata.and_then(|metadata| metadata.labels.get(index));
            labels.push(pair(name, value.map_or("", String::as_str)));
        }
        self.push(id, labels, 1.0);
    }

    /// The worst first, ties by name; what is beyond the bound, together with a command of that very name,
    /// under `other`.
    fn non_reaping_parents(&self, stats: &ForestStats) -> Vec<(&'a str, u64)> {
        let mut parents: Vec<(&str, u64)> =
            stats.zombies_by_parent.iter().map(|&(step, count)| (self.steps.text(step), count)).collect();
        parents.sort_unstable_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
        let rest: u64 = parents.iter().skip(MAX_ZOMBIE_PARENTS).map(|&(_, count)| count).sum();
        parents.truncate(MAX_ZOMBIE_PARENTS);
        if rest > 0 {
            match parents.iter_mut().find(|(name, _)| *name == OTHER) {
                Some((_, count)) => *count += rest,
                None => parents.push((OTHER, rest)),
            }
        }
        parents
    }

    pub fn host(&mut self, view: &HostView<'_>) {
        for &(runtime, count) in view.containers {
            self.labelled(Id::Containers, runtime.label(), count as f64);
        }
        if let Some(stats) = view.stats {
            self.single(Id::HostProcesses, Some(stats.processes as f64));
            self.single(Id::HostKernelThreads, Some(view.kernel_threads as f64));
            self.single(Id::HostThreads, Some(stats.threads as f64));
            self.single(Id::HostZombies, Some(stats.zombies() as f64));
            self.single(Id::HostDepth, Some(f64::from(stats.depth)));
        }
        self.single(Id::HostForks, view.forks.map(|forks| forks as f64));
        self.single(Id::HostPidMax, view.limits.pid_max.map(|most| most as f64));
        self.single(Id::HostThreadsMax, view.limits.threads_max.map(|most| most as f64));
    }

    pub fn exporter(&mut self, view: &ExporterView<'_>) {
        let build = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("revision", crate::REVISION),
            ("rustversion", crate::RUST_VERSION),
        ];
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| pair(name, value)).collect();
        self.push(Id::BuildInfo, labels(&build), 1.0);
        if let Some(layout) = view.layout {
            let source = [("source", view.source), ("cgroup", layout.label()), ("reason", view.reason)];
            self.push(Id::SourceInfo, labels(&source), 1.0);
        }
        for &(reason, applies) in view.partial {
            self.labelled(Id::SourcePartial, reason, f64::from(u8::from(applies)));
        }
        self.run("processes", view.processes);
        if let Some(pids) = view.pids {
            self.run("pids", pids);
        }
        if let Some(events) = view.events {
            self.run("events", events.run);
            self.single(Id::EventsLost, Some(events.lost as f64));
            self.single(Id::EventsUnattributed, Some(events.unattributed as f64));
        }
        if let Some(docker) = view.docker {
            let success = docker.up == Some(true);
            self.run(
                "docker",
                CollectorRun { success, duration: docker.duration, last_success: docker.last_success },
            );
            self.single(Id::DockerUp, Some(f64::from(u8::from(success))));
        }
        self.single(Id::WebConfigGood, view.web_config.map(|(is_good, _)| f64::from(u8::from(is_good))));
        self.single(Id::WebConfigFailures, view.web_config.map(|(_, failures)| failures as f64));
        self.single(Id::Collections, Some(view.collections as f64));
        self.single(Id::LastCollection, view.collected_at);
        self.single(Id::CollectionInterval, Some(view.interval_seconds));
        let skipped = view.skipped;
        for (reason, count) in
            [("vanished", skipped.vanished), ("denied", skipped.denied), ("malformed", skipped.malformed)]
        {
            self.labelled(Id::SkippedProcesses, reason, count as f64);
        }
        self.single(Id::NodesFolded, Some(view.folded_nodes as f64));
        let own = view.own;
        let number = |value: Option<u64>| value.map(|value| value as f64);
        self.single(Id::ProcessCpu, own.cpu_seconds);
        self.single(Id::ProcessResident, number(own.resident_bytes));
        self.single(Id::ProcessVirtual, number(own.virtual_bytes));
        self.single(Id::ProcessOpenFds, number(own.open_fds));
        self.single(Id::ProcessMaxFds, number(own.max_fds));
        self.single(Id::ProcessStartTime, own.start_time_seconds);
        self.single(Id::ProcessThreads, number(own.threads));
    }

    fn run(&mut self, collector: &str, run: CollectorRun) {
        self.labelled(Id::CollectorSuccess, collector, f64::from(u8::from(run.success)));
        self.labelled(Id::CollectorDuration, collector, run.duration);
        if let Some(time) = run.last_success {
            self.labelled(Id::CollectorLastSuccess, collector, time);
        }
    }

    /// The families that have a sample.
    #[must_use]
    pub fn finish(self) -> Vec<MetricFamily> {
        CATALOG
            .iter()
            .zip(self.metrics)
            .filter(|(_, metrics)| !metrics.is_empty())
            .map(|(family, metrics)| {
                let mut out = MetricFamily::default();
                out.set_name(family.name.to_owned());
                out.set_help(family.help.to_owned());
                out.set_field_type(match family.kind {
                    Kind::Gauge => MetricType::GAUGE,
                    Kind::Counter => MetricType::COUNTER,
                });
                out.set_metric(metrics);
                out
            })
            .collect()
    }
}

/// `1` … `15`, `16+`.
fn depth_label(bucket: usize) -> String {
    if bucket + 1 < DEPTH_BUCKETS { (bucket + 1).to_string() } else { format!("{DEPTH_BUCKETS}+") }
}
