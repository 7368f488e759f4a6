//! An exporter in its own cgroup namespace, as container runtimes start it, exports what an exporter on the host does.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::exposition::Exposition;
use crate::support::workload::Workload;
use crate::support::{Exporter, wait_for};
use crate::testkit::binaries::public_binary;
use crate::testkit::cgroups::{ContainerCgroup, hierarchies};
use crate::testkit::scratch::Scratch;

/// What the container of the exporter has at `/sys/fs/cgroup`.
#[derive(Clone, Copy)]
enum OwnMount {
    /// Its own cgroups, as containers of Docker, containerd and Podman have.
    Cgroups,
    Nothing,
    /// Its own cgroups, and those of the host are nowhere.
    OnlyCgroups,
}

/// The user `nobody` with these additional capabilities, in the cgroup and in a cgroup namespace that begins there. The
/// cgroups of the host are at `host` in `scratch`.
fn in_own_namespace(
    group: &ContainerCgroup,
    scratch: &Scratch,
    mount: OwnMount,
    capabilities: &str,
) -> Command {
    let host = scratch.0.join("host");
    fs::create_dir_all(&host).expect("a scratch directory");
    let host = host.display();
    let mut mounts = format!("mount --rbind /sys/fs/cgroup {host}; mount -t tmpfs none /sys/fs/cgroup; ");
    if !matches!(mount, OwnMount::Nothing) {
        mounts += match Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            true => "mount -t cgroup2 none /sys/fs/cgroup; ",
            false => {
                "cd /sys/fs/cgroup; mkdir unified pids; mount -t cgroup2 none unified; \
                 mount -t cgroup -o pids none pids; "
            }
        };
    }
    let sets = ["inh", "ambient", "bounding"].map(|set| match set {
        "bounding" => format!("--{set}-set=-all{capabilities}"),
        _ => format!("--{set}-caps=-all{capabilities}"),
    });
    let rights = format!("setpriv --reuid=65534 --regid=65534 --clear-groups {}", sets.join(" "));
    let inside = format!("set -e; {mounts} exec {rights} {} \"$@\"", public_binary());
    let joins: String =
        group.directories().iter().map(|it| format!("echo $$ >{}/cgroup.procs; ", it.display())).collect();
    let mut command = Command::new("sh");
    let script = format!("set -e; {joins} exec unshare --cgroup --mount sh -c '{inside}' exporter \"$@\"");
    command.args(["-c", &script, "exporter"]).env_remove("DOCKER_HOST");
    command.args(["--no-docker", "--collection.interval=100ms"]);
    if !matches!(mount, OwnMount::OnlyCgroups) {
        command.arg(format!("--path.cgroupfs={host}"));
    }
    command
}

fn source<'a>(metrics: &'a Exposition, label: &str) -> &'a str {
    let (labels, _) = metrics.select("pstree_source_info", &[]).next().expect("always exported");
    &labels[label]
}

/// Starts a parent with two children in a container.
fn container_with_three(digits: &str) -> (ContainerCgroup, Workload) {
    let group = ContainerCgroup::new(digits);
    let forest = Workload::start(&["fan", "2"]);
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", forest.pid())).expect("it runs");
    group.add(forest.pid());
    for pid in children.split_whitespace() {
        group.add(pid.parse().expect("a pid"));
    }
    (group, forest)
}

#[test]
fn an_unprivileged_exporter_in_a_cgroup_namespace_exports_complete_paths() {
    let own = ContainerCgroup::new("e1");
    let (container, forest) = container_with_three("c1");
    // On cgroup v1, the kernel shows the path `/` for them in every namespace.
    let zombies = Workload::start(&["zombies", "3"]);
    for mount in [OwnMount::Cgroups, OwnMount::Nothing] {
        let scratch = Scratch::new("namespace");
        let exporter = Exporter::spawn(in_own_namespace(&own, &scratch, mount, ""));
        let metrics = exporter.scrape();
        assert_eq!((source(&metrics, "source"), source(&metrics, "paths")), ("proc", "resolved"));
        let value = |family: &str, group: &ContainerCgroup| metrics.value(family, &[("id", &group.id)]);
        assert_eq!(value("pstree_container_processes", &container), Some(3.0));
        assert_eq!(value("pstree_container_pids_current", &container), Some(3.0));
        assert_eq!(value("pstree_container_processes", &own), Some(1.0), "the exporter itself");
        assert_eq!(metrics.select("pstree_container_info", &[]).count(), 2);
    }
    drop((forest, zombies));
}

