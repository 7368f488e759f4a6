//! Writes the families of containers directly from a snapshot into the bytes of a format.
//!
//! A machine has thousands of these samples, and each format is written with every collection, so labels are not first
//! copied into separate structures. The sample lines are the same in both formats; the header lines differ.

use std::io::{self, Write};
use std::ops::Range;

use super::catalog::{CATALOG, Family, Id, Kind, Scope};
use super::rendered::Format;
use super::{openmetrics, text_format};
use crate::model::event_counts::OUTCOMES;
use crate::model::forest::merged_nodes::{ExportedNode, OTHER};
use crate::model::forest::root_kinds::RootKind;
use crate::model::forest::stats::DEPTH_BUCKETS;
use crate::model::process::ProcessState;
use crate::model::snapshot::{ContainerNumbers, ContainerSummary, NamedSnapshot};

/// Maximum number of non-reaping parents with their own series.
const MAX_ZOMBIE_PARENTS: usize = 5;

/// Size at which sample lines are written out.
const BUFFER_BYTES: usize = 64 * 1024;

/// Writes all families of [`Scope::Container`] that have a sample, in the order of the catalog. `docker_labels` are the
/// names of the labels `label_<name>`, in the order of their values in the metadata.
///
/// # Errors
/// The errors of the writer.
pub fn write<W: Write>(
    writer: &mut W,
    format: Format,
    snapshot: &NamedSnapshot,
    docker_labels: &[String],
) -> io::Result<()> {
    let containers = Containers::new(snapshot);
    let mut samples = Vec::with_capacity(BUFFER_BYTES + 4096);
    for (index, family) in CATALOG.iter().enumerate().filter(|(_, family)| family.scope == Scope::Container) {
        let mut has_header = false;
        let mut flush = |samples: &mut Vec<u8>| -> io::Result<()> {
            if !has_header && !samples.is_empty() {
                has_header = true;
                match format {
                    Format::Text => text_format::write_header(writer, family)?,
                    Format::OpenMetrics => {
                        openmetrics::write_header(writer, family.name, family.kind, family.help)?;
                    }
                }
            }
            writer.write_all(samples)?;
            samples.clear();
            Ok(())
        };
        for container in containers.iter() {
            let mut family_writer = FamilyWriter { out: &mut samples, family };
            write_samples(&mut family_writer, Id::ALL[index], &container, snapshot, docker_labels);
            if samples.len() >= BUFFER_BYTES {
                flush(&mut samples)?;
            }
        }
        flush(&mut samples)?;
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
            labels.push_str("id=\"");
            push_escaped(&mut labels, id);
            labels.push_str("\",name=\"");
            push_escaped(&mut labels, name);
            labels.push('"');
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

/// Writes the sample lines of one family.
struct FamilyWriter<'a> {
    out: &'a mut Vec<u8>,
    family: &'static Family,
}

impl FamilyWriter<'_> {
    /// Writes a sample with the common labels and the labels of the family, in the order of the catalog.
    fn sample(&mut self, container: &View<'_>, values: &[&str], value: impl std::fmt::Display) {
        self.begin(container);
        for (label, value) in self.family.labels.iter().zip(values) {
            self.label(label, value);
        }
        self.end(value);
    }

    /// Writes a sample with only the common labels, if the value is known.
    fn single(&mut self, container: &View<'_>, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.sample(container, &[], value);
        }
    }

    fn begin(&mut self, container: &View<'_>) {
        self.out.extend_from_slice(self.family.name.as_bytes());
        self.out.push(b'{');
        self.out.extend_from_slice(container.labels.as_bytes());
    }

    fn label(&mut self, name: &str, value: &str) {
        self.out.push(b',');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"=\"");
        // Writing to a vector cannot fail.
        let _ = openmetrics::write_escaped(self.out, value);
        self.out.push(b'"');
    }

    fn end(&mut self, value: impl std::fmt::Display) {
        let _ = writeln!(self.out, "}} {value}");
    }
}

fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

