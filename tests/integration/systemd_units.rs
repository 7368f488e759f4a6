//! `--forests.units`: services and scopes of systemd are forests of their own, and the numbers of the host stay the same.

use std::collections::BTreeMap;
use std::process::Command;

use crate::support::BINARY;
use crate::support::exposition::Exposition;
use crate::support::fixture::{CONTAINER_ID, Fixture, Process};

const NGINX: &str = "/system.slice/nginx.service";
const RUNTIME: &str = "/system.slice/containerd.service";
const QUADLET: &str = "/system.slice/shop.service";
const USER: &str = "/user.slice/user-1000.slice";
const FLAGS: [&str; 2] = ["--no-docker", "--collection.interval=100ms"];
const UNITS: [&str; 3] = [FLAGS[0], FLAGS[1], "--forests.units"];

fn process(fixture: &Fixture, pid: u32, parent: u32, cgroup: &str) {
    let cgroup = format!("0::{cgroup}\n");
    fixture.process(&Process { pid, parent, start: u64::from(pid), cgroup: &cgroup, ..Process::default() });
}

/// A machine with services, a session, a user manager, and two containers.
fn machine() -> Fixture {
    let fixture = Fixture::new();
    fixture.process(&Process { start: 1, ..Process::default() });
    fixture.process(&Process {
        pid: 2,
        parent: 0,
        flags: 0x0020_8040,
        cgroup: "0::/\n",
        ..Process::default()
    });
    process(&fixture, 3, 1, "/system.slice");
    for (pid, parent) in [(100, 1), (101, 100), (102, 100)] {
        process(&fixture, pid, parent, NGINX);
    }
    process(&fixture, 103, 102, &format!("{NGINX}/delegated.scope"));
    for (pid, parent, below) in [
        (200, 1, "user@1000.service/init.scope"),
        (201, 200, "user@1000.service/app.slice/editor.service"),
        (300, 100, "session-3.scope"),
        (301, 300, "session-3.scope"),
    ] {
        process(&fixture, pid, parent, &format!("{USER}/{below}"));
    }
    for (pid, parent) in [(400, 1), (401, 1)] {
        process(&fixture, pid, parent, RUNTIME);
    }
    process(&fixture, 402, 401, &format!("/system.slice/docker-{CONTAINER_ID}.scope"));
    process(&fixture, 500, 1, &format!("{QUADLET}/supervisor"));
    process(&fixture, 501, 500, &format!("{QUADLET}/libpod-payload-{CONTAINER_ID}"));
    fixture
}

/// Processes by id.
fn forests(metrics: &Exposition, runtime: &str) -> BTreeMap<String, (String, f64)> {
    let infos =
        metrics.select("pstree_container_info", &[]).filter(|(labels, _)| labels["runtime"] == runtime);
    infos
        .map(|(labels, _)| {
            let id = &labels["id"];
            let count = metrics.value("pstree_container_processes", &[("id", id)]).expect("a number");
            (id.clone(), (labels["name"].clone(), count))
        })
        .collect()
}

fn host(metrics: &Exposition) -> Vec<(String, f64)> {
    let samples = metrics.samples.iter().filter(|(name, ..)| name.starts_with("pstree_host_"));
    samples.map(|(name, _, value)| (name.clone(), *value)).collect()
}

