//! The exporter inside a container, with that container's own /proc and nothing else; and beside others, with
//! the least rights. Both run the static binary, which `make static` builds.

use std::os::unix::fs::MetadataExt as _;

use crate::engine::Engine;
use crate::support::exposition::Exposition;
use crate::support::wait_for;

/// Where the image has it.
pub const INSIDE: &str = "/pstree-exporter";

pub fn static_binary() -> String {
    std::env::var("PSTREE_STATIC_BINARY")
        .expect("PSTREE_STATIC_BINARY names the static binary: run make test")
}

fn mount() -> String {
    format!("--volume={}:{INSIDE}:ro", static_binary())
}

#[test]
fn from_the_inside_there_is_one_forest() {
    let engine = Engine::start();
    let id = engine.run_workload("web", &["--hostname=web-host", &mount()], &["fan", "3"]);
    let once = |more: &[&str]| {
        let exec = ["exec", "web", INSIDE, "--once", "--no-docker", "--log.level=error"];
        Exposition::parse(&engine.docker(&[&exec[..], more].concat()))
    };
    let metrics = once(&[]);
    let (info, _) = metrics.select("pstree_container_info", &[]).next().expect("one container");
    // As seen: this machine's containers share the cgroup namespace of the host.
    let seen = engine.docker(&["exec", "web", "/bin/cat", "/proc/self/cgroup"]);
    assert_eq!(info["id"], format!("/docker/{id}"));
    assert!(seen.contains(&info["id"]));
    assert_eq!(info["name"], "web-host");
    // Init with three children, and the exporter, which came in by exec.
    assert_eq!(metrics.sum("pstree_container_processes", &[]), 5.0);
    assert_eq!(metrics.value("pstree_container_root_processes", &[("kind", "init")]), Some(1.0));
    assert_eq!(metrics.value("pstree_container_root_processes", &[("kind", "exec")]), Some(1.0));
    assert_eq!(metrics.value("pstree_source_partial", &[("reason", "pid_namespace")]), Some(1.0));
    assert_eq!(metrics.value("pstree_host_processes", &[]), None, "nothing is known of the host");
    assert_eq!(once(&["--container.name=shop"]).container_names(), ["shop"]);
}

#[test]
fn in_a_container_with_the_least_rights_it_sees_all_others() {
    let engine = Engine::start();
    engine.run_workload("web", &[], &["fan", "3"]);
    engine.run_workload("dead", &[], &["zombies", "4"]);
    let socket = engine.address().trim_start_matches("unix://").to_owned();
    let group = std::fs::metadata(&socket).expect("the socket").gid().to_string();
    // What the README recommends.
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
    let metrics = wait_for("a first answer", once);
    let value = |family: &str, name: &str| metrics.value(family, &[("name", name)]);
    assert_eq!(value("pstree_container_processes", "web"), Some(4.0));
    assert_eq!(value("pstree_container_zombie_processes", "dead"), Some(4.0));
    assert_eq!(value("pstree_container_pids_current", "web"), Some(4.0));
    assert_eq!(metrics.value("pstree_docker_up", &[]), Some(1.0));
    assert_eq!(
        metrics.value("pstree_collection_skipped_processes_total", &[("reason", "denied")]),
        Some(0.0)
    );
    // Namespaces of others are hidden from it, so it says nothing about intruders rather than 0.
    assert_eq!(value("pstree_host_namespace_intruders", "web"), None);
}
