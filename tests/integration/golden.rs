//! Compares the exposition of the real binary on fixtures made of files, byte for byte, in both formats.
//!
//! After an intentional change: `UPDATE_GOLDEN=1 cargo test --test integration golden`, then review the difference.

use std::fs;
use std::path::Path;

use crate::support::exposition::Exposition;
use crate::support::fixture::{Fixture, Process};

const WEB: &str = "b43d92bf1e5c6f78bb9b7bc6f40721280299855ba692092716e3a1b6c0b86f3f";
const DATABASE: &str = "473a28bd49fcbf3a24eb55563125720311181ee184ae9b88fc9a3fbb30031e47";
const POD: &str = "ea19ff5d_943a_4466_a07e_a71e9e50cc62";
const KERNEL_THREAD: u64 = 0x0020_8040;

/// Families whose samples differ between runs. The samples are removed, and the headers stay in the golden file.
const VOLATILE: [&str; 6] = [
    "pstree_build_info",
    "pstree_collector_duration_seconds",
    "pstree_collector_last_success_timestamp_seconds",
    "pstree_last_collection_timestamp_seconds",
    "pstree_container_oldest_zombie_timestamp_seconds",
    "process_",
];

/// A machine with an init, a kernel thread and a shell in no container.
fn machine(root_cgroup: &str) -> Fixture {
    let fixture = Fixture::new();
    fixture.process(&Process { cgroup: root_cgroup, comm: b"systemd", ..Process::default() });
    fixture.process(&Process {
        pid: 2,
        comm: b"kthreadd",
        flags: KERNEL_THREAD,
        start: 0,
        cgroup: root_cgroup,
        ..Process::default()
    });
    fixture.process(&Process {
        pid: 50,
        parent: 1,
        comm: b"containerd-shim",
        threads: 11,
        start: 200,
        cgroup: root_cgroup,
        ..Process::default()
    });
    fixture
}

/// nginx with two workers, and a shell from `docker exec` whose child is not reaped.
fn web_server(fixture: &Fixture, cgroup: &str, zombie_cgroup: &str) {
    let of = |pid, parent, comm, start, inner_pids| Process {
        pid,
        parent,
        comm,
        start,
        inner_pids,
        cgroup,
        ..Process::default()
    };
    fixture.process(&of(100, 50, &b"nginx"[..], 300, "100\t1"));
    fixture.process(&of(101, 100, b"nginx", 310, "101\t7"));
    fixture.process(&Process { threads: 4, state: 'R', ..of(102, 100, b"nginx", 310, "102\t8") });
    fixture.process(&of(110, 50, b"sh", 5000, "110\t20"));
    fixture.process(&Process { state: 'Z', cgroup: zombie_cgroup, ..of(111, 110, b"curl", 5100, "111\t21") });
}

fn check(name: &str, fixture: &Fixture) {
    let exporter = fixture.exporter(&["--no-docker", "--collection.source=proc", "--collection.interval=1h"]);
    let text = exporter.scrape().text;
    let openmetrics =
        exporter.get("/metrics", &[("Accept", "application/openmetrics-text; version=1.0.0")]).text();
    assert_sums_match(&Exposition::parse(&text));
    compare(&format!("{name}.prom"), &stable(&text));
    compare(&format!("{name}.om"), &stable(&openmetrics));
}

fn stable(text: &str) -> String {
    let is_stable = |line: &&str| !VOLATILE.iter().any(|volatile| line.starts_with(volatile));
    text.lines().filter(is_stable).map(|line| format!("{line}\n")).collect()
}

fn compare(file: &str, got: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, got).expect("the golden file can be written");
        return;
    }
    let wanted = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for (number, (got, wanted)) in got.lines().zip(wanted.lines()).enumerate() {
        assert_eq!(got, wanted, "{file}, line {}", number + 1);
    }
    assert_eq!(got.lines().count(), wanted.lines().count(), "{file} has another length");
}

