//! If BPF does not work, the exporter falls back to `/proc` and logs one line with the reason and the fix.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::exposition::Exposition;
use crate::support::workload::Workload;
use crate::support::{BINARY, Exporter, http, wait_for};
use crate::testkit::binaries::{public_binary, static_binary};
use crate::testkit::cgroups::{LimitedCgroup, remove_cgroup};
use crate::testkit::engine::{Engine, IMAGE};
use crate::testkit::scratch::Scratch;

const FAST: [&str; 2] = ["--no-docker", "--collection.interval=100ms"];

fn source(metrics: &Exposition) -> (String, String) {
    let (labels, _) = metrics.select("pstree_source_info", &[]).next().expect("always exported");
    (labels["source"].clone(), labels["reason"].clone())
}

/// Starts an exporter with `command`, to which its flags are added. It must use `/proc` and log the reason in one line
/// that contains all of `mentions`.
fn assert_falls_back(mut command: Command, reason: &str, mentions: &[&str]) {
    command.args(FAST);
    let exporter = Exporter::spawn(command);
    let metrics = exporter.scrape();
    assert_eq!(source(&metrics), ("proc".to_owned(), reason.to_owned()));
    assert!(metrics.sum("pstree_host_processes", &[]) > 0.0);
    for family in ["pstree_host_forks_total", "pstree_events_lost_total", "pstree_events_unattributed_total"]
    {
        assert_eq!(metrics.select(family, &[]).count(), 0, "{family}: an unknown value has no sample");
    }
    assert_eq!(metrics.value("pstree_collector_success", &[("collector", "events")]), None);
    let lines: Vec<&String> =
        exporter.first_lines.iter().filter(|line| line.contains("reading processes from /proc")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for mention in mentions {
        assert!(lines[0].contains(mention), "{} lacks {mention:?}", lines[0]);
    }
}

/// A shell script in its own mount namespace, which runs the exporter at its end.
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
fn missing_capabilities_are_logged() {
    assert_falls_back(as_nobody(""), "rights", &["level=info", "CAP_BPF and CAP_PERFMON are missing"]);
    assert_falls_back(as_nobody(",+bpf"), "rights", &["CAP_PERFMON is missing"]);
    assert_falls_back(as_nobody(",+perfmon"), "rights", &["CAP_BPF is missing"]);
}

#[test]
fn requesting_bpf_without_its_capabilities_is_an_error() {
    let output = as_nobody("").args(["--collection.source=bpf", "--once"]).output().expect("setpriv runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for mention in ["--collection.source=bpf", "CAP_BPF", "--collection.source=auto"] {
        assert!(stderr.contains(mention), "{stderr}");
    }
}

#[test]
fn two_capabilities_are_enough_for_bpf_and_are_dropped() {
    let exporter = start_with_both_capabilities(&[]);
    let metrics = exporter.scrape();
    assert_eq!(source(&metrics), ("bpf".to_owned(), "available".to_owned()));
    assert_no_capability(&exporter);
    let forks = |metrics: &Exposition| metrics.value("pstree_host_forks_total", &[]).expect("BPF counts");
    let before = forks(&metrics);
    assert!(Command::new("true").status().expect("true runs").success());
    let after = exporter.fresh_scrape();
    assert!(forks(&after) > before, "it still counts");
    assert_eq!(after.value("pstree_collector_success", &[("collector", "events")]), Some(1.0));
}

#[test]
fn capabilities_are_dropped_if_bpf_is_not_used() {
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
fn a_kernel_without_btf_is_logged() {
    let command = with_mounts("mount -t tmpfs none /sys/kernel/btf");
    assert_falls_back(command, "btf", &["level=warn", "/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"]);
}

#[test]
fn btf_that_does_not_match_is_rejected() {
    // Type information that cannot be parsed.
    let script = "mount -t tmpfs none /sys/kernel/btf && \
                  head -c 1000 /proc/self/exe >/sys/kernel/btf/vmlinux";
    assert_falls_back(with_mounts(script), "btf", &["level=warn"]);
}

#[test]
fn a_machine_without_the_default_hierarchy_is_logged() {
    let script = "for at in /sys/fs/cgroup/unified /sys/fs/cgroup; do \
                  ! mountpoint -q $at || { mount -t tmpfs none $at && break; }; done";
    assert_falls_back(with_mounts(script), "hierarchy", &["level=warn", "--path.cgroupfs"]);
}

#[test]
fn a_procfs_of_another_pid_namespace_is_logged() {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", BINARY]);
    assert_falls_back(command, "procfs", &["level=warn", "--pid=host"]);
}

#[test]
fn a_time_namespace_of_its_own_is_logged() {
    let mut command = Command::new("unshare");
    command.args(["--time", "--boottime", "1000", "--fork", "--kill-child", BINARY]);
    assert_falls_back(command, "procfs", &["level=warn", "time namespace"]);
}

#[test]
fn too_little_memory_to_load_the_programs_is_logged() {
    let group = LimitedCgroup::new("memory");
    group.set(&["memory.limit_in_bytes", "memory.max"], 32 << 20);
    assert_falls_back(group.command(BINARY), "memory", &["level=warn", "cgroup is 32 MiB", "96 MiB"]);
}

/// A cgroup v1 hierarchy without a controller, which also works on machines that otherwise use cgroup v2 only.
/// Removed when dropped.
struct V1Hierarchy {
    name: String,
    directory: PathBuf,
}

impl V1Hierarchy {
    fn new() -> Self {
        let name = format!("pstree-v1-{}", std::process::id());
        let directory = std::env::temp_dir().join(&name);
        fs::create_dir_all(&directory).expect("a scratch directory");
        let hierarchy = Self { name, directory };
        assert!(hierarchy.mount(), "the kernel supports cgroup v1");
        hierarchy
    }

    fn mount(&self) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "cgroup", "-o", &format!("none,name={}", self.name), "none"]).arg(&self.directory);
        mount.status().expect("util-linux is installed").success()
    }

    fn exists(&self) -> bool {
        fs::read_to_string("/proc/self/cgroup").expect("a procfs").contains(&format!(":name={}:", self.name))
    }
}

