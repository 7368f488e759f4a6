//! The expected numbers of a container, determined without the exporter: by `ps`, `docker top` and cgroup files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use crate::support::exposition::Exposition;
use crate::testkit::engine::Engine;

/// A row of `ps`.
#[derive(Clone, Debug)]
pub struct Row {
    pub pid: u32,
    pub parent: u32,
    pub state: char,
    pub threads: u64,
    pub comm: String,
}

/// All processes of the machine, by pid.
pub fn ps() -> BTreeMap<u32, Row> {
    let output =
        Command::new("ps").args(["-e", "-o", "pid=,ppid=,state=,nlwp=,comm="]).output().expect("ps runs");
    let parse = |line: &str| {
        let mut fields = line.split_whitespace();
        let mut number = || fields.next()?.parse::<u32>().ok();
        let (pid, parent) = (number()?, number()?);
        let state = fields.next()?.chars().next()?;
        let threads = fields.next()?.parse().ok()?;
        let comm = fields.collect::<Vec<_>>().join(" ").trim_end_matches(" <defunct>").to_owned();
        Some((pid, Row { pid, parent, state, threads, comm }))
    };
    String::from_utf8_lossy(&output.stdout).lines().filter_map(parse).collect()
}

/// The values that the metrics must have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    pub processes: u64,
    pub threads: u64,
    pub zombies: u64,
    pub roots: u64,
    pub depth: u64,
    pub max_children: u64,
    pub by_state: BTreeMap<&'static str, u64>,
    pub by_depth: BTreeMap<String, u64>,
    pub nodes: BTreeMap<String, u64>,
    pub zombies_by_parent: BTreeMap<String, u64>,
}

/// The processes of a container: those that `docker top` lists, and the zombies below them, which no cgroup lists.
pub fn members(engine: &Engine, name: &str) -> BTreeSet<u32> {
    let top = engine.docker(&["top", name, "-eo", "pid"]);
    let mut members: BTreeSet<u32> =
        top.lines().skip(1).filter_map(|line| line.trim().parse().ok()).collect();
    let all = ps();
    while let Some(more) = all
        .values()
        .find(|row| row.state == 'Z' && members.contains(&row.parent) && !members.contains(&row.pid))
    {
        members.insert(more.pid);
    }
    members
}

pub fn expected_of(members: &BTreeSet<u32>) -> Expected {
    let all = ps();
    let inside = |pid: &u32| members.contains(pid);
    let rows: Vec<&Row> = members.iter().map(|pid| &all[pid]).collect();
    let path_of = |row: &Row| {
        let mut path = vec![row.comm.replace(';', ":")];
        let mut at = row;
        while inside(&at.parent) {
            at = &all[&at.parent];
            path.push(at.comm.replace(';', ":"));
        }
        path.reverse();
        path
    };
    let mut expected = Expected { processes: rows.len() as u64, ..Expected::default() };
    for row in rows {
        let is_zombie = row.state == 'Z' && row.threads <= 1;
        let path = path_of(row);
        let depth = path.len() as u64;
        expected.zombies += u64::from(is_zombie);
        expected.threads += if is_zombie { 0 } else { row.threads };
        expected.roots += u64::from(depth == 1);
        expected.depth = expected.depth.max(depth);
        let children = members.iter().filter(|pid| all[pid].parent == row.pid).count() as u64;
        expected.max_children = expected.max_children.max(children);
        *expected.by_state.entry(state_name(row, is_zombie)).or_default() += 1;
        let bucket = if depth < 16 { depth.to_string() } else { "16+".to_owned() };
        *expected.by_depth.entry(bucket).or_default() += 1;
        *expected.nodes.entry(exported_path(path)).or_default() += 1;
        if is_zombie {
            *expected.zombies_by_parent.entry(all[&row.parent].comm.clone()).or_default() += 1;
        }
    }
    expected
}

/// A label value has at most 128 characters, and each node reserves room for a child `;other`, which contains all
/// deeper nodes.
fn exported_path(mut path: Vec<String>) -> String {
    let is_short = |path: &[String]| path.join(";").chars().count() <= 128 - ";other".len();
    if is_short(&path) {
        return path.join(";");
    }
    while !is_short(&path) {
        path.pop();
    }
    path.join(";") + ";other"
}

fn state_name(row: &Row, is_zombie: bool) -> &'static str {
    match row.state {
        'Z' if is_zombie => "zombie",
        'R' => "running",
        'D' => "disk_sleep",
        'T' => "stopped",
        't' => "tracing_stop",
        'I' => "idle",
        // A leader that exited while its threads still sleep.
        _ => "sleeping",
    }
}

/// The same, from the metrics.
pub fn measured(metrics: &Exposition, name: &str) -> Expected {
    let name = [("name", name)];
    let whole = |family: &str| {
        metrics.value(family, &name).unwrap_or_else(|| panic!("no {family} of {name:?}")) as u64
    };
    let by = |family: &str, label: &str| -> BTreeMap<String, u64> {
        let samples = metrics.select(family, &name).filter(|&(_, value)| value > 0.0);
        samples.map(|(labels, value)| (labels[label].clone(), value as u64)).collect()
    };
    let states = ["running", "sleeping", "disk_sleep", "stopped", "tracing_stop", "zombie", "dead", "idle"];
    let by_state = by("pstree_container_processes_by_state", "state");
    Expected {
        processes: whole("pstree_container_processes"),
        threads: whole("pstree_container_threads"),
        zombies: whole("pstree_container_zombie_processes"),
        roots: metrics.sum("pstree_container_root_processes", &name) as u64,
        depth: whole("pstree_container_tree_depth"),
        max_children: whole("pstree_container_tree_max_children"),
        by_state: states.into_iter().filter_map(|state| Some((state, *by_state.get(state)?))).collect(),
        by_depth: by("pstree_container_processes_by_depth", "depth"),
        nodes: by("pstree_container_tree_node_processes", "path"),
        zombies_by_parent: by("pstree_container_zombie_processes_by_parent", "parent"),
    }
}

/// A file of the pids controller in the container's cgroup; `None` for `max`.
pub fn pids_file(pid: u32, file: &str) -> Option<u64> {
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the container runs");
    let line = |wanted: fn(&str) -> bool| cgroup.lines().find(|line| wanted(line)).map(str::to_owned);
    let (root, line) = match line(|line| line.contains(":pids:")) {
        Some(line) => ("/sys/fs/cgroup/pids", line),
        None => ("/sys/fs/cgroup", line(|line| line.starts_with("0::")).expect("a cgroup")),
    };
    let path = line.splitn(3, ':').nth(2).expect("a path").to_owned();
    fs::read_to_string(format!("{root}{path}/{file}"))
        .expect("a file of the pids controller")
        .trim()
        .parse()
        .ok()
}
