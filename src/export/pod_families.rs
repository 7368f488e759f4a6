//! Writes the families of pods directly from a snapshot into the bytes of a format.

use std::io::{self, Write};
use std::ops::Range;

use super::catalog::{CATALOG, Id, Scope};
use super::rendered::Format;
use super::sample_lines::{FamiliesWriter, SampleWriter, push_labels};
use crate::model::pids::PodPids;
use crate::model::snapshot::NamedSnapshot;

/// Writes all families of [`Scope::Pod`] that have a sample, in the order of the catalog.
///
/// # Errors
/// The errors of the writer.
pub fn write<W: Write>(writer: &mut W, format: Format, snapshot: &NamedSnapshot) -> io::Result<()> {
    if snapshot.pods.is_empty() {
        return Ok(());
    }
    let pods = Pods::new(snapshot);
    let mut families = FamiliesWriter::new(writer, format);
    for (index, family) in CATALOG.iter().enumerate().filter(|(_, family)| family.scope == Scope::Pod) {
        families.write_family(family, pods.iter(), |out, (labels, pids)| {
            write_sample(out, Id::ALL[index], labels, pids);
        })?;
    }
    Ok(())
}

fn write_sample(out: &mut SampleWriter<'_>, id: Id, labels: &str, pids: &PodPids) {
    match id {
        Id::PodInfo => out.sample(labels, &[], 1),
        Id::PodPidsCurrent => out.single(labels, pids.current),
        Id::PodPidsLimit => out.single(labels, pids.limit),
        Id::PodPidsPeak => out.single(labels, pids.peak),
        Id::PodPidsLimitHits => out.single(labels, pids.limit_hits),
        // The other families do not describe pods.
        _ => {}
    }
}

/// The pods of a snapshot, with their labels written once. A pod is left out while all its containers wait for their
/// names, so that its series do not appear with empty names first.
struct Pods<'a> {
    labels: String,
    pods: Vec<(Range<usize>, &'a PodPids)>,
}

impl<'a> Pods<'a> {
    fn new(snapshot: &'a NamedSnapshot) -> Self {
        let mut labels = String::with_capacity(128 * snapshot.pods.len());
        let mut pods = Vec::with_capacity(snapshot.pods.len());
        for (pod, names) in snapshot.pods.iter().zip(names(snapshot)) {
            let Some((namespace, name)) = names else { continue };
            let start = labels.len();
            push_labels(&mut labels, Scope::Pod.labels(), &[pod.uid(), namespace, name]);
            pods.push((start..labels.len(), &pod.pids));
        }
        Self { labels, pods }
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &'a PodPids)> {
        self.pods.iter().map(|(range, pids)| (&self.labels[range.clone()], *pids))
    }
}

/// Namespace and name of each pod, from the metadata of any of its containers; empty if unknown. `None` if the snapshot
/// has none of its containers.
fn names(snapshot: &NamedSnapshot) -> Vec<Option<(&str, &str)>> {
    let mut names = vec![None; snapshot.pods.len()];
    for summary in snapshot.containers.iter().filter(|it| !it.container.pod_uid.is_empty()) {
        let uid = &*summary.container.pod_uid;
        let Ok(index) = snapshot.pods.binary_search_by(|pod| pod.uid().cmp(uid)) else { continue };
        let of_container = summary.metadata.as_ref().map_or(("", ""), |it| (&it.namespace, &it.pod));
        if names[index].is_none_or(|(_, pod): (&str, &str)| pod.is_empty()) {
            names[index] = Some(of_container);
        }
    }
    names
}