#[test]
fn an_exporter_that_sees_only_its_own_cgroups_says_what_it_lacks() {
    let own = ContainerCgroup::new("e6");
    let (container, forest) = container_with_three("c6");
    let scratch = Scratch::new("namespace");
    let command = in_own_namespace(&own, &scratch, OwnMount::OnlyCgroups, ",+bpf,+perfmon");
    let exporter = Exporter::spawn(command);
    let metrics = exporter.scrape();
    let of_source = |label| source(&metrics, label);
    assert_eq!(
        [of_source("source"), of_source("reason"), of_source("paths")],
        ["proc", "hierarchy", "relative"]
    );
    // The last part of the id only.
    let id = container.id.replace("/pstree-test", "");
    assert_eq!(metrics.value("pstree_container_processes", &[("id", &id)]), Some(3.0));
    assert_eq!(metrics.value("pstree_container_pids_current", &[("id", &id)]), None);
    let of_bpf = exporter.first_lines.iter().find(|line| line.contains("reading processes from /proc"));
    let of_paths = exporter.log_line("the label id lacks");
    for line in [of_bpf.expect("it says why"), &of_paths] {
        assert!(line.contains("level=warn") && line.contains("--path.cgroupfs"), "{line}");
        assert!(line.contains("--cgroupns=host"), "{line}");
    }
    drop(forest);
}

#[test]
fn two_capabilities_are_enough_for_bpf_in_a_cgroup_namespace() {
    let own = ContainerCgroup::new("e2");
    let (container, forest) = container_with_three("c2");
    let scratch = Scratch::new("namespace");
    let command = in_own_namespace(&own, &scratch, OwnMount::Cgroups, ",+bpf,+perfmon");
    let exporter = Exporter::spawn(command);
    let metrics = exporter.scrape();
    assert_eq!((source(&metrics, "source"), source(&metrics, "paths")), ("bpf", "resolved"));
    let label = [("id", container.id.as_str())];
    let forks = |metrics: &Exposition| metrics.value("pstree_container_forks_total", &label);
    exporter.scrape_until("the container", |metrics| forks(metrics).map(|_| ()));
    let before = forks(&exporter.fresh_scrape()).expect("BPF counts");
    // In the container, without leaving a process there.
    let joins: String = container
        .directories()
        .iter()
        .map(|it| format!("echo $$ >{}/cgroup.procs; ", it.display()))
        .collect();
    let status =
        Command::new("sh").args(["-c", &format!("{joins} for i in 1 2 3 4; do /bin/true; done")]).status();
    assert!(status.expect("sh runs").success());
    exporter.scrape_until("four forks", |metrics| (forks(metrics) == Some(before + 4.0)).then_some(()));
    drop(forest);
}

#[test]
fn an_exporter_that_is_moved_out_of_its_cgroup_shows_no_wrong_id() {
    let own = ContainerCgroup::new("e3");
    let (first, first_forest) = container_with_three("c3");
    let scratch = Scratch::new("namespace");
    let exporter = Exporter::spawn(in_own_namespace(&own, &scratch, OwnMount::Cgroups, ""));
    exporter.scrape();
    for hierarchy in hierarchies() {
        fs::write(hierarchy.join("cgroup.procs"), exporter.pid().to_string()).expect("root moves processes");
    }
    // Its cgroup is removed. The exporter notices within a minute that it was moved itself.
    let own_id = own.id.clone();
    drop(own);
    let (second, second_forest) = container_with_three("c4");
    let ids = [&first, &second].map(|group| group.id.clone());
    exporter.scrape_until("both containers", |metrics| {
        let found = metrics.select("pstree_container_info", &[]).map(|(labels, _)| labels["id"].clone());
        let others: Vec<String> = found.filter(|id| *id != own_id).collect();
        (others == ids).then_some(())
    });
    drop((first_forest, second_forest));
}

/// Only cgroup v1 allows to rename a cgroup; the default hierarchy has none of these paths.
#[test]
fn a_renamed_parent_of_the_own_cgroup_is_found_again() {
    let Some(pids) = hierarchies().into_iter().find(|it| it.ends_with("pids")) else {
        println!("this machine has no cgroup v1, in which cgroups can be renamed");
        return;
    };
    let own = ContainerCgroup::new("e5");
    let scratch = Scratch::new("namespace");
    let exporter = Exporter::spawn(in_own_namespace(&own, &scratch, OwnMount::Cgroups, ""));
    exporter.scrape();
    let (before, after) = (pids.join("pstree-test"), pids.join("pstree-renamed"));
    fs::rename(&before, &after).expect("cgroup v1 allows it");
    let (digits, forest) = (format!("{:0>64}", "c5"), Workload::start(&["fan", "0"]));
    let group = after.join(&digits);
    fs::create_dir(&group).expect("root may create cgroups");
    fs::write(group.join("cgroup.procs"), forest.pid().to_string()).expect("root moves processes");
    let id = format!("/pstree-renamed/{digits}");
    exporter.scrape_until("the new path", |metrics| {
        metrics.value("pstree_container_processes", &[("id", &id)]).map(|_| ())
    });
    drop((forest, exporter));
    wait_for("the cgroup is empty", || fs::remove_dir(&group).ok());
    fs::rename(&after, &before).expect("cgroup v1 allows it");
}
