//! Row 28: whatever keeps BPF from working ends in `/proc`, and in one clear line that names the remedy.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::engine::{Engine, IMAGE};
use crate::rights::public_binary;
use crate::secure::Scratch;
use crate::support::exposition::Exposition;
use crate::support::workload::Workload;
use crate::support::{BINARY, Exporter, http, wait_for};

const FAST: [&str; 2] = ["--no-docker", "--collection.interval=100ms"];

fn source(metrics: &Exposition) -> (String, String) {
    let (labels, _) = metrics.select("pstree_source_info", &[]).next().expect("always there");
    (labels["source"].clone(), labels["reason"].clone())
}

/// Runs `command` with the exporter's own arguments behind it; it must serve by `/proc` and say why in one
/// line that has all of `mentions`.
fn assert_falls_back(mut command: Command, reason: &str, mentions: &[&str]) {
    command.args(FAST);
    let exporter = Exporter::spawn(command);
    // The line comes before the one that says where it serves.
    let metrics = exporter.scrape();
    assert_eq!(source(&metrics), ("proc".to_owned(), reason.to_owned()));
    assert!(metrics.sum("pstree_host_processes", &[]) > 0.0);
    for family in ["pstree_host_forks_total", "pstree_events_lost_total", "pstree_events_unattributed_total"]
    {
        assert_eq!(metrics.select(family, &[]).count(), 0, "{family}: what is not known has no sample");
    }
    assert_eq!(metrics.value("pstree_collector_success", &[("collector", "events")]), None);
    let lines: Vec<&String> =
        exporter.first_lines.iter().filter(|line| line.contains("read from /proc")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for mention in mentions {
        assert!(lines[0].contains(mention), "{} lacks {mention:?}", lines[0]);
    }
}

/// A shell script in mounts of its own, which ends by running the exporter.
fn with_mounts(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("{script} && exec {BINARY} \"$@\""), "exporter"]);
    command
}

fn as_nobody(capabilities: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    for set in ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"] {
        command.arg(format!("{set}{capabilities}"));
    }
    command.arg(public_binary());
    command
}

#[test]
fn row_28_without_rights() {
    assert_falls_back(as_nobody(""), "rights", &["level=info", "CAP_BPF and CAP_PERFMON are missing"]);
    assert_falls_back(as_nobody(",+bpf"), "rights", &["CAP_PERFMON is missing"]);
    assert_falls_back(as_nobody(",+perfmon"), "rights", &["CAP_BPF is missing"]);
}

#[test]
fn row_28_bpf_alone_asked_for_without_rights_is_an_error() {
    let output = as_nobody("").args(["--collection.source=bpf", "--once"]).output().expect("setpriv runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for mention in ["--collection.source=bpf", "CAP_BPF", "--collection.source=auto"] {
        assert!(stderr.contains(mention), "{stderr}");
    }
}

#[test]
fn two_capabilities_are_enough_and_none_is_kept() {
    let exporter = start_with_both_capabilities(&[]);
    let metrics = exporter.scrape();
    assert_eq!(source(&metrics), ("bpf".to_owned(), "available".to_owned()));
    assert_no_capability(&exporter);
    let before = metrics.value("pstree_host_forks_total", &[]);
    assert!(Command::new("true").status().expect("true runs").success());
    let after = exporter.fresh_scrape();
    assert!(after.value("pstree_host_forks_total", &[]) > before, "it still counts");
    assert_eq!(after.value("pstree_collector_success", &[("collector", "events")]), Some(1.0));
}

#[test]
fn no_capability_is_kept_where_it_is_of_no_use() {
    let exporter = start_with_both_capabilities(&["--collection.source=proc"]);
    assert_eq!(source(&exporter.scrape()), ("proc".to_owned(), "flag".to_owned()));
    assert_no_capability(&exporter);
}

#[test]
fn the_thread_that_hashes_passwords_has_no_capability() {
    let scratch = Scratch::new("rights");
    let rules = scratch.0.join("web.yml");
    fs::write(&rules, "http_server_config:\n  http2: false\n").expect("a scratch file");
    let flag = format!("--web.config.file={}", rules.display());
    for more in [&[][..], &["--collection.source=proc"]] {
        let exporter = start_with_both_capabilities(&[&[flag.as_str()], more].concat());
        let names = fs::read_dir(format!("/proc/{}/task", exporter.pid())).expect("it runs").flatten();
        let names: Vec<_> = names.flat_map(|task| fs::read_to_string(task.path().join("comm"))).collect();
        assert!(names.iter().any(|name| name == "passwords\n"), "{names:?}");
        assert_no_capability(&exporter);
    }
}

