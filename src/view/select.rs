//! Which containers somebody means: by name, id, pid or service. Pure.

use crate::model::snapshot::{ContainerSummary, NamedSnapshot};
use crate::model::text::{sanitize, truncate};

/// At most so many names are offered to somebody who mistyped one.
const MAX_NEAREST: usize = 3;
/// Of the beginning of an id.
const MIN_ID_DIGITS: usize = 4;
/// From 0, nothing in common, to 1.
const LEAST_SIMILARITY: f64 = 0.6;

/// What a name led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Indexes of the cards.
    pub containers: Vec<usize>,
    /// The pid on the host by which it was asked.
    pub asked: Option<u32>,
}

/// Why there is nothing to show. The message is one line and safe to print.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    #[error("no container here is called \"{wanted}\"{}", nearest_hint(.nearest))]
    Unknown { wanted: String, nearest: Vec<String> },
    #[error("\"{wanted}\" is the beginning of several ids: {}; give more digits", .names.join(", "))]
    Ambiguous { wanted: String, names: Vec<String> },
    #[error("process {pid} ({command}) is in no container; the option --host shows it")]
    OnHost { pid: u32, command: String },
}

impl NotFound {
    /// Names that may have been meant.
    #[must_use]
    pub fn nearest(&self) -> &[String] {
        match self {
            Self::Unknown { nearest: names, .. } | Self::Ambiguous { names, .. } => names,
            Self::OnHost { .. } => &[],
        }
    }
}

fn nearest_hint(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; there is {}", nearest.join(", ")) }
}

/// By name or id alone, as a request has it.
///
/// # Errors
/// When there is none, or an id is cut so short that it could be several.
pub fn by_name_or_id(snapshot: &NamedSnapshot, wanted: &str) -> Result<usize, NotFound> {
    let found = exact(snapshot, wanted).or_else(|| by_id_prefix(snapshot, wanted));
    found.unwrap_or_else(|| Err(unknown(snapshot, wanted, false))).map(|containers| containers[0])
}

/// By name or id, a service of Compose, a pid on the host, or the beginning of an id, in this order: what is most
/// easily meant by accident comes last.
///
/// # Errors
/// When there is none, or an id is cut so short that it could be several.
pub fn by_any(snapshot: &NamedSnapshot, wanted: &str) -> Result<Found, NotFound> {
    let all = |containers| Ok(Found { containers, asked: None });
    if let Some(found) = exact(snapshot, wanted) {
        return found.and_then(all);
    }
    let of_service = cards_where(snapshot, |card| !wanted.is_empty() && card.compose_service() == wanted);
    if !of_service.is_empty() {
        return all(of_service);
    }
    if let Some(found) = by_pid(snapshot, wanted) {
        return found;
    }
    by_id_prefix(snapshot, wanted).unwrap_or_else(|| Err(unknown(snapshot, wanted, true))).and_then(all)
}

/// Whether a name is the beginning of an id, and not so short that it would be one by chance.
#[must_use]
pub fn is_beginning(name: &str, id: &str) -> bool {
    name.len() >= MIN_ID_DIGITS && name.bytes().all(|b| b.is_ascii_hexdigit()) && id.starts_with(name)
}

fn cards_where(snapshot: &NamedSnapshot, is_wanted: impl Fn(&ContainerSummary) -> bool) -> Vec<usize> {
    (0..snapshot.containers.len()).filter(|&index| is_wanted(&snapshot.containers[index])).collect()
}

fn exact(snapshot: &NamedSnapshot, wanted: &str) -> Option<Result<Vec<usize>, NotFound>> {
    let is_wanted = |card: &ContainerSummary| {
        let container = &card.container;
        [&*card.name, &container.container_id, &container.id].contains(&wanted) && !wanted.is_empty()
    };
    let containers = cards_where(snapshot, is_wanted);
    (!containers.is_empty()).then_some(Ok(containers))
}

fn by_id_prefix(snapshot: &NamedSnapshot, wanted: &str) -> Option<Result<Vec<usize>, NotFound>> {
    let containers = cards_where(snapshot, |card| is_beginning(wanted, &card.container.container_id));
    match containers.len() {
        0 => None,
        1 => Some(Ok(containers)),
        _ => {
            let names =
                containers.iter().take(MAX_NEAREST).map(|&index| snapshot.containers[index].name.to_string());
            Some(Err(NotFound::Ambiguous { wanted: shown(wanted), names: names.collect() }))
        }
    }
}

fn by_pid(snapshot: &NamedSnapshot, wanted: &str) -> Option<Result<Found, NotFound>> {
    let pid = wanted.parse().ok()?;
    let record = snapshot.processes.records[snapshot.processes.index_of(pid)?];
    let containers = cards_where(snapshot, |card| card.membership == record.membership);
    Some(if containers.is_empty() {
        Err(NotFound::OnHost { pid, command: sanitize(record.comm.as_bytes()).into_owned() })
    } else {
        Ok(Found { containers, asked: Some(pid) })
    })
}

/// `with_services` is whether a service of Compose is an answer, too.
fn unknown(snapshot: &NamedSnapshot, wanted: &str, with_services: bool) -> NotFound {
    // What is longer is no name, and comparing takes time that grows with the length.
    let (asked, wanted) = (wanted, truncate(wanted));
    let wanted = &*wanted;
    let similarity = |name: &str| {
        if name.contains(wanted) && !wanted.is_empty() {
            return 1.0;
        }
        // The first likes a common beginning, the second knows swapped letters.
        strsim::jaro_winkler(name, wanted).max(strsim::normalized_damerau_levenshtein(name, wanted))
    };
    let services = snapshot
        .containers
        .iter()
        .map(ContainerSummary::compose_service)
        .filter(|service| with_services && !service.is_empty());
    let names = snapshot.containers.iter().map(|card| &*card.name).chain(services);
    let mut scored: Vec<(f64, &str)> = names.map(|name| (similarity(name), name)).collect();
    scored.retain(|(score, _)| *score >= LEAST_SIMILARITY);
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    let nearest = scored.into_iter().take(MAX_NEAREST).map(|(_, name)| name.to_owned()).collect();
    NotFound::Unknown { wanted: shown(asked), nearest }
}

fn shown(wanted: &str) -> String {
    truncate(&sanitize(wanted.as_bytes())).into_owned()
}
