//! An exporter that sees only its own pid namespace exports the container that this namespace belongs to, not the
//! service that the exporter runs in.

use std::process::Command;

use crate::support::BINARY;
use crate::support::exposition::Exposition;
use crate::support::fixture::{CONTAINER_ID, Fixture, Process};

const HOST_CGROUP_NAMESPACE: u64 = 4_026_531_835;
const OWN_CGROUP_NAMESPACE: u64 = 7;

/// A pid namespace in a container.
struct Inside {
    fixture: Fixture,
    cgroup_namespace: u64,
    own_cgroup: String,
}

impl Inside {
    /// The cgroups are those of pid 1 and of the exporter. A third process is in a service below `root`.
    fn new(cgroup_namespace: u64, root: &str, init: &str, own: &str) -> Self {
        let fixture = Fixture::new();
        fixture.write("cgroup/cgroup.controllers", "pids\n");
        let inside = Self { fixture, cgroup_namespace, own_cgroup: own.to_owned() };
        inside.process(1, 0, init);
        inside.process(20, 1, &format!("{root}/system.slice/web.service"));
        // The limit of the exporter's service.
        inside.cgroup(own, 9, "50");
        inside
    }

    fn process(&self, pid: u32, parent: u32, cgroup: &str) {
        let cgroup = format!("0::{cgroup}\n");
        self.fixture.process(&Process { pid, parent, cgroup: &cgroup, ..Process::default() });
    }

    fn cgroup(&self, path: &str, current: u32, max: &str) {
        self.fixture.write(&format!("cgroup/{path}/pids.current"), format!("{current}\n"));
        self.fixture.write(&format!("cgroup/{path}/pids.max"), format!("{max}\n"));
    }

    /// The metrics of an exporter that finds itself in the fixture: a shell prepares its directory and becomes it.
    fn metrics(&self) -> Exposition {
        let script = format!(
            "set -e; cd \"$0\"; mkdir -p $$/ns; rm -f self; ln -s $$ self; ln -s 'pid:[8]' $$/ns/pid; \
             ln -s 'cgroup:[{}]' $$/ns/cgroup; echo '0::{}' >$$/cgroup; exec {BINARY} \"$@\"",
            self.cgroup_namespace, self.own_cgroup
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).arg(self.fixture.path("proc")).args(self.fixture.flags());
        command.args(["--once", "--no-docker", "--log.level=error", "--container.name=box"]);
        let output = command.output().expect("a shell");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Exposition::parse(&String::from_utf8(output.stdout).expect("text"))
    }
}

/// The id of the only forest, its tasks and its limit of pids.
fn only_forest(metrics: &Exposition) -> (String, Option<f64>, Option<f64>) {
    let ids: Vec<_> = metrics.select("pstree_container_info", &[]).map(|(labels, _)| &labels["id"]).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(metrics.value("pstree_container_processes", &[("name", "box")]), Some(2.0));
    let pids = |which| metrics.value(&format!("pstree_container_pids_{which}"), &[]);
    (ids[0].clone(), pids("current"), pids("limit"))
}

#[test]
fn in_a_cgroup_namespace_the_container_is_its_root() {
    for (init, own) in [
        ("/init.scope", "/system.slice/pstree-exporter.service"),
        ("/", "/"),
        // The entry point of Docker in Docker moves all processes, so that it can enable controllers.
        ("/init", "/init"),
    ] {
        let inside = Inside::new(OWN_CGROUP_NAMESPACE, "", init, own);
        inside.cgroup("", 32, "500");
        assert_eq!(only_forest(&inside.metrics()), ("/".into(), Some(32.0), Some(500.0)), "{init}");
    }
}

#[test]
fn without_a_cgroup_namespace_the_container_is_the_cgroup_of_pid_1() {
    for (init, own) in [
        ("/custom/box/init.scope", "/custom/box/system.slice/pstree-exporter.service"),
        ("/custom/box", "/custom/box/exec"),
        ("/custom/box", "/custom/box"),
    ] {
        let inside = Inside::new(HOST_CGROUP_NAMESPACE, "/custom/box", init, own);
        inside.cgroup("custom/box", 32, "500");
        assert_eq!(only_forest(&inside.metrics()), ("/custom/box".into(), Some(32.0), Some(500.0)), "{init}");
    }
    // WSL2: systemd is in the root cgroup, which has no pids controller.
    let inside =
        Inside::new(HOST_CGROUP_NAMESPACE, "", "/init.scope", "/system.slice/pstree-exporter.service");
    assert_eq!(only_forest(&inside.metrics()), ("/".into(), None, None));
}

#[test]
fn systemd_in_a_known_container_changes_nothing() {
    let root = format!("/docker/{CONTAINER_ID}");
    let own = format!("{root}/system.slice/pstree-exporter.service");
    let inside = Inside::new(HOST_CGROUP_NAMESPACE, &root, &format!("{root}/init.scope"), &own);
    inside.cgroup(&root, 32, "500");
    assert_eq!(only_forest(&inside.metrics()), (root, Some(32.0), Some(500.0)));
}

#[test]
fn tasks_of_containers_inside_are_not_those_of_the_container_around_them() {
    let inside =
        Inside::new(OWN_CGROUP_NAMESPACE, "", "/init.scope", "/system.slice/pstree-exporter.service");
    inside.cgroup("", 32, "500");
    let below = format!("/system.slice/docker-{CONTAINER_ID}.scope");
    inside.process(30, 1, &below);
    inside.cgroup(&below, 1, "100");
    let metrics = inside.metrics();
    let pids = |id, which| metrics.value(&format!("pstree_container_pids_{which}"), &[("id", id)]);
    assert_eq!((pids(&*below, "current"), pids(&*below, "limit")), (Some(1.0), Some(100.0)));
    // The kernel counts 32 tasks in both, and the forest around has two processes.
    assert_eq!((pids("/", "current"), pids("/", "limit")), (None, Some(500.0)));
}
