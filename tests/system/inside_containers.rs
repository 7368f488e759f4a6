//! The exporter in a container: with only that container's /proc, and with minimal privileges among other containers.
//! Both use the static binary.

use std::os::unix::fs::MetadataExt as _;

use crate::support::exposition::Exposition;
use crate::support::wait_for;
use crate::testkit::binaries::static_binary;
use crate::testkit::engine::Engine;

/// The exporter's path in containers.
pub(crate) const INSIDE: &str = "/pstree-exporter";

fn mount() -> String {
    format!("--volume={}:{INSIDE}:ro", static_binary())
}

#[test]
fn an_exporter_inside_a_container_exports_that_container() {
    let engine = Engine::shared();
    let id = engine.run_workload("web", &["--hostname=web-host", &mount()], &["fan", "3"]);
    let once = |more: &[&str]| {
        let exec = ["exec", "web", INSIDE, "--once", "--no-docker", "--log.level=error"];
        Exposition::parse(&engine.docker(&[&exec[..], more].concat()))
    };
    let metrics = once(&[]);
    let (info, _) = metrics.select("pstree_container_info", &[]).next().expect("one container");
    // The path that the container sees: this engine's containers share the host's cgroup namespace.
    let seen = engine.docker(&["exec", "web", "/bin/cat", "/proc/self/cgroup"]);
    assert_eq!(info["id"], format!("/docker/{id}"));
    assert!(seen.contains(&info["id"]));
    assert_eq!(info["name"], "web-host");
    // Init with three children, and the exporter, which was started by exec.
    assert_eq!(metrics.sum("pstree_container_processes", &[]), 5.0);
    assert_eq!(metrics.value("pstree_container_root_processes", &[("kind", "init")]), Some(1.0));
    assert_eq!(metrics.value("pstree_container_root_processes", &[("kind", "exec")]), Some(1.0));
    assert_eq!(metrics.value("pstree_source_partial", &[("reason", "pid_namespace")]), Some(1.0));
    assert_eq!(metrics.value("pstree_host_processes", &[]), None, "the host is unknown");
    assert_eq!(once(&["--container.name=shop"]).container_names(), ["shop"]);
}

#[test]
fn a_container_without_privileges_exports_all_others() {
    let engine = Engine::shared();
    engine.run_workload("web", &[], &["fan", "3"]);
    engine.run_workload("dead", &[], &["zombies", "4"]);
    let socket = engine.socket();
    let group = std::fs::metadata(&socket).expect("the socket").gid().to_string();
    // The flags that the README recommends.
    engine.run(
        "exporter",
        &[
            "--read-only",
            "--user=65534:65534",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "--pid=host",
            "--cgroupns=host",
            "--volume=/sys/fs/cgroup:/host/cgroup:ro",
            &mount(),
            &format!("--group-add={group}"),
            &format!("--volume={socket}:/var/run/docker.sock:ro"),
            "--",
            INSIDE,
            "--path.cgroupfs=/host/cgroup",
            "--collection.interval=200ms",
        ],
    );
    let once = || {
        let exec =
            ["exec", "exporter", INSIDE, "--once", "--log.level=error", "--path.cgroupfs=/host/cgroup"];
        let output = engine.command(&exec).output().expect("docker is installed");
        output.status.success().then(|| Exposition::parse(&String::from_utf8_lossy(&output.stdout)))
    };
    let metrics = wait_for("a first exposition", once);
    let value = |family: &str, name: &str| metrics.value(family, &[("name", name)]);
    assert_eq!(value("pstree_container_processes", "web"), Some(4.0));
    assert_eq!(value("pstree_container_zombie_processes", "dead"), Some(4.0));
    assert_eq!(value("pstree_container_pids_current", "web"), Some(4.0));
    assert_eq!(metrics.value("pstree_docker_up", &[]), Some(1.0));
    assert_eq!(
        metrics.value("pstree_collection_skipped_processes_total", &[("reason", "denied")]),
        Some(0.0)
    );
    // It cannot see the namespaces of other processes, so there is no sample instead of a wrong 0.
    assert_eq!(value("pstree_container_namespace_intruders", "web"), None);
}