fn start_with_both_capabilities(more: &[&str]) -> Exporter {
    let mut command = as_nobody(",+bpf,+perfmon");
    command.args(FAST).args(more);
    Exporter::spawn(command)
}

fn assert_no_capability(exporter: &Exporter) {
    let threads = fs::read_dir(format!("/proc/{}/task", exporter.pid())).expect("it runs");
    let mut count = 0;
    for thread in threads.flatten() {
        let status = fs::read_to_string(thread.path().join("status")).expect("no thread ends");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            let line = status.lines().find(|line| line.starts_with(set)).expect("all sets are shown");
            assert!(line.ends_with("\t0000000000000000"), "{line}");
        }
        count += 1;
    }
    assert!(count >= 3, "{count} threads");
}

#[test]
fn row_28_without_the_kernels_types() {
    let command = with_mounts("mount -t tmpfs none /sys/kernel/btf");
    assert_falls_back(command, "btf", &["level=warn", "/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"]);
}

#[test]
fn row_28_types_that_do_not_fit_are_refused() {
    // Types of another kernel, or none that we know: the programs cannot be made to fit.
    let script = "mount -t tmpfs none /sys/kernel/btf && \
                  head -c 1000 /proc/self/exe >/sys/kernel/btf/vmlinux";
    assert_falls_back(with_mounts(script), "btf", &["level=warn"]);
}

#[test]
fn row_28_without_the_default_hierarchy() {
    let script = "for at in /sys/fs/cgroup/unified /sys/fs/cgroup; do \
                  ! mountpoint -q $at || { mount -t tmpfs none $at && break; }; done";
    assert_falls_back(with_mounts(script), "hierarchy", &["level=warn", "--path.cgroupfs"]);
}

#[test]
fn row_28_a_cgroup_namespace_of_its_own() {
    let mut command = Command::new("unshare");
    command.args(["--cgroup", BINARY]);
    assert_falls_back(command, "hierarchy", &["level=warn", "--cgroupns=host"]);
}

#[test]
fn row_28_another_procfs() {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", BINARY]);
    assert_falls_back(command, "procfs", &["level=warn", "--pid=host"]);
}

#[test]
fn row_28_too_little_memory_to_load() {
    let memory = [PathBuf::from("/sys/fs/cgroup/memory"), PathBuf::from("/sys/fs/cgroup")]
        .into_iter()
        .find(|root| root.join("cgroup.procs").exists())
        .expect("a memory controller");
    let group = memory.join("pstree-memory-test");
    fs::create_dir_all(&group).expect("cgroups can be made");
    let limit = ["memory.limit_in_bytes", "memory.max"].map(|name| group.join(name));
    let limit = limit.iter().find(|file| file.exists()).expect("the memory controller");
    fs::write(limit, "33554432").expect("a limit can be set");
    let mut command = Command::new("sh");
    let join = format!("echo $$ >{}/cgroup.procs; exec {BINARY} \"$@\"", group.display());
    command.args(["-c", &join, "exporter"]);
    assert_falls_back(command, "memory", &["level=warn", "limit is 32 MiB", "96 MiB"]);
    wait_for("the cgroup is empty", || fs::remove_dir(&group).ok());
}

#[test]
fn row_28_a_container_of_cgroup_v1_alone_is_never_missed() {
    let Some(v1) = ["/sys/fs/cgroup/pids"].map(PathBuf::from).into_iter().find(|root| root.is_dir()) else {
        return assert!(PathBuf::from("/sys/fs/cgroup/cgroup.controllers").exists(), "cgroup v2 only");
    };
    let id = format!("/docker/{:0>64}", "f1");
    let group = v1.join(&id[1..]);
    fs::create_dir_all(&group).expect("cgroups can be made");
    let forest = Workload::start(&["fan", "2"]);

    let exporter = Exporter::start(&FAST);
    assert_eq!(source(&exporter.scrape()).0, "bpf");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", forest.pid())).expect("it runs");
    for pid in children.split_whitespace().chain([forest.pid().to_string().as_str()]) {
        fs::write(group.join("cgroup.procs"), pid).expect("a process can be moved");
    }
    let metrics = exporter.fresh_scrape();
    let label = [("id", id.as_str())];
    assert_eq!(metrics.value("pstree_container_processes", &label), Some(3.0));
    assert_eq!(metrics.value("pstree_container_forks_total", &label), None, "its events cannot be told");
    let line = exporter.log_line("cgroup v1 alone");
    assert!(line.contains("level=warn"), "{line}");
    let metrics = exporter.fresh_scrape();
    assert_eq!(source(&metrics), ("proc".to_owned(), "hierarchy".to_owned()));
    assert_eq!(metrics.value("pstree_container_processes", &label), Some(3.0));
    assert_eq!(metrics.value("pstree_host_forks_total", &[]), None);
    drop(exporter);

    // Where it is there from the beginning, BPF is not even tried.
    let mut command = Command::new(BINARY);
    command.env_remove("DOCKER_HOST");
    assert_falls_back(command, "hierarchy", &["level=warn", "cgroup v1 alone"]);
    drop(forest);
    wait_for("the cgroup is empty", || fs::remove_dir(&group).ok());
}

