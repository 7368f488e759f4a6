//! A collection's results and Docker's names to what is published.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::collect::kernel_events::Events;
use crate::collect::pipeline::Pipeline;
use crate::collect::result::ContainerResult;
use crate::export::families::{ContainerView, EventsView, ExporterView, Families, HostView};
use crate::export::rendered::RenderedSnapshot;
use crate::export::self_metrics::OwnProcess;
use crate::model::clock::BootClock;
use crate::model::collection::DockerStatus;
use crate::model::container::Container;
use crate::model::container_metadata::{ContainerMetadata, display_name};
use crate::model::forest::stats::ForestStats;
use crate::model::process::Membership;
use crate::model::rates::Rates;
use crate::model::snapshot::{ContainerSummary, NamedSnapshot};
use crate::names::config::{DockerLabel, DockerTimeouts};
use crate::names::registry::Directory;
use crate::serve::security::reload::Health;

/// Id and name of all containers beyond the cap.
const OTHER: &str = "other";

/// Joins names to numbers. Keeps the last known name of each container that is there.
#[derive(Debug)]
pub struct Publisher {
    docker_labels: Vec<String>,
    has_docker: bool,
    known: HashMap<Box<str>, Arc<ContainerMetadata>>,
    rates: Rates,
    /// Reasons why only some processes are seen, with whether they apply.
    partial: [(&'static str, bool); 2],
    /// How the web configuration does, where there is one.
    pub web_config: Option<Arc<Health>>,
    /// How long the series of a new container wait for its name.
    pub name_timeout: Duration,
}

/// What was published, and what was held back.
#[derive(Debug)]
pub struct Publication {
    pub published: RenderedSnapshot,
    /// When the first of the containers that wait for a name has waited long enough.
    pub next_deadline: Option<Instant>,
}

impl Publisher {
    /// `docker_labels` is `None` with `--no-docker`.
    #[must_use]
    pub fn new(docker_labels: Option<&[DockerLabel]>, partial: [(&'static str, bool); 2]) -> Self {
        Self {
            docker_labels: docker_labels.unwrap_or_default().iter().map(|it| it.label.clone()).collect(),
            has_docker: docker_labels.is_some(),
            known: HashMap::new(),
            rates: Rates::default(),
            partial,
            web_config: None,
            name_timeout: DockerTimeouts::default().new_container,
        }
    }

    /// Whether names are to be waited for.
    #[must_use]
    pub fn has_docker(&self) -> bool {
        self.has_docker
    }

    /// `interval` is the present time between collections; `patient` whether new containers may wait.
    pub fn publish(
        &mut self,
        pipeline: &Pipeline,
        (directory, status): (&Directory, DockerStatus),
        interval: Duration,
        patient: bool,
    ) -> Publication {
        self.learn(pipeline, directory);
        let clock = BootClock {
            boot_time: pipeline.boot_time,
            ticks_per_second: rustix::param::clock_ticks_per_second(),
        };
        let mut families = Families::new(clock, &pipeline.steps, &self.docker_labels);
        let now = Instant::now();
        let may_wait = patient && self.has_docker && status.up != Some(false);
        let mut next_deadline: Option<Instant> = None;
        let mut containers = Vec::with_capacity(pipeline.shown.len());
        let collected_at = pipeline.taken.map_or(now, |taken| taken.at);
        self.rates.begin(pipeline.monotonic(collected_at));
        for &slot in &pipeline.shown {
            let Some(container) = &pipeline.walk.containers[slot] else {
                continue;
            };
            let result = &pipeline.results[slot];
            let rate = self.rates.update(&container.path, result.events, result.observed_starts);
            let metadata = self.known.get(&container.path);
            if may_wait && metadata.is_none() && waits_for_name(container) {
                let waited = pipeline.monotonic(now).saturating_sub(result.present_since);
                if waited < self.name_timeout {
                    let deadline = now + (self.name_timeout - waited);
                    next_deadline = Some(next_deadline.map_or(deadline, |next| next.min(deadline)));
                    continue;
                }
            }
            let stats = &pipeline.stats_by_slot.containers[slot];
            let shown = view(container, metadata.map(|known| &**known), stats, result);
            families.container(&shown);
            containers.push(ContainerSummary {
                membership: Membership::container(slot),
                container: Arc::clone(container),
                name: shown.name.into(),
                metadata: metadata.map(Arc::clone),
                stats: stats.clone(),
                pids_current: result.pids.current,
                pids_limit: result.pids.limit,
                paused: shown.paused,
                starts: rate,
            });
        }
        if let Some(overflow) = &pipeline.overflow {
            families.container(&ContainerView {
                id: OTHER,
                name: OTHER,
                container_id: "",
                pod_uid: "",
                runtime: OTHER,
                metadata: None,
                stats: &overflow.stats,
                nodes: &overflow.result.nodes,
                observed_starts: overflow.result.observed_starts,
                events: overflow.result.events,
                pids: &overflow.result.pids,
                limit_hits: None,
                paused: None,
                foreign_processes: None,
            });
        }
        self.rates.finish();
        self.host_and_exporter(&mut families, pipeline, status, interval);
        let snapshot = NamedSnapshot {
            processes: Arc::clone(pipeline.frames.present()),
            containers,
            host: host_shape(pipeline).cloned(),
            host_kernel_threads: pipeline.stats_by_slot.host_kernel_threads,
            clock,
            collected_at: pipeline.taken.map_or(0.0, |taken| taken.unix),
            collected_at_ticks: pipeline.taken.and_then(|taken| taken.ticks),
        };
        let published = RenderedSnapshot::new(families.finish(), snapshot, collected_at, interval);
        Publication { published, next_deadline }
    }

    /// Takes over what Docker says now, and forgets containers that are gone.
    fn learn(&mut self, pipeline: &Pipeline, directory: &Directory) {
        let containers = || pipeline.walk.containers.iter().flatten();
        for container in containers() {
            if let Some(metadata) = directory.get(&*container.container_id) {
                match self.known.get_mut(&container.path) {
                    Some(known) => *known = Arc::clone(metadata),
                    None => {
                        self.known.insert(container.path.clone(), Arc::clone(metadata));
                    }
                }
            }
        }
        let present = containers().count();
        if self.known.len() > present {
            let paths: std::collections::HashSet<&str> = containers().map(|it| &*it.path).collect();
            self.known.retain(|path, _| paths.contains(&**path));
        }
    }

    fn host_and_exporter(
        &self,
        families: &mut Families<'_>,
        pipeline: &Pipeline,
        status: DockerStatus,
        interval: Duration,
    ) {
        let by_runtime: Vec<_> =
            pipeline.containers_by_runtime.iter().map(|(&runtime, &count)| (runtime, count)).collect();
        families.host(&HostView {
            stats: host_shape(pipeline),
            kernel_threads: pipeline.stats_by_slot.host_kernel_threads,
            forks: pipeline.events.as_ref().map(Events::host_forks),
            limits: pipeline.task_limits,
            containers: &by_runtime,
        });
        families.exporter(&ExporterView {
            source: pipeline.source_label(),
            reason: pipeline.reason.label(),
            layout: pipeline.resolver.cgroup_layout(),
            partial: &self.partial,
            processes: pipeline.processes_run,
            pids: pipeline.pids_run(),
            events: pipeline.events.as_ref().map(|events| EventsView {
                run: pipeline.events_run,
                lost: events.lost(),
                unattributed: events.unattributed(),
            }),
            docker: self.has_docker.then_some(status),
            web_config: self.web_config.as_ref().map(|health| (health.is_good(), health.failures())),
            collections: pipeline.collections(),
            collected_at: pipeline.taken.map(|taken| taken.unix),
            interval_seconds: interval.as_secs_f64(),
            skipped: pipeline.skipped,
            folded_nodes: pipeline.folded_nodes(),
            own: OwnProcess::read(),
        });
    }
}

fn waits_for_name(container: &Container) -> bool {
    container.own_name.is_none() && container.runtime.has_docker_api_name()
}

/// `None` where only the inside of a container is seen.
fn host_shape(pipeline: &Pipeline) -> Option<&ForestStats> {
    (!pipeline.resolver.looks_from_inside()).then_some(&pipeline.stats_by_slot.host)
}

fn view<'a>(
    container: &'a Container,
    metadata: Option<&'a ContainerMetadata>,
    stats: &'a ForestStats,
    result: &'a ContainerResult,
) -> ContainerView<'a> {
    let name = display_name(container, metadata);
    ContainerView {
        id: &container.id,
        name,
        container_id: &container.container_id,
        pod_uid: &container.pod_uid,
        runtime: container.runtime.label(),
        metadata,
        stats,
        nodes: &result.nodes,
        observed_starts: result.observed_starts,
        events: result.events,
        pids: &result.pids,
        limit_hits: result.limit_hits,
        paused: result.pids.frozen.or(metadata.map(|metadata| metadata.paused)),
        foreign_processes: result.foreign_processes,
    }
}
