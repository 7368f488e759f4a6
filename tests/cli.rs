//! The binary as a command: flags, exit status, standard output.

mod support;

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use support::BINARY;
use support::exposition::Exposition;
use support::fixture::{Fixture, Process};

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).env_remove("DOCKER_HOST").output().expect("the exporter runs")
}

/// Fails with this status and exactly one line on standard error that has all of these words.
fn assert_refused(arguments: &[&str], status: i32, words: &[&str]) {
    let output = run(arguments);
    let stderr = String::from_utf8(output.stderr).expect("messages are text");
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{arguments:?} gave {stderr:?}, which lacks {word:?}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn row_33_bad_flags_exit_2() {
    assert_refused(&["--no-such-flag"], 2, &["--no-such-flag", "--help"]);
    assert_refused(&["--collection.interval=never"], 2, &["--collection.interval", "5s"]);
    assert_refused(&["--docker.label=a.b", "--docker.label=a_b"], 2, &["--docker.label", "label_a_b"]);
}

#[test]
fn row_33_a_docker_host_that_cannot_be_used_exits_2() {
    let output = Command::new(BINARY).env("DOCKER_HOST", "ssh://me@there").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("DOCKER_HOST"));
}

#[test]
fn row_33_a_port_that_is_taken_exits_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let flag = format!("--web.listen-address={address}");
    assert_refused(
        &[&flag, "--no-docker", "--log.level=error"],
        1,
        &[&address, "--web.listen-address", "in use"],
    );
}

#[test]
fn row_20_a_wrong_procfs_exits_1_and_names_the_flag() {
    assert_refused(
        &["--path.procfs=/nonexistent", "--no-docker"],
        1,
        &["/nonexistent", "--path.procfs", "No such file"],
    );
    assert_refused(&["--path.procfs=/etc/passwd", "--no-docker"], 1, &["/etc/passwd", "--path.procfs"]);
    assert_refused(&["--path.procfs=/etc", "--no-docker"], 1, &["/etc", "--path.procfs", "no process"]);
}

#[test]
fn version_and_help_go_to_standard_output() {
    let version = run(&["--version"]);
    assert!(version.status.success());
    assert!(
        String::from_utf8_lossy(&version.stdout)
            .starts_with(concat!("pstree-exporter ", env!("CARGO_PKG_VERSION")))
    );
    let help = run(&["--help"]);
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    for flag in ["--web.listen-address", "--collection.interval", "--path.procfs", "--docker.host", "--once"]
    {
        assert!(help.contains(flag), "{flag}");
    }
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
}

#[test]
fn once_prints_the_exposition_of_this_machine_and_exits() {
    let output = run(&["--once", "--no-docker", "--log.level=error"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metrics = Exposition::parse(&String::from_utf8(output.stdout).unwrap());
    let seen = metrics.sum("pstree_host_processes", &[]) + metrics.sum("pstree_container_processes", &[]);
    assert!(seen >= 1.0, "at least ourselves");
    assert_eq!(metrics.value("pstree_collector_success", &[("collector", "processes")]), Some(1.0));
    assert!(String::from_utf8_lossy(&output.stderr).is_empty());
}

#[test]
fn once_ends_well_when_its_reader_does() {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    let mut child = Command::new(BINARY)
        .args(fixture.flags())
        .args(["--once", "--no-docker", "--log.level=error"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn log_formats() {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    let log_of = |format: &str| {
        let mut command = Command::new(BINARY);
        command.args(fixture.flags()).args(["--docker.host=unix:///nonexistent", "--once", format]);
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    let logfmt = log_of("--log.format=logfmt");
    assert!(logfmt.contains("level=warn") && logfmt.contains("docker=unix:///nonexistent"), "{logfmt}");
    let json = log_of("--log.format=json");
    assert!(json.lines().all(|line| line.starts_with("{\"") && line.ends_with('}')), "{json}");
}