impl Drop for V1Hierarchy {
    /// The kernel removes a hierarchy at the unmount that finds it without children. It frees a removed cgroup later than
    /// `rmdir` returns, so the first unmount may keep the hierarchy, in which systemd-nspawn then cannot start a container.
    fn drop(&mut self) {
        let _ = fs::remove_dir(self.directory.join("docker"));
        let unmount = || drop(Command::new("umount").arg(&self.directory).status());
        unmount();
        let mut looks = 0;
        wait_for("the hierarchy is removed", || {
            looks += 1;
            // A mount while the kernel removes the hierarchy creates it again, so the pauses are long.
            if self.exists() && looks % 50 == 0 {
                self.mount();
                unmount();
            }
            (!self.exists()).then_some(())
        });
        let _ = fs::remove_dir(&self.directory);
    }
}

#[test]
fn a_container_in_cgroup_v1_only_is_exported() {
    let v1 = V1Hierarchy::new();
    let id = format!("/docker/{:0>64}", "f1");
    let group = v1.directory.join(&id[1..]);
    fs::create_dir_all(&group).expect("root may create cgroups");
    let forest = Workload::start(&["fan", "2"]);

    let exporter = Exporter::start(&FAST);
    assert_eq!(source(&exporter.scrape()).0, "bpf");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", forest.pid())).expect("it runs");
    for pid in children.split_whitespace().chain([forest.pid().to_string().as_str()]) {
        fs::write(group.join("cgroup.procs"), pid).expect("root may move processes");
    }
    let metrics = exporter.fresh_scrape();
    let label = [("id", id.as_str())];
    assert_eq!(metrics.value("pstree_container_processes", &label), Some(3.0));
    assert_eq!(metrics.value("pstree_container_forks_total", &label), None, "its events cannot be assigned");
    let line = exporter.log_line("only in cgroup v1");
    assert!(line.contains("level=warn"), "{line}");
    let metrics = exporter.fresh_scrape();
    assert_eq!(source(&metrics), ("proc".to_owned(), "hierarchy".to_owned()));
    assert_eq!(metrics.value("pstree_container_processes", &label), Some(3.0));
    assert_eq!(metrics.value("pstree_host_forks_total", &[]), None);
    drop(exporter);

    // If it exists at the start, BPF is not tried.
    let mut command = Command::new(BINARY);
    command.env_remove("DOCKER_HOST");
    assert_falls_back(command, "hierarchy", &["level=warn", "only in cgroup v1"]);
    drop(forest);
    remove_cgroup(&group);
}

/// bpf(2) fails from the given call on. The first call creates a map, the 25th loads a program.
fn with_failing_bpf(error: &str, from: u32) -> Command {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=bpf", "-e"]);
    command.arg(format!("inject=bpf:error={error}:when={from}+")).arg(BINARY).env_remove("DOCKER_HOST");
    command
}

#[test]
fn programs_that_the_kernel_rejects_are_logged() {
    for from in [1, 25] {
        let mentions = ["level=warn", "the kernel rejected", "Invalid argument"];
        assert_falls_back(with_failing_bpf("EINVAL", from), "kernel", &mentions);
    }
    // As the seccomp profile of a container engine does.
    let mentions = ["level=warn", "Operation not permitted", "seccomp"];
    assert_falls_back(with_failing_bpf("EPERM", 1), "kernel", &mentions);
}

#[test]
fn bpf_that_fails_later_is_replaced_by_proc() {
    // At that call, all programs are loaded, and collections have begun.
    let mut command = with_failing_bpf("EINVAL", 400);
    command.args(FAST);
    let exporter = Exporter::spawn(command);
    assert_eq!(source(&exporter.scrape()), ("bpf".to_owned(), "available".to_owned()));
    let line = exporter.log_line("falling back to /proc");
    assert!(line.contains("level=warn") && line.contains("Invalid argument"), "{line}");
    let metrics = exporter.fresh_scrape();
    assert_eq!(source(&metrics), ("proc".to_owned(), "failed".to_owned()));
    assert_eq!(metrics.value("pstree_collector_success", &[("collector", "processes")]), Some(1.0));
}

/// With the flags from docs/kernel-counters.md, for an engine that does not know CAP_BPF yet.
#[test]
fn a_container_with_one_capability_counts_the_forks_of_all_others() {
    let engine = Engine::shared();
    engine.run_gated("web", "/bin/workload once forks 200");
    let flags = [
        "--read-only",
        "--cap-drop=ALL",
        "--cap-add=SYS_ADMIN",
        "--security-opt=no-new-privileges",
        "--pid=host",
        "--cgroupns=host",
        "--network=host",
        "--volume=/sys/fs/cgroup:/host/cgroup:ro",
        &format!("--volume={}:/pstree-exporter:ro", static_binary()),
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
