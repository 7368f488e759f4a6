//! Containers and their trees as JSON. Trees are complete: neither folded nor truncated.

use serde::Serialize;

use crate::model::forest::root_kinds::RootKind;
use crate::model::forest::stats::ForestStats;
use crate::model::snapshot::{ContainerSummary, NamedSnapshot};
use crate::model::text::sanitize;
use crate::view::tree::{Children, Process, Tree};

/// A container. Unknown values are `null`.
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
    namespace: &'a str,
    pod: &'a str,
    container: &'a str,
    #[serde(flatten)]
    stats: StatsJson,
    pids_current: Option<u64>,
    pids_limit: Option<u64>,
    pids_headroom: Option<u64>,
    paused: Option<bool>,
    /// From kernel counters.
    forks_per_second: Option<f64>,
    /// Without kernel counters: an estimate, from the second collection on.
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
    terminal_sessions: u64,
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
    cpu_seconds: f64,
    resident_bytes: u64,
    start_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    /// Only for roots of kind `exec`.
    #[serde(skip_serializing_if = "Option::is_none")]
    terminal: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Vec<String>>,
}

impl StatsJson {
    fn new(stats: &ForestStats) -> Self {
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
            terminal_sessions: stats.terminal_sessions.count,
        }
    }
}

impl<'a> ContainerJson<'a> {
    fn new(summary: &'a ContainerSummary) -> Self {
        let container = &summary.container;
        let metadata = summary.metadata.as_deref();
        let rate =
            |is_exact| summary.starts.filter(|rate| rate.is_exact == is_exact).map(|rate| rate.per_second);
        Self {
            id: &container.id,
            name: &summary.name,
            container_id: &container.container_id,
            image: summary.image(),
            runtime: container.runtime.label(),
            compose_project: metadata.map_or("", |metadata| &metadata.compose_project),
            compose_service: summary.compose_service(),
            pod_uid: &container.pod_uid,
            namespace: metadata.map_or("", |metadata| &metadata.namespace),
            pod: metadata.map_or("", |metadata| &metadata.pod),
            container: metadata.map_or("", |metadata| &metadata.container),
            stats: StatsJson::new(&summary.stats),
            pids_current: summary.pids_current,
            pids_limit: summary.pids_limit,
            pids_headroom: summary.nearest_limit.map(|nearest| nearest.headroom()),
            paused: summary.paused,
            forks_per_second: rate(true),
            observed_starts_per_second: rate(false),
        }
    }
}

/// `{"taken_at": seconds, "containers": [...]}`, sorted by id.
#[must_use]
pub fn containers(snapshot: &NamedSnapshot) -> Vec<u8> {
    #[derive(Serialize)]
    struct List<'a> {
        #[serde(rename = "taken_at")]
        collected_at: f64,
        containers: Vec<ContainerJson<'a>>,
    }
    let containers = snapshot.containers.iter().map(ContainerJson::new).collect();
    let mut out = to_json(&List { collected_at: snapshot.collected_at, containers });
    out.push(b'\n');
    out
}

/// `{"taken_at": seconds, "container": {...}, "roots": [...]}`. For the host, `summary` is `None` and the container is
/// `null`.
#[must_use]
pub fn tree(snapshot: &NamedSnapshot, summary: Option<&ContainerSummary>, tree: &Tree) -> Vec<u8> {
    let mut out = format!("{{\"taken_at\":{},\"container\":", snapshot.collected_at).into_bytes();
    out.extend(summary.map_or_else(|| b"null".to_vec(), |summary| to_json(&ContainerJson::new(summary))));
    out.extend(b",\"roots\":");
    write_forest(&mut out, snapshot, tree);
    out.extend(b"}\n");
    out
}

/// `{"error": message, "nearest": [...]}`, with names that the user may have meant.
#[must_use]
pub fn error(message: &str, nearest: &[String]) -> Vec<u8> {
    #[derive(Serialize)]
    struct ErrorJson<'a> {
        error: &'a str,
        nearest: &'a [String],
    }
    let mut out = to_json(&ErrorJson { error: message, nearest });
    out.push(b'\n');
    out
}

/// Writes every process into the list of its parent, with a stack of the open lists instead of recursion.
fn write_forest(out: &mut Vec<u8>, snapshot: &NamedSnapshot, tree: &Tree) {
    let children = Children::new(tree, |_| true);
    let mut open = vec![children.roots().iter()];
    out.push(b'[');
    let mut is_first = true;
    while let Some(siblings) = open.last_mut() {
        let Some(&index) = siblings.next() else {
            open.pop();
            // End the list and the process that it belongs to.
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
        open.push(children.of(index).iter());
        is_first = true;
    }
}

/// A process as a complete object without its children.
fn process(snapshot: &NamedSnapshot, process: &Process) -> Vec<u8> {
    let arguments =
        process.argument_list().map(|list| list.map(|argument| sanitize(argument).into_owned()).collect());
    to_json(&ProcessJson {
        pid: process.pid,
        host_pid: process.key.pid,
        command: &sanitize(process.comm.as_bytes()),
        state: process.state.label(),
        threads: process.threads,
        cpu_seconds: snapshot.cpu_seconds(process.usage.cpu_ticks),
        resident_bytes: snapshot.bytes(process.usage.resident_pages),
        start_time: snapshot.clock.unix(process.key.start_time),
        kind: process.kind.map(RootKind::label),
        terminal: (process.kind == Some(RootKind::Exec)).then_some(process.is_terminal_session),
        arguments,
    })
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    // Plain data with string keys, written to memory, cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}
