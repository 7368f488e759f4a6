//! Mounts of `/proc` that lack files, or whose files are not those of the kernel.

use std::process::Command;
use std::time::SystemTime;

use serde_json::Value;

use crate::support::BINARY;
use crate::support::exposition::Exposition;
use crate::support::fixture::Fixture;
use crate::support::namespaces::unshared;
use crate::support::workload::Workload;

/// Standard output and standard error of a command that must succeed.
fn output(command: &mut Command) -> (String, String) {
    let output = command.output().expect("util-linux is installed");
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
    assert!(output.status.success(), "{command:?}: {stdout}{stderr}");
    (stdout, stderr)
}

fn unix_now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("a time").as_secs_f64()
}

/// Start times have a resolution of 0.01 s, and the boot time one of 0.1 s.
const RESOLUTION: f64 = 0.2;

/// Finds a process in the lists of JSON, and in the lists below them.
fn find(list: &Value, pid: u32) -> Option<&Value> {
    let all = list.as_array()?;
    let here = all.iter().find(|process| process["host_pid"] == pid);
    here.or_else(|| all.iter().find_map(|process| find(&process["children"], pid)))
}

/// Asserts that start times and ages in `tree` and in metrics are right if `script` runs before the exporter.
fn assert_times_are_right(flags: &[&str], script: &str) {
    let before = unix_now();
    let workload = Workload::start(&["fan", "1"]);
    let after = unix_now();
    let is_right = |time: f64, until: f64| (before - RESOLUTION..until + RESOLUTION).contains(&time);
    let script = format!("{script}; exec {BINARY} \"$@\"");

    let (json, _) = output(unshared(flags, &script).args(["tree", "--host", "--json", "--no-docker"]));
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let host = json["trees"].as_array().expect("a list").iter().find(|tree| tree["container"].is_null());
    let process = find(&host.expect("the host")["roots"], workload.pid()).expect("it runs");
    let started = process["start_time"].as_f64().expect("a time");
    assert!(is_right(started, after), "{before} {started} {after}: {script}");

    let (text, _) =
        output(unshared(flags, &script).args(["tree", "--host", "--host-pids", "--no-fold", "--no-docker"]));
    let titles = text.lines().find(|line| line.contains("AGE")).expect("a table");
    let column = titles.split_whitespace().position(|title| title == "AGE").expect("a column");
    let init = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let init = init.into_iter().find(|fields| fields.starts_with(&["1", "1"])).expect("pid 1");
    assert_ne!(init[column], "0s", "pid 1 did not start just now: {script}");

    let (metrics, _) = output(unshared(flags, &script).args(["--once", "--no-docker", "--log.level=error"]));
    let started = Exposition::parse(&metrics).value("process_start_time_seconds", &[]).expect("a time");
    assert!(is_right(started, unix_now()), "{before} {started}: {script}");
}

#[test]
fn start_times_and_ages_are_those_of_the_kernel_below_lxcfs() {
    // In an LXC container, lxcfs mounts files of its own on these two.
    let files = Fixture::new();
    files.write("uptime", "0.50 0.10\n");
    files.write("stat", "cpu  1 2 3 4 5 6 7 8 9 10\nbtime 1000000000\n");
    let mount = |name| format!("mount --bind {} /proc/{name}", files.path(name).display());
    assert_times_are_right(&[], &[mount("uptime"), mount("stat")].join("; "));
}

#[test]
fn start_times_and_ages_are_right_in_a_time_namespace() {
    assert_times_are_right(&["--time", "--boottime=1000000", "--fork"], "true");
}

/// Mounts a procfs with these options over `/proc`, in a new pid namespace, and runs the exporter with `arguments`.
fn with_proc_options(options: &str, arguments: &[&str]) -> std::process::Output {
    let script = format!("mount -t proc -o {options} proc /proc; exec {BINARY} \"$@\"");
    let mut command = unshared(&["--pid", "--fork"], &script);
    command.args(arguments).arg("--no-docker").output().expect("util-linux is installed")
}

#[test]
fn a_procfs_with_subset_pid_lacks_only_the_limits_of_the_host() {
    let output = with_proc_options("subset=pid", &["--once"]);
    let log = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "{log}");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("subset=pid")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    for part in
        ["level=warn", "pstree_host_pid_max", "pstree_host_threads_max", "--path.procfs", "ProcSubset=all"]
    {
        assert!(lines[0].contains(part), "{part}: {log}");
    }
    let metrics = Exposition::parse(&String::from_utf8(output.stdout).expect("text"));
    let value = |name| metrics.value(name, &[]);
    assert_eq!(value("pstree_host_pid_max").or(value("pstree_host_threads_max")), None);
    assert_eq!(value("pstree_container_processes"), Some(1.0), "the exporter is alone in the namespace");
    let now = unix_now();
    for name in ["pstree_container_oldest_root_start_time_seconds", "process_start_time_seconds"] {
        let started = value(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert!((1_600_000_000.0..=now + RESOLUTION).contains(&started), "{name} {started}");
    }
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
        assert!(value(name).is_some(), "{name} is missing");
    }
}

#[test]
fn a_check_says_what_subset_pid_hides_and_the_fix() {
    let check = |options| {
        let output = with_proc_options(options, &["--check"]);
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().find(|line| line.contains("subset=pid")).map(str::to_owned)
    };
    let line = check("subset=pid").expect("a line");
    assert!(line.starts_with("partial  procfs"), "{line}");
    for part in ["/proc/sys", "pstree_host_pid_max", "--path.procfs", "ProcSubset=all"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(check("rw"), None, "a complete procfs");
}
