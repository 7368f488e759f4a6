//! Finds the containers that a user selects by name, id, pid or Compose service.

use crate::model::container_metadata::ContainerMetadata;
use crate::model::snapshot::{ContainerSummary, NamedSnapshot};
use crate::model::text::{name_label, sanitize, truncate};

/// How many similar names an error suggests.
const MAX_NEAREST: usize = 3;
/// How many containers of a pod an error lists.
const MAX_IN_POD: usize = 20;
/// Shortest accepted prefix of a container id.
const MIN_ID_DIGITS: usize = 4;
/// Lowest similarity of a suggested name, from 0 (nothing in common) to 1 (equal).
const MIN_SIMILARITY: f64 = 0.6;

/// The result of [`by_any`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Indexes of [`NamedSnapshot::containers`].
    pub containers: Vec<usize>,
    /// The pid on the host, if the selector was a pid.
    pub selected_pid: Option<u32>,
}

/// Why a selector selects nothing. The message is one line and safe to print.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    #[error("no container matches \"{selector}\"{}", nearest_hint(.nearest))]
    Unknown { selector: String, nearest: Vec<String> },
    #[error("\"{selector}\" matches several container ids: {}; use more digits", .names.join(", "))]
    Ambiguous { selector: String, names: Vec<String> },
    #[error("pod \"{selector}\" has several containers: {}; select one", .names.join(", "))]
    SeveralInPod { selector: String, names: Vec<String> },
    #[error("process {pid} ({command}) is in no container; use tree --host to show it")]
    OnHost { pid: u32, command: String },
}

impl NotFound {
    /// Whether several containers match, so that the user must select one.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Ambiguous { .. } | Self::SeveralInPod { .. })
    }

    /// Names that the user may have meant.
    #[must_use]
    pub fn nearest(&self) -> &[String] {
        match self {
            Self::Unknown { nearest: names, .. }
            | Self::Ambiguous { names, .. }
            | Self::SeveralInPod { names, .. } => names,
            Self::OnHost { .. } => &[],
        }
    }
}

fn nearest_hint(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; similar names: {}", nearest.join(", ")) }
}

/// Finds one container by its name, its id or a prefix of its id, or by its pod (`pod/container`; `pod` or `namespace/pod`
/// if the pod has no other container than its sandbox). Returns its index.
///
/// # Errors
/// If there is no such container, if the pod has several, or if several ids have this prefix.
pub fn one(snapshot: &NamedSnapshot, selector: &str) -> Result<usize, NotFound> {
    let found = by_exact_name_or_id(snapshot, selector)
        .map(Ok)
        .or_else(|| by_pod(snapshot, selector))
        .or_else(|| by_id_prefix(snapshot, selector));
    found.unwrap_or_else(|| Err(unknown(snapshot, selector, false))).map(|containers| containers[0])
}

/// Finds containers by name or id, Compose service, pod (`pod`, `pod/container` or `namespace/pod`), pid on the host, or
/// prefix of an id, in this order: what matches by accident most easily comes last.
///
/// # Errors
/// If nothing matches, if several ids have this prefix, or if the pid is in no container.
pub fn by_any(snapshot: &NamedSnapshot, selector: &str) -> Result<Found, NotFound> {
    let without_pid = |containers| Found { containers, selected_pid: None };
    if let Some(containers) = by_exact_name_or_id(snapshot, selector) {
        return Ok(without_pid(containers));
    }
    let of_service =
        containers_where(snapshot, |summary| !selector.is_empty() && summary.compose_service() == selector);
    if !of_service.is_empty() {
        return Ok(without_pid(of_service));
    }
    let of_pod = containers_where(snapshot, |summary| is_in_pod(summary, selector));
    if !of_pod.is_empty() {
        return Ok(without_pid(of_pod));
    }
    if let Some(found) = by_pid(snapshot, selector) {
        return found;
    }
    let found = by_id_prefix(snapshot, selector);
    found.unwrap_or_else(|| Err(unknown(snapshot, selector, true))).map(without_pid)
}

/// Whether `prefix` is a prefix of a container id, long enough not to be one by chance.
#[must_use]
pub fn is_id_prefix(prefix: &str, id: &str) -> bool {
    prefix.len() >= MIN_ID_DIGITS && prefix.bytes().all(|b| b.is_ascii_hexdigit()) && id.starts_with(prefix)
}

fn containers_where(snapshot: &NamedSnapshot, matches: impl Fn(&ContainerSummary) -> bool) -> Vec<usize> {
    (0..snapshot.containers.len()).filter(|&index| matches(&snapshot.containers[index])).collect()
}

