//! Less than the whole machine to be seen: the exporter says so, once, with the remedy.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use crate::support::exposition::Exposition;
use crate::support::workload::Workload;
use crate::support::{BINARY, Exporter};

/// Where everybody may run it: the build directory may be closed to other users.
pub fn public_binary() -> String {
    let directory = std::env::temp_dir().join(format!("pstree-public-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a scratch directory");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("our own directory");
    let path = directory.join("pstree-exporter");
    if !path.exists() {
        fs::copy(BINARY, &path).expect("the binary is built");
    }
    path.display().to_string()
}

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
fn row_20_hidepid() {
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
    assert_eq!(seen(&metrics), 1.0, "only itself");
    fs::remove_dir(mount).expect("the mount was private");
}

#[test]
fn row_20_a_pid_namespace_of_its_own() {
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
fn without_any_right_all_numbers_are_there() {
    let group = crate::groups::Group::make("a1");
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
fn root_is_told_that_it_is_not_needed() {
    let exporter = Exporter::start(&["--no-docker", "--collection.source=proc"]);
    let told = exporter.first_lines.iter().filter(|line| line.contains("running as root"));
    assert_eq!(told.count(), 1, "{:?}", exporter.first_lines);
}
