//! Podman containers with separate storage, and names from podman's API service.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{Exporter, wait_for, workload};
use crate::testkit::cgroups::remove_cgroup;
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
        // By default podman raises limits, which requires a capability that a machine may not have.
        let config = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
        std::fs::write(podman.directory.join("containers.conf"), config).expect("a scratch file");
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
        command.env("CONTAINERS_CONF", at("containers.conf"));
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
        let _ = self.command(&["pod", "rm", "--all", "--force", "--time=0"]).output();
        let _ = self.command(&["rm", "--all", "--force", "--time=0"]).output();
        drop(self.service.take());
        let _ = self.command(&["rmi", "--all", "--force"]).output();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Podman's service answers slowly on a busy machine.
fn exporter(address: &str) -> Exporter {
    let host = format!("--docker.host={address}");
    Exporter::start(&[&host, "--collection.interval=250ms", "--debug.timeout-scale=10"])
}

#[test]
fn podman_containers_have_their_names_and_forests() {
    let mut podman = Podman::new();
    let flags = ["run", "--detach", "--network=none", "--name=shop", "--label=com.docker.compose.service=db"];
    let id = podman.run(&[&flags[..], &["localhost/pstree-test", "/bin/workload", "fan", "3"]].concat());
    let address = podman.serve();
    // With long timeouts, a name can only change because of an event, also on a busy machine.
    let exporter = exporter(&address);
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

/// The cgroup of a service of systemd, in every hierarchy. Removed when dropped.
struct Service {
    path: String,
    directories: Vec<PathBuf>,
}

impl Service {
    fn new() -> Self {
        let path = format!("/system.slice/pstree-web-{}.service", std::process::id());
        let mounts = std::fs::read_to_string("/proc/mounts").expect("procfs");
        let hierarchies = mounts.lines().filter_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
            [_, at, "cgroup" | "cgroup2", ..] if at.starts_with("/sys/fs/cgroup") => Some(at),
            _ => None,
        });
        let directories: Vec<PathBuf> = hierarchies.map(|at| PathBuf::from(at).join(&path[1..])).collect();
        for directory in &directories {
            std::fs::create_dir_all(directory).expect("root may create cgroups");
        }
        Self { path, directories }
    }

    /// Runs a command as a process of the service.
    fn run(&self, command: &Command) {
        let joins: String = self
            .directories
            .iter()
            .map(|it| format!("echo $$ >{}/cgroup.procs 2>/dev/null; ", it.display()))
            .collect();
        let mut inside = Command::new("sh");
        inside.args(["-c", &format!("{joins} exec \"$@\""), "sh"]).arg(command.get_program());
        inside.args(command.get_args());
        for (key, value) in command.get_envs() {
            inside.env(key, value.expect("a variable"));
        }
        let output = inside.output().expect("sh runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for directory in &self.directories {
            for below in ["runtime", "supervisor"] {
                let _ = std::fs::remove_dir(directory.join(below));
            }
            remove_cgroup(directory);
            // Unless other services have cgroups there.
            let _ = std::fs::remove_dir(directory.parent().expect("a parent"));
        }
    }
}

/// Quadlet starts `podman run --cgroups=split` in a service of systemd.
#[test]
fn a_container_in_the_cgroup_of_a_service_has_its_name() {
    let service = Service::new();
    let mut podman = Podman::new();
    let flags = ["run", "--detach", "--cgroups=split", "--network=none", "--name=shop"];
    let workload = ["localhost/pstree-test", "/bin/workload", "fan", "2"];
    service.run(&podman.command(&[&flags[..], &workload].concat()));
    let address = podman.serve();
    let exporter = exporter(&address);
    let metrics = exporter.scrape_until("the container", |metrics| {
        (metrics.value("pstree_container_processes", &[("name", "shop")]) == Some(3.0))
            .then(|| metrics.clone())
    });
    let (info, _) = metrics.select("pstree_container_info", &[]).next().expect("one container");
    let id = format!("{}/libpod-payload-{}", service.path, info["container_id"]);
    assert_eq!((&*info["id"], &*info["runtime"]), (&*id, "podman"));
    assert_eq!(metrics.container_names(), ["shop"], "conmon, in the same service, is no container");
    drop((exporter, podman));
}

#[test]
fn the_containers_of_a_podman_pod_are_containers_and_the_pod_is_not() {
    let mut podman = Podman::new();
    let infra = ["--infra-image=localhost/pstree-test", "--infra-command=/bin/workload fan 0"];
    podman.run(&[&["pod", "create", "--name=pod", "--network=none", "--share=uts"][..], &infra].concat());
    let run = ["run", "--detach", "--pod=pod", "--name=shop", "localhost/pstree-test"];
    podman.run(&[&run[..], &["/bin/workload", "fan", "2"]].concat());
    let address = podman.serve();
    let exporter = exporter(&address);
    let metrics = exporter.scrape_until("both containers", |metrics| {
        let names = metrics.container_names();
        (names.len() == 2 && names.iter().any(|name| name == "shop")).then(|| metrics.clone())
    });
    assert_eq!(metrics.value("pstree_container_processes", &[("name", "shop")]), Some(3.0));
    assert_eq!(metrics.sum("pstree_container_processes", &[]), 4.0, "with the infra container");
    for (info, _) in metrics.select("pstree_container_info", &[]) {
        assert!(info["id"].ends_with(&format!("/libpod-{}", info["container_id"])), "{info:?}");
        assert_eq!(info["runtime"], "podman");
    }
}