fn assert_sums_match(metrics: &Exposition) {
    for (labels, processes) in metrics.select("pstree_container_processes", &[]) {
        let id = &[("id", labels["id"].as_str())][..];
        for family in [
            "pstree_container_processes_by_state",
            "pstree_container_processes_by_depth",
            "pstree_container_tree_node_processes",
        ] {
            assert_eq!(metrics.sum(family, id), processes, "{family} of {id:?}");
        }
        let zombies = metrics.value("pstree_container_zombie_processes", id).unwrap();
        assert_eq!(metrics.sum("pstree_container_tree_node_zombies", id), zombies);
        assert_eq!(metrics.sum("pstree_container_zombie_processes_by_parent", id), zombies);
    }
}

#[test]
fn cgroup_v1() {
    let fixture = machine("8:pids:/\n1:name=systemd:/init.scope\n");
    web_server(
        &fixture,
        &format!("8:pids:/docker/{WEB}\n1:name=systemd:/docker/{WEB}\n"),
        "8:pids:/\n1:name=systemd:/\n",
    );
    fixture.write("cgroup/pids/pids.max", "max\n");
    fixture.write("cgroup/pids/docker/pids.max", "500\n");
    fixture.write("cgroup/pids/docker/pids.current", "480\n");
    let files = format!("cgroup/pids/docker/{WEB}");
    fixture.write(&format!("{files}/pids.current"), "8\n");
    fixture.write(&format!("{files}/pids.max"), "1000\n");
    fixture.write(&format!("{files}/pids.events"), "max 3\n");
    fixture.write(&format!("cgroup/freezer/docker/{WEB}/freezer.state"), "FROZEN\n");
    check("v1", &fixture);
}

#[test]
fn cgroup_v2() {
    let fixture = machine("0::/init.scope\n");
    let cgroup = format!("0::/system.slice/docker-{WEB}.scope\n");
    web_server(&fixture, &cgroup, &format!("0::/system.slice/docker-{WEB}.scope (deleted)\n"));
    fixture.write("cgroup/cgroup.controllers", "cpu memory pids\n");
    fixture.write("cgroup/system.slice/pids.max", "max\n");
    let files = format!("cgroup/system.slice/docker-{WEB}.scope");
    fixture.write(&format!("{files}/pids.current"), "8\n");
    fixture.write(&format!("{files}/pids.max"), "max\n");
    fixture.write(&format!("{files}/pids.peak"), "12\n");
    fixture.write(&format!("{files}/pids.events"), "max 0\n");
    fixture.write(&format!("{files}/cgroup.events"), "populated 1\nfrozen 0\n");
    check("v2", &fixture);
}

#[test]
fn hybrid() {
    let fixture = machine("8:pids:/\n0::/\n");
    let cgroup = format!("8:pids:/docker/{WEB}\n0::/docker/{WEB}\n");
    web_server(&fixture, &cgroup, &format!("8:pids:/\n0::/docker/{WEB}\n"));
    // A process of the host in the container's pid namespace, as with `nsenter -p`.
    fixture.process(&Process {
        pid: 120,
        parent: 1,
        comm: b"bash",
        start: 900,
        cgroup: "8:pids:/\n0::/\n",
        ..Process::default()
    });
    fixture.namespace(100, 4_026_532_500).namespace(120, 4_026_532_500).namespace(1, 4_026_531_836);
    check("hybrid", &fixture);
}

#[test]
fn kubernetes() {
    let fixture = machine("0::/init.scope\n");
    let slice = format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD}.slice");
    let pause = format!("0::{slice}/cri-containerd-{DATABASE}.scope\n");
    fixture.process(&Process {
        pid: 90,
        parent: 50,
        comm: b"pause",
        start: 250,
        cgroup: &pause,
        inner_pids: "90\t1",
        ..Process::default()
    });
    let cgroup = format!("0::{slice}/cri-containerd-{WEB}.scope\n");
    web_server(&fixture, &cgroup, &cgroup);
    fixture.write("cgroup/cgroup.controllers", "cpu memory pids\n");
    for (path, current, max) in [("", 9, "20"), (&format!("/cri-containerd-{WEB}.scope"), 8, "max")] {
        fixture.write(&format!("cgroup{slice}{path}/pids.current"), format!("{current}\n"));
        fixture.write(&format!("cgroup{slice}{path}/pids.max"), format!("{max}\n"));
        fixture.write(&format!("cgroup{slice}{path}/pids.peak"), "15\n");
        fixture.write(&format!("cgroup{slice}{path}/pids.events"), "max 0\n");
        fixture.write(&format!("cgroup{slice}{path}/pids.events.local"), "max 0\n");
    }
    check("kubernetes", &fixture);
}