/// From its nth call on, bpf(2) fails. By the first a map is made, by the 25th a program is loaded.
fn with_failing_bpf(error: &str, from: u32) -> Command {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=bpf", "-e"]);
    command.arg(format!("inject=bpf:error={error}:when={from}+")).arg(BINARY).env_remove("DOCKER_HOST");
    command
}

#[test]
fn row_28_what_the_kernel_refuses() {
    for from in [1, 25] {
        let mentions = ["level=warn", "the kernel refused", "Invalid argument"];
        assert_falls_back(with_failing_bpf("EINVAL", from), "kernel", &mentions);
    }
    // As an engine's seccomp profile does it.
    let mentions = ["level=warn", "Operation not permitted", "seccomp"];
    assert_falls_back(with_failing_bpf("EPERM", 1), "kernel", &mentions);
}

#[test]
fn row_28_bpf_that_fails_later_is_left() {
    // By then everything is loaded, and collections have begun.
    let mut command = with_failing_bpf("EINVAL", 400);
    command.args(FAST);
    let exporter = Exporter::spawn(command);
    assert_eq!(source(&exporter.scrape()), ("bpf".to_owned(), "available".to_owned()));
    let line = exporter.log_line("from /proc from now on");
    assert!(line.contains("level=warn") && line.contains("Invalid argument"), "{line}");
    let metrics = exporter.fresh_scrape();
    assert_eq!(source(&metrics), ("proc".to_owned(), "failed".to_owned()));
    assert_eq!(metrics.value("pstree_collector_success", &[("collector", "processes")]), Some(1.0));
}

/// As the README says it, for an engine that does not know CAP_BPF by name yet.
#[test]
fn in_a_container_with_one_capability_the_kernel_counts_for_all_others() {
    let engine = Engine::start();
    engine.run_gated("web", "/bin/workload once forks 200");
    let binary = std::env::var("PSTREE_STATIC_BINARY").expect("PSTREE_STATIC_BINARY is set: run make test");
    let flags = [
        "--read-only",
        "--cap-drop=ALL",
        "--cap-add=SYS_ADMIN",
        "--security-opt=no-new-privileges",
        "--pid=host",
        "--cgroupns=host",
        "--network=host",
        "--volume=/sys/fs/cgroup:/host/cgroup:ro",
        &format!("--volume={binary}:/pstree-exporter:ro"),
    ];
    let command = ["/pstree-exporter", "--path.cgroupfs=/host/cgroup", "--collection.interval=200ms"];
    let more = ["--no-docker", "--web.listen-address=127.0.0.1:0"];
    engine.docker(&[&["run", "-d", "--name=exporter"], &flags[..], &[IMAGE], &command, &more].concat());
    let address = wait_for("it serves", || {
        let output = engine.command(&["logs", "exporter"]).output().expect("docker is installed");
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        Some(log.split("address=").nth(1)?.split_whitespace().next()?.to_owned())
    });
    let status = fs::read_to_string(format!("/proc/{}/status", engine.pid("exporter"))).expect("it runs");
    assert!(status.contains("CapPrm:\t0000000000000000"), "{status}");
    let name = engine.docker(&["inspect", "--format={{.Id}}", "web"])[..12].to_owned();
    let forks = || {
        let metrics = http::request(&address, "GET", "/metrics", &[]);
        let metrics = (metrics.status == 200).then(|| Exposition::parse(&metrics.text()))?;
        assert_eq!(source(&metrics), ("bpf".to_owned(), "available".to_owned()));
        metrics.value("pstree_container_forks_total", &[("name", &name)])
    };
    let before = wait_for("the container", forks);
    engine.open_gate("web");
    wait_for("the workload and its children", || (forks()? == before + 201.0).then_some(()));
}
