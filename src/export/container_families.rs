//! Writes the families of containers directly from a snapshot into the bytes of a format.
//!
//! A machine has thousands of these samples, and each format is written with every collection.

use std::io::{self, Write};
use std::ops::Range;

use super::catalog::{CATALOG, Id, Kind, Scope};
use super::collectors::Collectors;
use super::rendered::Format;
use super::sample_lines::{FamiliesWriter, SampleWriter, push_labels};
use crate::model::busiest::NamedSeries;
use crate::model::command_counts::{COMMAND_OUTCOMES, CommandCounts};
use crate::model::event_counts::{LIFETIME_LIMITS, Lifetimes, OUTCOMES};
use crate::model::forest::merged_nodes::{ExportedNode, OTHER};
use crate::model::forest::root_kinds::RootKind;
use crate::model::forest::stats::DEPTH_BUCKETS;
use crate::model::process::ProcessState;
use crate::model::snapshot::{ContainerNumbers, ContainerSummary, NamedSnapshot};

/// Maximum number of non-reaping parents with their own series.
const MAX_ZOMBIE_PARENTS: usize = 5;

/// Writes all families of [`Scope::Container`] of these collectors that have a sample, in the order of the catalog. `docker_labels` are the
/// names of the labels `label_<name>`, in the order of their values in the metadata.
///
/// # Errors
/// The errors of the writer.
pub fn write<W: Write>(
    writer: &mut W,
    format: Format,
    snapshot: &NamedSnapshot,
    docker_labels: &[String],
    collectors: Collectors,
) -> io::Result<()> {
    let containers = Containers::new(snapshot);
    let mut families = FamiliesWriter::new(writer, format);
    let selected = CATALOG
        .iter()
        .zip(Id::ALL)
        .filter(|&(family, &id)| family.scope == Scope::Container && collectors.export(family, id));
    for (family, &id) in selected {
        families.write_family(family, containers.iter(), |out, container| {
            write_samples(out, id, &container, snapshot, docker_labels);
        })?;
    }
    Ok(())
}

/// One container, ready to be written.
struct View<'a> {
    /// `id="…",name="…"`, escaped.
    labels: &'a str,
    numbers: &'a ContainerNumbers,
    /// `None` for the sum of all containers above the limit.
    summary: Option<&'a ContainerSummary>,
}

/// The containers of a snapshot, with their common labels written once.
struct Containers<'a> {
    snapshot: &'a NamedSnapshot,
    labels: String,
    ranges: Vec<Range<usize>>,
}

impl<'a> Containers<'a> {
    fn new(snapshot: &'a NamedSnapshot) -> Self {
        let mut labels = String::with_capacity(160 * snapshot.containers.len());
        let mut ranges = Vec::with_capacity(snapshot.containers.len() + 1);
        let ids = snapshot.containers.iter().map(|it| (&*it.container.id, &*it.name));
        let overflow = snapshot.overflow.iter().map(|_| (OTHER, OTHER));
        for (id, name) in ids.chain(overflow) {
            let start = labels.len();
            push_labels(&mut labels, Scope::Container.labels(), &[id, name]);
            ranges.push(start..labels.len());
        }
        Self { snapshot, labels, ranges }
    }

    fn iter(&self) -> impl Iterator<Item = View<'_>> {
        let summaries = self.snapshot.containers.iter().map(|it| (&it.state.numbers, Some(it)));
        let overflow = self.snapshot.overflow.iter().map(|numbers| (numbers, None));
        summaries.chain(overflow).zip(&self.ranges).map(|((numbers, summary), range)| View {
            labels: &self.labels[range.clone()],
            numbers,
            summary,
        })
    }
}

