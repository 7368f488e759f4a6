//! The binary as a command: flags, exit status, standard output.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output, Stdio};

use crate::support::exposition::Exposition;
use crate::support::fixture::{Fixture, Process};
use crate::support::{BINARY, Exporter, PATIENCE};

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).env_remove("DOCKER_HOST").output().expect("the exporter runs")
}

/// The command fails with this status and exactly one line on standard error that contains all of these words.
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
fn invalid_flags_exit_with_status_2() {
    assert_refused(&["--no-such-flag"], 2, &["--no-such-flag", "--help"]);
    assert_refused(&["--collection.interval=never"], 2, &["--collection.interval", "5s"]);
    assert_refused(&["--docker.label=a.b", "--docker.label=a_b"], 2, &["--docker.label", "label_a_b"]);
}

#[test]
fn an_unsupported_docker_host_exits_with_status_2() {
    let output = Command::new(BINARY).env("DOCKER_HOST", "ssh://me@there").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("DOCKER_HOST"));
}

#[test]
fn a_port_in_use_exits_with_status_1() {
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
fn a_wrong_procfs_exits_with_status_1_and_names_the_flag() {
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
fn once_succeeds_when_its_reader_closes_the_pipe() {
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

/// Runs `--check` on a fixture. Returns its status and output.
fn check(fixture: &Fixture, more: &[&str]) -> (Option<i32>, String) {
    let flags = fixture.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let output = run(&[&["--check"], &flags[..], more].concat());
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn a_check_reports_what_is_visible_and_fails_without_a_procfs() {
    let fixture = Fixture::with_container();
    fixture.remove("cgroup");
    let (status, text) = check(&fixture, &["--no-docker"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("1 docker\n") && text.contains("This machine can be monitored"), "{text}");
    let pids = text.lines().find(|line| line.contains("pids limits")).expect("a line");
    assert!(pids.starts_with("partial") && text.contains("set --path.cgroupfs"), "{text}");
    let output = run(&["--check", "--path.procfs=/etc", "--no-docker"]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("FAIL ") && text.contains("--path.procfs") && text.contains("cannot be monitored"),
        "{text}"
    );
}

#[test]
fn a_check_names_docker_and_the_fix() {
    let (status, text) = check(&Fixture::with_container(), &["--docker.host=unix:///nonexistent.sock"]);
    assert_eq!(status, Some(0), "Docker lends names only: {text}");
    let line = text.lines().find(|line| line.contains("unix:///nonexistent.sock")).expect("it is named");
    assert!(line.starts_with("partial  names") && text.contains("fix: start Docker"), "{text}");
}

#[test]
fn a_check_rejects_an_invalid_web_configuration() {
    let fixture = Fixture::with_container();
    fixture.write("web.yml", "basic_auth_user: {}\n");
    let flag = format!("--web.config.file={}", fixture.path("web.yml").display());
    let (status, text) = check(&fixture, &["--no-docker", &flag]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("web configuration") && text.contains("line 1"), "{text}");
}

/// Whether an exporter on this address is healthy.
fn healthcheck(address: &str, timeout_scale: f64) -> Output {
    let address = format!("--web.listen-address={address}");
    run(&["--healthcheck", &address, &format!("--debug.timeout-scale={timeout_scale}")])
}

#[test]
fn a_health_check_succeeds_while_an_exporter_answers() {
    let exporter = Fixture::with_container().exporter(&["--no-docker"]);
    let healthy = healthcheck(&exporter.address, 10.0);
    assert_eq!((healthy.status.code(), &*healthy.stdout), (Some(0), &b"healthy\n"[..]));
    // The wildcard address stands for this machine.
    let port = exporter.address.rsplit(':').next().expect("a port");
    for any in [format!(":{port}"), format!("0.0.0.0:{port}")] {
        assert!(healthcheck(&any, 10.0).status.success(), "{any}");
    }
    // Bound but not listening, so that no other program uses the port.
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&address.into()).expect("a port");
    let address = socket.local_addr().ok().and_then(|it| it.as_socket()).expect("an address").to_string();
    let dead = healthcheck(&address, 10.0);
    assert_eq!(dead.status.code(), Some(1));
    let stderr = String::from_utf8(dead.stderr).expect("text");
    assert!(
        stderr.contains("unhealthy") && stderr.contains(&address) && stderr.lines().count() == 1,
        "{stderr}"
    );
}

#[test]
fn a_health_check_fails_when_another_program_answers_or_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // The kernel accepts the connection, and no program responds.
    assert_eq!(healthcheck(&address, 0.1).status.code(), Some(1));
    let answers = std::thread::Builder::new().spawn(move || {
        listener.incoming().take(2).flatten().for_each(|mut stream| {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2 and more\r\n");
        });
    });
    answers.expect("a thread");
    let stderr = String::from_utf8(healthcheck(&address, 10.0).stderr).expect("text");
    assert!(stderr.contains("unhealthy") && stderr.contains("check whether an exporter"), "{stderr}");
}

#[test]
fn systemd_is_notified_when_the_exporter_is_ready_and_when_it_stops() {
    let fixture = Fixture::with_container();
    let path = fixture.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let told = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).expect("it is told");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    };
    let mut command = Command::new(BINARY);
    command.args(fixture.flags()).arg("--no-docker").env("NOTIFY_SOCKET", &path);
    let exporter = Exporter::spawn(command);
    assert!(told().lines().any(|line| line == "READY=1"));
    assert_eq!(healthcheck(&exporter.address, 10.0).status.code(), Some(0), "ready means that it serves");
    assert!(exporter.stop().success());
    assert!(told().lines().any(|line| line == "STOPPING=1"));
}
