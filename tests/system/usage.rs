//! CPU time and memory of processes, compared with the accounting of the kernel.

use std::fs;
use std::path::PathBuf;

use crate::support::Exporter;
use crate::support::exposition::Exposition;
use crate::testkit::engine::Engine;
use serde_json::Value;

const CPU: &str = "pstree_container_tree_node_cpu_seconds_total";
const RESIDENT: &str = "pstree_container_tree_node_resident_bytes";

/// CPU time that the kernel accounts to the cgroup of a process, in seconds.
fn cgroup_cpu_seconds(pid: u32) -> f64 {
    let lines = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it runs");
    let path_in = |controller: &str| {
        lines.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            parts.next()?.split(',').any(|name| name == controller).then(|| parts.next())?
        })
    };
    if let Some(path) = path_in("cpuacct") {
        let file = PathBuf::from(format!("/sys/fs/cgroup/cpuacct{path}/cpuacct.usage"));
        let nanoseconds = fs::read_to_string(file).expect("the hierarchy is mounted");
        return nanoseconds.trim().parse::<f64>().expect("a number") / 1e9;
    }
    let path = path_in("").expect("the default hierarchy");
    let file =
        fs::read_to_string(format!("/sys/fs/cgroup{path}/cpu.stat")).expect("the hierarchy is mounted");
    let usage = file.lines().find_map(|line| line.strip_prefix("usage_usec ")).expect("a line");
    usage.parse::<f64>().expect("a number") / 1e6
}

/// The value of a field of `/proc/PID/FILE`, counted from 0.
fn field(pid: u32, file: &str, index: usize) -> f64 {
    let content = fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it runs");
    let fields = content.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.into_iter().nth(index).and_then(|value| value.parse().ok()).expect("a number")
}

fn of(metrics: &Exposition, family: &str, path: &str) -> f64 {
    metrics.value(family, &[("name", "burn"), ("path", path)]).unwrap_or_default()
}

fn compares_with_the_kernel(source: &str) {
    let engine = Engine::shared();
    let source = format!("--collection.source={source}");
    let flag = engine.flag();
    let exporter = Exporter::start(&[&flag, &source, "--collection.interval=200ms", "--collector.usage"]);
    engine.run_workload("burn", &[], &["burn", "1000", "4"]);
    let pid = engine.pid("burn");
    let metrics = exporter.fresh_scrape();
    let (counted, accounted) = (of(&metrics, CPU, "workload"), cgroup_cpu_seconds(pid));
    assert!(accounted >= 4.0, "{accounted}");
    assert!((counted - accounted).abs() <= 0.02 * accounted, "{counted} s, {accounted} s in the cgroup");
    assert_eq!(of(&metrics, CPU, "other"), 0.0);

    // Fields 14, 15 and 24 of proc_pid_stat(5), after the name.
    let page = rustix::param::page_size() as f64;
    let pages = of(&metrics, RESIDENT, "workload") / page;
    assert_eq!(pages, field(pid, "stat", 21));
    // The kernel leaves out of the field what it keeps by CPU, in three counters.
    let cpus = std::thread::available_parallelism().expect("known").get() as f64;
    let left_out = 3.0 * cpus * f64::max(32.0, 2.0 * cpus);
    let exact = field(pid, "statm", 1);
    assert!(pages * page >= f64::from(64 << 20) - left_out * page, "{pages} pages");
    assert!((pages - exact).abs() <= left_out, "{pages} pages, {exact} in statm");

    let tree: Value =
        serde_json::from_slice(&exporter.get("/api/v1/containers/burn/tree", &[]).body).expect("JSON");
    let process = &tree["roots"][0];
    assert_eq!(process["resident_bytes"].as_f64(), Some(pages * page));
    let seconds = process["cpu_seconds"].as_f64().expect("a number");
    let ticks = (field(pid, "stat", 11) + field(pid, "stat", 12)) / 100.0;
    assert!((seconds - ticks).abs() < 0.011, "{seconds} s, {ticks} s in stat");
    // What it used before it was in the container is in its own time only.
    assert!(seconds >= 4.0 && seconds >= counted, "{seconds} s, {counted} s counted");
}

#[test]
fn usage_from_bpf_is_that_of_the_cgroup_and_of_procfs() {
    compares_with_the_kernel("bpf");
}

#[test]
fn usage_from_proc_is_that_of_the_cgroup_and_of_procfs() {
    compares_with_the_kernel("proc");
}