fn write_samples(
    out: &mut SampleWriter<'_>,
    id: Id,
    container: &View<'_>,
    snapshot: &NamedSnapshot,
    docker_labels: &[String],
) {
    let (labels, numbers) = (container.labels, container.numbers);
    let stats = &numbers.stats;
    match id {
        Id::ContainerInfo => write_info(out, container, docker_labels),
        Id::ContainerProcesses => out.sample(labels, &[], stats.processes),
        Id::ContainerThreads => out.sample(labels, &[], stats.threads),
        Id::ContainerProcessesByState => {
            for (state, count) in ProcessState::ALL.iter().zip(stats.by_state) {
                out.sample(labels, &[state.label()], count);
            }
        }
        Id::ContainerZombies => out.sample(labels, &[], stats.zombies()),
        Id::ContainerZombiesByParent => {
            for (parent, count) in non_reaping_parents(&stats.zombies_by_parent) {
                out.sample(labels, &[parent], count);
            }
        }
        Id::ContainerOldestZombie => out.single(labels, stats.oldest_zombie_since),
        Id::ContainerRoots => {
            for (kind, roots) in RootKind::ALL.iter().zip(&stats.roots) {
                out.sample(labels, &[kind.label()], roots.count);
            }
        }
        Id::ContainerOldestRoot => {
            for (kind, roots) in RootKind::ALL.iter().zip(&stats.roots) {
                if let Some(time) = roots.oldest_start_time.and_then(|ticks| snapshot.clock.unix(ticks)) {
                    out.sample(labels, &[kind.label()], time);
                }
            }
        }
        Id::ContainerTerminalSessions => out.sample(labels, &[], stats.terminal_sessions.count),
        Id::ContainerOldestTerminalSession => {
            let oldest = stats.terminal_sessions.oldest_start_time;
            out.single(labels, oldest.and_then(|ticks| snapshot.clock.unix(ticks)));
        }
        Id::ContainerDepth => out.sample(labels, &[], stats.depth),
        Id::ContainerMaxChildren => out.sample(labels, &[], stats.max_children),
        Id::ContainerProcessesByDepth => {
            // Every depth down to the deepest one has at least one process.
            for (index, &count) in stats.by_depth.iter().enumerate().filter(|&(_, &count)| count > 0) {
                out.sample(labels, &[&depth_label(index)], count);
            }
        }
        Id::ContainerNodeProcesses => {
            for node in &numbers.nodes {
                write_node(out, labels, node, node.processes);
            }
        }
        Id::ContainerNodeZombies => {
            for node in numbers.nodes.iter().filter(|node| node.zombies > 0) {
                write_node(out, labels, node, node.zombies);
            }
        }
        Id::ContainerNodeCpu => {
            if let Some(usage) = &numbers.usage {
                for (path, ticks) in with_others(&usage.cpu_ticks, usage.other_cpu_ticks) {
                    out.sample(labels, &[path], snapshot.cpu_seconds(ticks));
                }
            }
        }
        Id::ContainerNodeResident => {
            if let Some(usage) = &numbers.usage {
                for (path, pages) in with_others(&usage.resident_pages, usage.other_resident_pages) {
                    out.sample(labels, &[path], snapshot.bytes(pages));
                }
            }
        }
        Id::ContainerObservedStarts => out.sample(labels, &[], numbers.observed_starts),
        Id::ContainerForks => out.single(labels, numbers.events.map(|events| events.forks)),
        Id::ContainerThreadStarts => out.single(labels, numbers.events.map(|events| events.thread_starts)),
        Id::ContainerExecs => out.single(labels, numbers.events.map(|events| events.execs)),
        Id::ContainerExits => {
            for (outcome, count) in numbers.events.iter().flat_map(|events| OUTCOMES.iter().zip(events.exits))
            {
                out.sample(labels, &[outcome], count);
            }
        }
        Id::ContainerOomKills => out.single(labels, numbers.events.map(|events| events.oom_kills)),
        Id::ContainerCommandForks => {
            for (command, counts) in by_command(numbers) {
                if counts.forks > 0 || command == OTHER {
                    out.sample(labels, &[command], counts.forks);
                }
            }
        }
        Id::ContainerCommandExecs => {
            for (command, counts) in by_command(numbers) {
                if counts.execs > 0 || command == OTHER {
                    out.sample(labels, &[command], counts.execs);
                }
            }
        }
        Id::ContainerCommandExits => {
            for (command, counts) in by_command(numbers) {
                let outcomes = COMMAND_OUTCOMES.iter().zip(counts.exits);
                for (outcome, count) in outcomes.filter(|&(_, count)| count > 0) {
                    out.sample(labels, &[command, outcome], count);
                }
            }
        }
        Id::ContainerLifetime => {
            if let Some(events) = &numbers.events {
                write_lifetimes(out, labels, &events.lifetimes);
            }
        }
        Id::ContainerPidsCurrent => out.single(labels, numbers.pids_current),
        Id::ContainerPidsLimit => out.single(labels, numbers.pids_limit),
        Id::ContainerPidsHeadroom => out.single(labels, numbers.nearest_limit.map(|it| it.headroom())),
        Id::ContainerPidsLimitUsed => out.single(labels, numbers.nearest_limit.map(|it| it.used_ratio())),
        Id::ContainerPidsPeak => out.single(labels, numbers.pids_peak),
        Id::ContainerPidsLimitHits => out.single(labels, numbers.pids_limit_hits),
        Id::ContainerPaused => {
            let paused = container.summary.map_or(numbers.frozen, |summary| summary.paused);
            out.single(labels, paused.map(u8::from));
        }
        Id::ContainerNamespaceIntruders => out.single(labels, numbers.foreign_processes),
        // The other families do not describe containers.
        _ => {}
    }
}

