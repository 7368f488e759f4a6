//! Containers and their trees as JSON. Pure.
//!
//! The tree is written without recursion and as it is: neither folded nor cut.

use serde::Serialize;

use crate::model::forest::root_kinds::RootKind;
use crate::model::forest::stats::ForestStats;
use crate::model::snapshot::{ContainerSummary, NamedSnapshot};
use crate::model::text::sanitize;
use crate::view::tree::{Children, Process, Tree};

/// What JSON says of a container. `null` is what is not known.
#[derive(Debug, Serialize)]
struct ContainerJson<'a> {
    id: &'a str,
    name: &'a str,
    container_id: &'a str,
    image: &'a str,
    runtime: &'static str,
    compose_project: &'a str,
    compose_service: &'a str,
    pod_uid: &'a str,
    #[serde(flatten)]
    stats: StatsJson,
    pids_current: Option<u64>,
    pids_limit: Option<u64>,
    paused: Option<bool>,
    /// Counted by the kernel.
    forks_per_second: Option<f64>,
    /// Where the kernel does not count: a lower bound, from the second collection on.
    observed_starts_per_second: Option<f64>,
}

#[derive(Debug, Serialize)]
struct StatsJson {
    processes: u64,
    threads: u64,
    zombies: u64,
    depth: u32,
    max_children: u32,
    roots: RootsJson,
}

#[derive(Debug, Serialize)]
struct RootsJson {
    init: u64,
    exec: u64,
    adopted: u64,
}

/// A process without its children.
#[derive(Serialize)]
struct ProcessJson<'a> {
    pid: u32,
    host_pid: u32,
    command: &'a str,
    state: &'static str,
    threads: u32,
    start_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Vec<String>>,
}

impl StatsJson {
    fn of(stats: &ForestStats) -> Self {
        let count = |kind| stats.roots[kind as usize].count;
        Self {
            processes: stats.processes,
            threads: stats.threads,
            zombies: stats.zombies(),
            depth: stats.depth,
            max_children: stats.max_children,
            roots: RootsJson {
                init: count(RootKind::Init),
                exec: count(RootKind::Exec),
                adopted: count(RootKind::Adopted),
            },
        }
    }
}

impl<'a> ContainerJson<'a> {
    fn of(card: &'a ContainerSummary) -> Self {
        let container = &card.container;
        let metadata = card.metadata.as_deref();
        let rate =
            |is_exact| card.starts.filter(|rate| rate.is_exact == is_exact).map(|rate| rate.per_second);
        Self {
            id: &container.id,
            name: &card.name,
            container_id: &container.container_id,
            image: card.image(),
            runtime: container.runtime.label(),
            compose_project: metadata.map_or("", |metadata| &metadata.compose_project),
            compose_service: card.compose_service(),
            pod_uid: &container.pod_uid,
            stats: StatsJson::of(&card.stats),
            pids_current: card.pids_current,
            pids_limit: card.pids_limit,
            paused: card.paused,
            forks_per_second: rate(true),
            observed_starts_per_second: rate(false),
        }
    }
}

/// `{"taken_at": seconds, "containers": [...]}`, in the order of their ids.
#[must_use]
pub fn containers(snapshot: &NamedSnapshot) -> Vec<u8> {
    #[derive(Serialize)]
    struct List<'a> {
        #[serde(rename = "taken_at")]
        collected_at: f64,
        containers: Vec<ContainerJson<'a>>,
    }
    let containers = snapshot.containers.iter().map(ContainerJson::of).collect();
    let mut out = to_json(&List { collected_at: snapshot.collected_at, containers });
    out.push(b'\n');
    out
}

/// `{"taken_at": seconds, "container": {...}, "roots": [...]}`. Without a card it is the host, whose
/// container is `null`.
#[must_use]
pub fn tree(snapshot: &NamedSnapshot, card: Option<&ContainerSummary>, tree: &Tree) -> Vec<u8> {
    let mut out = format!("{{\"taken_at\":{},\"container\":", snapshot.collected_at).into_bytes();
    out.extend(card.map_or_else(|| b"null".to_vec(), |card| to_json(&ContainerJson::of(card))));
    out.extend(b",\"roots\":");
    write_forest(&mut out, snapshot, tree);
    out.extend(b"}\n");
    out
}

/// `{"error": message, ...}`; `nearest` are names that may have been meant.
#[must_use]
pub fn error(message: &str, nearest: &[String]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Failure<'a> {
        error: &'a str,
        nearest: &'a [String],
    }
    let mut out = to_json(&Failure { error: message, nearest });
    out.push(b'\n');
    out
}

/// Every process inside the list of its parent. Walks with a stack of the lists that are open.
fn write_forest(out: &mut Vec<u8>, snapshot: &NamedSnapshot, tree: &Tree) {
    let children = Children::of(tree, |_| true);
    let mut open = vec![children.roots().iter()];
    out.push(b'[');
    let mut is_first = true;
    while let Some(siblings) = open.last_mut() {
        let Some(&index) = siblings.next() else {
            open.pop();
            // The end of the list, and of the process that it belongs to.
            out.extend(if open.is_empty() { &b"]"[..] } else { b"]}" });
            is_first = false;
            continue;
        };
        if !is_first {
            out.push(b',');
        }
        let object = process(snapshot, &tree.processes[index]);
        out.extend(object.strip_suffix(b"}").unwrap_or(&object));
        out.extend(b",\"children\":[");
        open.push(children.below(index).iter());
        is_first = true;
    }
}

/// A whole object.
fn process(snapshot: &NamedSnapshot, process: &Process) -> Vec<u8> {
    let arguments =
        process.argument_list().map(|list| list.map(|argument| sanitize(argument).into_owned()).collect());
    to_json(&ProcessJson {
        pid: process.pid,
        host_pid: process.key.pid,
        command: &sanitize(process.comm.as_bytes()),
        state: process.state.label(),
        threads: process.threads,
        start_time: snapshot.clock.unix(process.key.start_time),
        kind: process.kind.map(RootKind::label),
        arguments,
    })
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    // Plain data with string keys, written to memory: there is nothing that could fail.
    serde_json::to_vec(value).unwrap_or_default()
}