#[test]
fn units_are_forests_and_the_host_and_containers_stay_the_same() {
    let fixture = machine();
    let without = fixture.exporter(&FLAGS).scrape();
    let with = fixture.exporter(&UNITS).scrape();
    assert!(forests(&without, "systemd").is_empty());
    let expected = [
        (NGINX.to_owned(), "nginx.service", 4.0),
        (RUNTIME.to_owned(), "containerd.service", 2.0),
        (QUADLET.to_owned(), "shop.service", 1.0),
        (format!("{USER}/user@1000.service"), "user@1000.service", 1.0),
        (format!("{USER}/user@1000.service/app.slice/editor.service"), "editor.service", 1.0),
        (format!("{USER}/session-3.scope"), "session-3.scope", 2.0),
    ];
    let expected = expected.map(|(id, name, count)| (id, (name.to_owned(), count)));
    assert_eq!(forests(&with, "systemd"), BTreeMap::from(expected));
    assert_eq!(with.value("pstree_containers", &[("runtime", "systemd")]), Some(6.0));
    for runtime in ["docker", "podman"] {
        assert_eq!(forests(&with, runtime).len(), 1, "{runtime}");
        assert_eq!(forests(&with, runtime), forests(&without, runtime));
    }
    assert_eq!(host(&with), host(&without));
    // All but the two processes in containers. The longest path is systemd, nginx, and the session.
    assert_eq!(with.value("pstree_host_processes", &[]), Some(14.0));
    assert_eq!(with.value("pstree_host_tree_depth", &[]), Some(4.0));
    assert_eq!(with.value("pstree_container_tree_depth", &[("name", "nginx.service")]), Some(3.0));
}

#[test]
fn the_oldest_root_of_a_unit_is_its_init_and_no_other_was_started_by_exec() {
    let metrics = machine().exporter(&UNITS).scrape();
    let roots = |name, kind| {
        metrics.value("pstree_container_root_processes", &[("name", name), ("kind", kind)]).unwrap_or(0.0)
    };
    for (name, adopted) in [("nginx.service", 0.0), ("containerd.service", 1.0), ("session-3.scope", 0.0)] {
        assert_eq!((roots(name, "init"), roots(name, "adopted")), (1.0, adopted), "{name}");
        assert_eq!(roots(name, "exec"), 0.0, "{name}");
    }
}

#[test]
fn a_process_that_moves_from_a_unit_to_a_container_is_found_there() {
    let fixture = machine();
    let exporter = fixture.exporter(&UNITS);
    let count = |metrics: &Exposition, id| metrics.value("pstree_container_processes", &[("id", id)]);
    let container = format!("/system.slice/docker-{CONTAINER_ID}.scope");
    // The first process of a container starts in the unit of its runtime.
    process(&fixture, 403, 401, RUNTIME);
    exporter.scrape_until("it starts", |metrics| (count(metrics, RUNTIME) == Some(3.0)).then_some(()));
    process(&fixture, 403, 401, &container);
    let after = exporter.fresh_scrape();
    assert_eq!((count(&after, &container), count(&after, RUNTIME)), (Some(2.0), Some(2.0)));
    assert_eq!(after.value("pstree_host_processes", &[]), Some(14.0));
}

#[test]
fn a_zombie_of_a_unit_stays_in_it_on_cgroup_v1() {
    let fixture = Fixture::new();
    let cgroup = format!("8:pids:{NGINX}\n1:name=systemd:{NGINX}\n");
    fixture.process(&Process { cgroup: "8:pids:/\n1:name=systemd:/init.scope\n", ..Process::default() });
    let worker = Process { pid: 11, parent: 10, start: 300, cgroup: &cgroup, ..Process::default() };
    fixture.process(&Process { pid: 10, parent: 1, start: 200, ..worker.clone() });
    fixture.process(&worker);
    let exporter = fixture.exporter(&UNITS);
    let zombies = |metrics: &Exposition| metrics.sum("pstree_container_zombie_processes", &[("id", NGINX)]);
    exporter.scrape_until("it lives", |metrics| {
        (metrics.sum("pstree_container_processes", &[("id", NGINX)]) == 2.0).then_some(())
    });
    // The kernel shows the root for each line of a zombie.
    fixture.process(&Process { state: 'Z', cgroup: "8:pids:/\n1:name=systemd:/\n", ..worker });
    exporter.scrape_until("it is a zombie", |metrics| (zombies(metrics) == 1.0).then_some(()));
    for _ in 0..3 {
        let metrics = exporter.fresh_scrape();
        assert_eq!((zombies(&metrics), metrics.value("pstree_host_zombie_processes", &[])), (1.0, Some(1.0)));
    }
}

