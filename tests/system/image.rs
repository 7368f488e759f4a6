//! The image of `deploy/Dockerfile`, built and run on a real engine with the flags from the README.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::exposition::Exposition;
use crate::support::wait_for;
use crate::testkit::binaries::static_binary;
use crate::testkit::engine::Engine;

const TAG: &str = "pstree-exporter";

fn build(engine: &Engine) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/image/build");
    let output = Command::new(script)
        .args([static_binary().as_str(), TAG])
        .env("DOCKER_HOST", engine.address())
        .output()
        .expect("the script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The arguments of the README's command that contains `must_have`, without `docker run -d` and without the published
/// port, which this engine has no network for. The path of Docker's socket is this engine's.
fn readme_flags(engine: &Engine, must_have: &str) -> Vec<String> {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    let blocks = readme.split("```").filter(|block| block.contains("docker run -d --name pstree-exporter"));
    let block =
        blocks.into_iter().find(|block| block.contains(must_have)).expect("the README has the command");
    let command = block.split("docker run -d").nth(1).expect("just found").replace("\\\n", " ");
    let socket = engine.socket();
    let group = "\"$(stat -c %g /var/run/docker.sock)\"";
    let of_socket = fs::metadata(&socket).expect("the engine has a socket").gid().to_string();
    let command = command.replace(group, &of_socket).replace("--publish 10073:10073", "--network none");
    let command = command.replace("/var/run/docker.sock:/var", &format!("{socket}:/var"));
    command.split_whitespace().map(str::to_owned).collect()
}

fn run(engine: &Engine, flags: &[String], before: &[&str]) {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    engine.docker(&[&["run", "-d", "--health-interval=1s"], before, &flags].concat());
}

/// A scrape in its own network namespace, where the port is free.
fn scrape(engine: &Engine) -> Option<Exposition> {
    let pid = engine.pid("pstree-exporter").to_string();
    let output = Command::new("nsenter")
        .args(["--net", "--target", &pid, "curl", "--silent", "--fail", "http://127.0.0.1:10073/metrics"])
        .output()
        .expect("nsenter and curl are installed");
    output.status.success().then(|| Exposition::parse(&String::from_utf8(output.stdout).expect("text")))
}

fn status_of(pid: u32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(key)).expect("the kernel reports it");
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_image_is_small_has_labels_and_runs_without_privileges() {
    let engine = Engine::shared();
    build(&engine);
    let inspect = |format: &str| engine.docker(&["image", "inspect", "--format", format, TAG]);
    let size: u64 = inspect("{{.Size}}").parse().expect("bytes");
    println!("the image has {size} bytes");
    assert!(size <= 10 << 20, "{size} bytes");
    let label =
        |name: &str| inspect(&format!("{{{{index .Config.Labels \"org.opencontainers.image.{name}\"}}}}"));
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("revision"), "0123456789ab");
    assert!(label("licenses").starts_with("Apache-2.0"));
    assert_eq!(inspect("{{.Config.User}}"), "65534:65534");

    engine.run_workload("web", &["--label=com.docker.compose.service=front"], &["fan", "3"]);
    run(&engine, &readme_flags(&engine, "--user 65534:65534"), &[]);
    let metrics = wait_for("the container and its name", || {
        scrape(&engine).filter(|it| it.value("pstree_container_processes", &[("name", "web")]) == Some(4.0))
    });
    let (info, _) = metrics.select("pstree_container_info", &[("name", "web")]).next().expect("its name");
    assert!(info["id"].starts_with("/docker/"), "spelled as cAdvisor spells it: {}", info["id"]);
    assert_eq!(metrics.value("pstree_container_pids_current", &[("name", "web")]), Some(4.0));
    assert_eq!(
        metrics.value("pstree_container_root_processes", &[("name", "web"), ("kind", "init")]),
        Some(1.0)
    );
    assert!(metrics.select("pstree_build_info", &[("version", env!("CARGO_PKG_VERSION"))]).next().is_some());

    let pid = engine.pid("pstree-exporter");
    assert_eq!(status_of(pid, "Uid:"), "65534 65534 65534 65534");
    assert_eq!(status_of(pid, "CapEff:"), "0000000000000000");
    assert_eq!(status_of(pid, "CapBnd:"), "0000000000000000");
    assert_eq!(status_of(pid, "NoNewPrivs:"), "1");
    let health = || engine.docker(&["inspect", "--format={{.State.Health.Status}}", "pstree-exporter"]);
    wait_for("the engine reports it as healthy", || (health() == "healthy").then_some(()));
    // It stops on SIGTERM: 137 would be the SIGKILL that follows.
    engine.docker(&["stop", "--time=60", "pstree-exporter"]);
    assert_eq!(engine.docker(&["inspect", "--format={{.State.ExitCode}}", "pstree-exporter"]), "0");
}

#[test]
fn the_health_check_detects_an_exporter_that_hangs() {
    let engine = Engine::shared();
    build(&engine);
    run(
        &engine,
        &readme_flags(&engine, "--user 65534:65534"),
        &["--health-retries=1", "--health-timeout=2s"],
    );
    let health = || engine.docker(&["inspect", "--format={{.State.Health.Status}}", "pstree-exporter"]);
    wait_for("it is healthy", || (health() == "healthy").then_some(()));
    let pid = engine.pid("pstree-exporter");
    let pid = Pid::from_raw(pid as i32).expect("a pid");
    kill_process(pid, Signal::STOP).expect("it runs");
    wait_for("it is unhealthy", || (health() == "unhealthy").then_some(()));
    kill_process(pid, Signal::CONT).expect("it runs");
    wait_for("it is healthy again", || (health() == "healthy").then_some(()));
}