#[test]
fn podman_lxc_and_nspawn() {
    let fixture = machine("0::/init.scope\n");
    let rootless =
        format!("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{WEB}.scope/container\n");
    web_server(&fixture, &rootless, &rootless);
    let monitor =
        format!("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-conmon-{WEB}.scope\n");
    fixture.process(&Process {
        pid: 99,
        parent: 1,
        comm: b"conmon",
        start: 290,
        cgroup: &monitor,
        ..Process::default()
    });
    fixture.process(&Process {
        pid: 200,
        parent: 1,
        comm: b"systemd",
        start: 400,
        cgroup: "0::/lxc.payload.mail/init.scope\n",
        inner_pids: "200\t1",
        ..Process::default()
    });
    fixture.process(&Process {
        pid: 300,
        parent: 1,
        comm: b"systemd",
        start: 400,
        cgroup: "0::/machine.slice/systemd-nspawn@my\\x2ddb.service/payload\n",
        inner_pids: "300\t1",
        ..Process::default()
    });
    check("podman", &fixture);
}

#[test]
fn inconsistent_processes() {
    let fixture = machine("0::/\n");
    let cgroup = format!("0::/docker/{WEB}\n");
    let of = |pid, parent, start| Process {
        pid,
        parent,
        start,
        comm: b"worker",
        cgroup: &cgroup,
        ..Process::default()
    };
    fixture.process(&of(100, 50, 300));
    // A missing parent, a cycle, and a process that is its own parent.
    fixture.process(&of(101, 9999, 310));
    fixture.process(&of(102, 103, 320)).process(&of(103, 102, 320)).process(&of(104, 104, 330));
    // The parent's pid was reused by a process that is younger than the child.
    fixture.process(&of(105, 106, 340)).process(&of(106, 100, 350));
    // Malformed, empty and truncated files. faults.rs tests a denied process, because plain files cannot deny access to
    // root.
    for (pid, stat) in [(110, &b"garbage"[..]), (111, b""), (112, b"112 (worker) S 100 1 1 0 -1")] {
        fixture.process(&of(pid, 100, 360));
        fixture.write(&format!("proc/{pid}/stat"), stat);
    }
    // Exited between listing and reading: no stat, or no cgroup.
    fixture.process(&of(120, 100, 360)).process(&of(121, 100, 360));
    fixture.remove("proc/120/stat");
    fixture.remove("proc/121/cgroup");
    check("torn", &fixture);
}

#[test]
fn hostile_names() {
    let fixture = machine("0::/\n");
    let cgroup = format!("0::/docker/{WEB}\n");
    fixture.process(&Process {
        pid: 100,
        parent: 50,
        comm: b"init",
        start: 300,
        cgroup: &cgroup,
        inner_pids: "100\t1",
        ..Process::default()
    });
    let names: [&[u8]; 9] = [
        b") R 1 1",
        b"a\nb",
        b"\xff\xfe",
        b"",
        b"\"}\\",
        b"\x1b[2J\x07",
        "\u{202e}evil".as_bytes(),
        b"a;b",
        b"other",
    ];
    for (pid, comm) in (101..).zip(names) {
        fixture.process(&Process {
            pid,
            parent: 100,
            comm,
            start: 310,
            cgroup: &cgroup,
            ..Process::default()
        });
    }
    // Commands with the same text are one node, and a cgroup that a container created does not count as another
    // container.
    let nested = format!("0::/docker/{WEB}/docker-{DATABASE}.scope\n");
    fixture.process(&Process {
        pid: 120,
        parent: 100,
        comm: b"a:b",
        start: 320,
        cgroup: &nested,
        ..Process::default()
    });
    check("hostile", &fixture);
}