#[test]
fn a_process_of_a_unit_in_the_pid_namespace_of_a_container_is_foreign_there() {
    let fixture = machine();
    let cgroup = format!("0::/system.slice/docker-{CONTAINER_ID}.scope\n");
    let init = Process { pid: 402, parent: 401, start: 402, cgroup: &cgroup, ..Process::default() };
    fixture.process(&Process { inner_pids: "402\t1", ..init });
    // `nsenter -p` in a session, whose shell is pid 1 of a namespace of its own.
    let session = format!("0::{USER}/session-3.scope\n");
    let shell = Process { pid: 300, parent: 100, start: 300, cgroup: &session, ..Process::default() };
    fixture.process(&Process { inner_pids: "300\t1", ..shell });
    fixture.namespace(402, 7).namespace(301, 7).namespace(300, 8);
    for flags in [&FLAGS[..], &UNITS] {
        let metrics = fixture.exporter(flags).scrape();
        let foreign: Vec<(&str, f64)> = metrics
            .select("pstree_container_namespace_intruders", &[])
            .map(|(labels, count)| (&*labels["id"], count))
            .collect();
        assert_eq!(foreign, [(cgroup.trim_start_matches("0::").trim_end(), 1.0)], "{flags:?}");
    }
}

#[test]
fn containers_take_precedence_over_units_within_the_limit() {
    let fixture = machine();
    let metrics = fixture.exporter(&[&UNITS[..], &["--bounds.containers=2"]].concat()).scrape();
    let ids: Vec<&str> =
        metrics.select("pstree_container_processes", &[]).map(|(labels, _)| &*labels["id"]).collect();
    let containers = [
        format!("/system.slice/docker-{CONTAINER_ID}.scope"),
        format!("{QUADLET}/libpod-payload-{CONTAINER_ID}"),
    ];
    assert_eq!(ids, [&*containers[0], &*containers[1], "other"]);
    assert_eq!(metrics.value("pstree_container_processes", &[("id", "other")]), Some(11.0));
}

#[test]
fn a_unit_that_contains_other_forests_has_no_count_of_tasks() {
    let fixture = machine();
    fixture.write("cgroup/cgroup.controllers", "pids\n");
    for unit in [NGINX, QUADLET, &format!("{USER}/user@1000.service")] {
        fixture.write(&format!("cgroup{unit}/pids.current"), "7\n");
        fixture.write(&format!("cgroup{unit}/pids.max"), "100\n");
    }
    let metrics = fixture.exporter(&UNITS).scrape();
    let pids = |name, which| metrics.value(&format!("pstree_container_pids_{which}"), &[("name", name)]);
    assert_eq!((pids("nginx.service", "current"), pids("nginx.service", "limit")), (Some(7.0), Some(100.0)));
    // The kernel also counts the tasks of the container, and of the units of the user.
    for name in ["shop.service", "user@1000.service"] {
        assert_eq!((pids(name, "current"), pids(name, "limit")), (None, Some(100.0)), "{name}");
    }
}

#[test]
fn trees_show_units_by_name_and_the_host_as_before() {
    let fixture = machine();
    let tree = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.arg("tree").args(fixture.flags()).arg("--no-docker").args(arguments);
        let output = command.output().expect("it runs");
        (output.status.success(), String::from_utf8(output.stdout).expect("text"))
    };
    let (_, nginx) = tree(&["nginx.service", "--forests.units", "--no-fold"]);
    assert!(nginx.starts_with("nginx.service: 4 processes") && nginx.contains("systemd"), "{nginx}");
    let pids = nginx.lines().skip(2).map(|line| line.split_whitespace().next().unwrap_or_default());
    assert_eq!(pids.collect::<Vec<_>>(), ["100", "101", "102", "103"]);
    assert!(!tree(&["nginx.service"]).0, "without the flag");

    let host = |more: &[&str]| {
        let (_, text) = tree(&[&["--host", "--no-fold"], more].concat());
        text[text.find("host: ").expect("the host")..].to_owned()
    };
    assert_eq!(host(&["--forests.units"]), host(&[]));
}