fn write_samples(
    out: &mut FamilyWriter<'_>,
    id: Id,
    container: &View<'_>,
    snapshot: &NamedSnapshot,
    docker_labels: &[String],
) {
    let numbers = container.numbers;
    let stats = &numbers.stats;
    match id {
        Id::ContainerInfo => write_info(out, container, docker_labels),
        Id::ContainerProcesses => out.sample(container, &[], stats.processes),
        Id::ContainerThreads => out.sample(container, &[], stats.threads),
        Id::ContainerProcessesByState => {
            for (state, count) in ProcessState::ALL.iter().zip(stats.by_state) {
                out.sample(container, &[state.label()], count);
            }
        }
        Id::ContainerZombies => out.sample(container, &[], stats.zombies()),
        Id::ContainerZombiesByParent => {
            for (parent, count) in non_reaping_parents(&stats.zombies_by_parent) {
                out.sample(container, &[parent], count);
            }
        }
        Id::ContainerOldestZombie => out.single(container, stats.oldest_zombie_since),
        Id::ContainerRoots => {
            for (kind, roots) in RootKind::ALL.iter().zip(&stats.roots) {
                out.sample(container, &[kind.label()], roots.count);
            }
        }
        Id::ContainerOldestRoot => {
            for (kind, roots) in RootKind::ALL.iter().zip(&stats.roots) {
                if let Some(time) = roots.oldest_start_time.and_then(|ticks| snapshot.clock.unix(ticks)) {
                    out.sample(container, &[kind.label()], time);
                }
            }
        }
        Id::ContainerDepth => out.sample(container, &[], stats.depth),
        Id::ContainerMaxChildren => out.sample(container, &[], stats.max_children),
        Id::ContainerProcessesByDepth => {
            // Every depth down to the deepest one has at least one process.
            for (index, &count) in stats.by_depth.iter().enumerate().filter(|&(_, &count)| count > 0) {
                out.sample(container, &[&depth_label(index)], count);
            }
        }
        Id::ContainerNodeProcesses => {
            for node in &numbers.nodes {
                write_node(out, container, node, node.processes);
            }
        }
        Id::ContainerNodeZombies => {
            for node in numbers.nodes.iter().filter(|node| node.zombies > 0) {
                write_node(out, container, node, node.zombies);
            }
        }
        Id::ContainerObservedStarts => out.sample(container, &[], numbers.observed_starts),
        Id::ContainerForks => out.single(container, numbers.events.map(|events| events.forks)),
        Id::ContainerThreadStarts => out.single(container, numbers.events.map(|events| events.thread_starts)),
        Id::ContainerExecs => out.single(container, numbers.events.map(|events| events.execs)),
        Id::ContainerExits => {
            for (outcome, count) in numbers.events.iter().flat_map(|events| OUTCOMES.iter().zip(events.exits))
            {
                out.sample(container, &[outcome], count);
            }
        }
        Id::ContainerPidsCurrent => out.single(container, numbers.pids_current),
        Id::ContainerPidsLimit => out.single(container, numbers.pids_limit),
        Id::ContainerPidsPeak => out.single(container, numbers.pids_peak),
        Id::ContainerPidsLimitHits => out.single(container, numbers.pids_limit_hits),
        Id::ContainerPaused => {
            let paused = container.summary.map_or(numbers.frozen, |summary| summary.paused);
            out.single(container, paused.map(u8::from));
        }
        Id::ContainerNamespaceIntruders => out.single(container, numbers.foreign_processes),
        // The other families do not describe containers.
        _ => {}
    }
}

fn write_info(out: &mut FamilyWriter<'_>, container: &View<'_>, docker_labels: &[String]) {
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
    out.begin(container);
    for (label, value) in out.family.labels.iter().zip(values) {
        out.label(label, value);
    }
    for (index, name) in docker_labels.iter().enumerate() {
        let value = metadata.and_then(|metadata| metadata.labels.get(index));
        out.label(name, value.map_or("", String::as_str));
    }
    out.end(1);
}

fn write_node(out: &mut FamilyWriter<'_>, container: &View<'_>, node: &ExportedNode, count: u64) {
    let depth = node.depth.to_string();
    out.sample(container, &[&node.path, node.parent(), node.comm(), &depth], count);
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
    }
}
