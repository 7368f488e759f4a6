//! An exporter that cannot see the whole machine logs the reason and the fix once; one without any privilege exports
//! every number.

use std::fs;
use std::process::{Command, Output};

use crate::support::exposition::Exposition;
use crate::support::workload::Workload;
use crate::support::{BINARY, Exporter};
use crate::testkit::binaries::public_binary;
use crate::testkit::cgroups::ContainerCgroup;

fn run(command: &str, arguments: &[&str]) -> (Exposition, String) {
    let output: Output = Command::new(command).args(arguments).output().expect("util-linux is installed");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    (Exposition::parse(&String::from_utf8(output.stdout).expect("text")), stderr)
}

fn seen(metrics: &Exposition) -> f64 {
    metrics.sum("pstree_host_processes", &[]) + metrics.sum("pstree_container_processes", &[])
}

fn partial(metrics: &Exposition, reason: &str) -> Option<f64> {
    metrics.value("pstree_source_partial", &[("reason", reason)])
}

#[test]
fn hidepid_is_logged_with_the_fix() {
    let mount = std::env::temp_dir().join(format!("pstree-hidepid-{}", std::process::id()));
    fs::create_dir_all(&mount).expect("a scratch directory");
    let script = format!(
        "mount -t proc -o hidepid=2 proc {0} && exec setpriv --reuid=65534 --regid=65534 --clear-groups {1} --once --no-docker --path.procfs={0}",
        mount.display(),
        public_binary()
    );
    let (metrics, log) = run("unshare", &["--mount", "sh", "-c", &script]);
    assert_eq!(partial(&metrics, "hidepid"), Some(1.0));
    assert_eq!(
        log.lines().filter(|line| line.contains("hidepid") && line.contains("CAP_SYS_PTRACE")).count(),
        1,
        "{log}"
    );
    assert_eq!(seen(&metrics), 1.0, "only itself is visible");
    fs::remove_dir(mount).expect("the mount was private");
}

#[test]
fn a_pid_namespace_of_its_own_is_logged_with_the_fix() {
    let (metrics, log) =
        run("unshare", &["--pid", "--fork", "--mount-proc", BINARY, "--once", "--no-docker"]);
    assert_eq!(partial(&metrics, "pid_namespace"), Some(1.0));
    assert_eq!(
        log.lines().filter(|line| line.contains("--pid=host") && line.contains("--path.procfs")).count(),
        1,
        "{log}"
    );
    assert_eq!(metrics.value("pstree_container_processes", &[]), Some(1.0));
}

#[test]
fn an_exporter_without_privileges_exports_the_same_numbers_as_root() {
    let group = ContainerCgroup::new("a1");
    let forest = Workload::start(&["zombies", "3"]);
    group.add(forest.pid());
    let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];
    let binary = public_binary();
    let (metrics, _) = run("setpriv", &[&as_nobody[..], &[&binary, "--once", "--no-docker"]].concat());
    let (as_root, _) = run(BINARY, &["--once", "--no-docker"]);
    let label = [("id", group.id.as_str())];
    for family in ["pstree_container_processes", "pstree_container_threads", "pstree_container_pids_current"]
    {
        assert_eq!(metrics.value(family, &label), as_root.value(family, &label), "{family}");
        assert!(metrics.value(family, &label).is_some(), "{family}");
    }
    assert_eq!(partial(&metrics, "hidepid"), Some(0.0));
    assert_eq!(
        metrics.value("pstree_collection_skipped_processes_total", &[("reason", "denied")]),
        Some(0.0)
    );
    drop(forest);
}

#[test]
fn running_as_root_without_need_is_logged_once() {
    let exporter = Exporter::start(&["--no-docker", "--collection.source=proc"]);
    let lines = exporter.first_lines.iter().filter(|line| line.contains("running as root"));
    assert_eq!(lines.count(), 1, "{:?}", exporter.first_lines);
}