/// The busiest commands, and the sum of all others. Empty if the kernel does not count by command.
fn by_command(numbers: &ContainerNumbers) -> impl Iterator<Item = (&str, CommandCounts)> {
    let named = numbers.commands.iter().flatten();
    let others = numbers
        .events
        .filter(|_| numbers.commands.is_some())
        .map(|events| named.clone().fold(CommandCounts::of_all(&events), |rest, series| rest - series.count));
    named.map(|series| (&*series.name, series.count)).chain(others.map(|others| (OTHER, others)))
}

/// The biggest paths, and the sum of all others.
fn with_others(named: &[NamedSeries<u64>], others: u64) -> impl Iterator<Item = (&str, u64)> {
    named.iter().map(|series| (&*series.name, series.count)).chain([(OTHER, others)])
}

fn write_lifetimes(out: &mut SampleWriter<'_>, labels: &str, lifetimes: &Lifetimes) {
    // The notation of OpenMetrics ("Considerations: Canonical Numbers"), which Prometheus also uses from 3.0 on.
    let limits = LIFETIME_LIMITS.iter().map(|limit| format!("{limit:?}")).chain(["+Inf".to_owned()]);
    let mut count = 0;
    for (limit, bucket) in limits.zip(lifetimes.buckets) {
        count += bucket;
        out.begin_with("_bucket", labels);
        out.label("le", &limit);
        out.end(count);
    }
    out.begin_with("_sum", labels);
    out.end(lifetimes.nanoseconds as f64 / 1e9);
    out.begin_with("_count", labels);
    out.end(count);
}

fn write_info(out: &mut SampleWriter<'_>, container: &View<'_>, docker_labels: &[String]) {
    let metadata = container.summary.and_then(|summary| summary.metadata.as_deref());
    let of_cgroup = container.summary.map(|summary| &summary.container);
    let values = [
        of_cgroup.map_or("", |it| &it.container_id),
        metadata.map_or("", |it| &it.image),
        of_cgroup.map_or(OTHER, |it| it.runtime.label()),
        metadata.map_or("", |it| &it.compose_project),
        metadata.map_or("", |it| &it.compose_service),
        of_cgroup.map_or("", |it| &it.pod_uid),
        metadata.map_or("", |it| &it.namespace),
        metadata.map_or("", |it| &it.pod),
        metadata.map_or("", |it| &it.container),
    ];
    out.begin(container.labels);
    out.labels(&values);
    for (index, name) in docker_labels.iter().enumerate() {
        let value = metadata.and_then(|metadata| metadata.labels.get(index));
        out.label(name, value.map_or("", String::as_str));
    }
    out.end(1);
}

fn write_node(out: &mut SampleWriter<'_>, labels: &str, node: &ExportedNode, count: u64) {
    let depth = node.depth.to_string();
    out.sample(labels, &[&node.path, node.parent(), node.comm(), &depth], count);
}

/// Sorted by zombies, most first, then by name. Parents above the limit, and parents whose command is `other`, are
/// summed under `other`.
fn non_reaping_parents(parents: &[(Box<str>, u64)]) -> Vec<(&str, u64)> {
    let mut parents: Vec<(&str, u64)> = parents.iter().map(|(name, count)| (&**name, *count)).collect();
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

/// `1` … `15`, `16+`.
fn depth_label(bucket: usize) -> String {
    if bucket + 1 < DEPTH_BUCKETS { (bucket + 1).to_string() } else { format!("{DEPTH_BUCKETS}+") }
}

/// The name of a type in both formats.
#[must_use]
pub fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
        Kind::Histogram => "histogram",
    }
}