/// Whether the selector is the container's pod, with or without its namespace, or the container in its pod.
fn is_in_pod(summary: &ContainerSummary, selector: &str) -> bool {
    let Some(metadata) = summary.metadata.as_deref().filter(|metadata| !metadata.pod.is_empty()) else {
        return false;
    };
    let ContainerMetadata { namespace, pod, container, .. } = metadata;
    let is = |typed: &str, label: &String| name_label(typed) == *label;
    match selector.split_once('/') {
        None => is(selector, pod),
        Some((first, second)) => {
            (is(first, pod) && is(second, container)) || (is(first, namespace) && is(second, pod))
        }
    }
}

fn by_exact_name_or_id(snapshot: &NamedSnapshot, selector: &str) -> Option<Vec<usize>> {
    // A long name can be typed in full, and as it is shown.
    let name = name_label(selector);
    let containers = containers_where(snapshot, |summary| {
        let container = &summary.container;
        let names = [&*summary.name, &container.container_id, &container.id];
        (names.contains(&selector) || *summary.name == *name) && !selector.is_empty()
    });
    (!containers.is_empty()).then_some(containers)
}

/// The container of a pod, or an error that names up to [`MAX_IN_POD`] of them.
fn by_pod(snapshot: &NamedSnapshot, selector: &str) -> Option<Result<Vec<usize>, NotFound>> {
    let mut containers = containers_where(snapshot, |summary| is_in_pod(summary, selector));
    if containers.len() > 1 {
        let is_sandbox = |summary: &ContainerSummary| {
            summary.metadata.as_deref().is_some_and(ContainerMetadata::is_sandbox)
        };
        containers.retain(|&index| !is_sandbox(&snapshot.containers[index]));
    }
    match containers.len() {
        0 => None,
        1 => Some(Ok(containers)),
        _ => {
            let names = containers.iter().take(MAX_IN_POD);
            let names = names.map(|&index| snapshot.containers[index].name.to_string()).collect();
            Some(Err(NotFound::SeveralInPod { selector: printable(selector), names }))
        }
    }
}

fn by_id_prefix(snapshot: &NamedSnapshot, selector: &str) -> Option<Result<Vec<usize>, NotFound>> {
    let containers =
        containers_where(snapshot, |summary| is_id_prefix(selector, &summary.container.container_id));
    match containers.len() {
        0 => None,
        1 => Some(Ok(containers)),
        _ => {
            let names =
                containers.iter().take(MAX_NEAREST).map(|&index| snapshot.containers[index].name.to_string());
            Some(Err(NotFound::Ambiguous { selector: printable(selector), names: names.collect() }))
        }
    }
}

fn by_pid(snapshot: &NamedSnapshot, selector: &str) -> Option<Result<Found, NotFound>> {
    let pid = selector.parse().ok()?;
    let record = snapshot.processes.records[snapshot.processes.index_of(pid)?];
    let containers = containers_where(snapshot, |summary| summary.membership == record.membership);
    Some(if containers.is_empty() {
        Err(NotFound::OnHost { pid, command: sanitize(record.comm.as_bytes()).into_owned() })
    } else {
        Ok(Found { containers, selected_pid: Some(pid) })
    })
}

/// The error for a selector that matches nothing, with similar names. `with_services` also suggests Compose services and
/// pods.
fn unknown(snapshot: &NamedSnapshot, selector: &str, with_services: bool) -> NotFound {
    // The time of a comparison grows with the length, and a longer selector is not a name.
    let compared = truncate(selector);
    let compared = &*compared;
    let similarity = |name: &str| {
        if name.contains(compared) && !compared.is_empty() {
            return 1.0;
        }
        // The first favours a common prefix, the second recognises swapped letters.
        strsim::jaro_winkler(name, compared).max(strsim::normalized_damerau_levenshtein(name, compared))
    };
    let services = snapshot
        .containers
        .iter()
        .map(ContainerSummary::compose_service)
        .filter(|service| with_services && !service.is_empty());
    let pods = snapshot.containers.iter().filter_map(|summary| summary.metadata.as_ref());
    let pods = pods.map(|metadata| &*metadata.pod).filter(|pod| with_services && !pod.is_empty());
    let names = snapshot.containers.iter().map(|summary| &*summary.name).chain(services).chain(pods);
    let mut scored: Vec<(f64, &str)> = names.map(|name| (similarity(name), name)).collect();
    scored.retain(|(score, _)| *score >= MIN_SIMILARITY);
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    let nearest = scored.into_iter().take(MAX_NEAREST).map(|(_, name)| name.to_owned()).collect();
    NotFound::Unknown { selector: printable(selector), nearest }
}

fn printable(selector: &str) -> String {
    truncate(&sanitize(selector.as_bytes())).into_owned()
}
