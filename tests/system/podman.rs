//! Podman containers with separate storage, and names from podman's API service.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{Exporter, wait_for, workload};
use crate::testkit::child::KillOnDrop;

struct Podman {
    directory: PathBuf,
    service: Option<KillOnDrop>,
}

impl Podman {
    fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("pstree-podman-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("image/bin")).expect("a scratch directory");
        let podman = Self { directory, service: None };
        std::fs::copy(workload::binary(), podman.directory.join("image/bin/workload"))
            .expect("it is compiled");
        let tar = podman.directory.join("image.tar");
        let packed = Command::new("tar")
            .arg("cf")
            .arg(&tar)
            .arg("-C")
            .arg(podman.directory.join("image"))
            .arg(".")
            .status();
        assert!(packed.expect("tar is installed").success());
        podman.run(&["import", "--quiet", &tar.display().to_string(), "localhost/pstree-test"]);
        podman
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let at = |name: &str| self.directory.join(name).display().to_string();
        let mut command = Command::new("podman");
        // The vfs driver and cgroupfs work on every machine; crun does not support hybrid cgroups.
        command
            .args([
                "--root",
                &at("root"),
                "--runroot",
                &at("run"),
                "--tmpdir",
                &at("tmp"),
                "--storage-driver=vfs",
            ])
            .args(["--cgroup-manager=cgroupfs", "--events-backend=file", "--runtime=runc"])
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("podman is installed");
        assert!(output.status.success(), "podman {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn serve(&mut self) -> String {
        let address = format!("unix://{}", self.directory.join("podman.sock").display());
        let service =
            self.command(&["system", "service", "--time=0", &address]).stderr(Stdio::null()).spawn();
        self.service = Some(KillOnDrop(service.expect("podman is installed")));
        wait_for("podman's socket", || self.directory.join("podman.sock").exists().then_some(()));
        address
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.command(&["rm", "--all", "--force", "--time=0"]).output();
        drop(self.service.take());
        let _ = self.command(&["rmi", "--all", "--force"]).output();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn podman_containers_have_their_names_and_forests() {
    let mut podman = Podman::new();
    // By default podman raises limits, which requires a capability that a machine may not have.
    let flags = [
        "run",
        "--detach",
        "--ulimit=nofile=1024:1024",
        "--ulimit=nproc=1024:1024",
        "--network=none",
        "--name=shop",
        "--label=com.docker.compose.service=db",
    ];
    let id = podman.run(&[&flags[..], &["localhost/pstree-test", "/bin/workload", "fan", "3"]].concat());
    let address = podman.serve();
    let exporter = Exporter::start(&[&format!("--docker.host={address}"), "--collection.interval=250ms"]);
    let metrics = exporter.scrape_until("the container", |metrics| {
        (metrics.value("pstree_container_processes", &[("name", "shop")]) == Some(4.0))
            .then(|| metrics.clone())
    });
    let (info, _) = metrics.select("pstree_container_info", &[]).next().expect("one container");
    assert_eq!((info["runtime"].as_str(), info["container_id"].as_str()), ("podman", id.as_str()));
    assert_eq!(info["compose_service"], "db");
    assert!(info["image"].contains("pstree-test"));
    assert_eq!(metrics.value("pstree_container_root_processes", &[("kind", "init")]), Some(1.0));
    assert_eq!(metrics.sum("pstree_container_root_processes", &[]), 1.0);
    assert_eq!(metrics.value("pstree_docker_up", &[]), Some(1.0));
    // conmon, the monitor, is not part of the container. Podman's events are also supported.
    podman.run(&["rename", "shop", "store"]);
    exporter.scrape_until("the new name", |metrics| (metrics.container_names() == ["store"]).then_some(()));
    let log = exporter.log_so_far();
    assert!(!log.iter().any(|line| line.contains("level=warn") && line.contains("docker=")), "{log:#?}");
}
