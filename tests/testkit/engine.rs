//! A separate Docker engine for tests, with its own data and socket and without network. It is stopped by its pid.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Exporter, wait_at_most, wait_for, workload};

/// The image of all containers: busybox and the workload programs.
pub const IMAGE: &str = "pstree-test";

/// Removes everything that an engine leaves behind when its standard input ends, so also when the test binary is killed.
const REMOVE_ENGINE: &str = include_str!("remove-engine.sh");

pub struct Engine {
    directory: PathBuf,
    daemon: Option<Child>,
    flags: Vec<String>,
    cleaner: Child,
}

impl Engine {
    /// The engine that the tests share: starting one takes two seconds. It is empty at first, and all containers are
    /// removed when the result is dropped. A test that stops the daemon starts its own with [`Engine::start`].
    pub fn shared() -> SharedEngine {
        // Statics are not dropped; the cleaner removes this engine.
        static SHARED: OnceLock<Mutex<Engine>> = OnceLock::new();
        let engine = SHARED.get_or_init(|| Mutex::new(Self::start(&[])));
        // A test that failed has still removed its containers.
        SharedEngine(engine.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `flags` are added to those that isolate the engine from the machine.
    pub fn start(flags: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pstree-engine-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a scratch directory");
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        let cleaner = Command::new("sh")
            .args(["-c", REMOVE_ENGINE, "sh"])
            .arg(&directory)
            .arg(address_in(&directory))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh runs");
        let mut engine = Self { directory, daemon: None, flags, cleaner };
        engine.up();
        engine.import_image();
        engine
    }

    /// Starts the daemon and waits until it answers.
    pub fn up(&mut self) {
        let at = |name: &str| self.directory.join(name).display().to_string();
        let log = fs::File::create(self.directory.join("log")).expect("a log file");
        let daemon = Command::new("dockerd")
            .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
            .args(["-H", &self.address(), "--bridge=none", "--iptables=false"])
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("dockerd is installed");
        self.daemon = Some(daemon);
        wait_for("dockerd answers", || {
            self.command(&["version"]).output().ok()?.status.success().then_some(())
        });
    }

    /// Stops the daemon by its pid and waits for its end.
    pub fn down(&mut self) {
        let Some(mut daemon) = self.daemon.take() else {
            return;
        };
        send(daemon.id(), Signal::TERM);
        wait_for("dockerd stops", || daemon.try_wait().expect("wait works"));
    }

    /// Sends a signal to the daemon, for example SIGSTOP.
    pub fn signal(&self, signal: Signal) {
        send(self.daemon.as_ref().expect("dockerd runs").id(), signal);
    }

    /// The address of the API, as `--docker.host` takes it.
    pub fn address(&self) -> String {
        address_in(&self.directory)
    }

    /// The path of the API's socket.
    pub fn socket(&self) -> String {
        self.directory.join("docker.sock").display().to_string()
    }

    /// The flag with which the exporter uses this engine.
    pub fn flag(&self) -> String {
        format!("--docker.host={}", self.address())
    }

    /// An exporter that collects often and takes names from this engine.
    pub fn exporter(&self) -> Exporter {
        Exporter::start(&[&self.flag(), "--collection.interval=250ms"])
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(self.address()).args(arguments);
        command
    }

    /// Runs `docker` and returns what it prints. Panics if it fails.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("docker is installed");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {arguments:?}: {stderr}");
        String::from_utf8(output.stdout).expect("docker prints text").trim().to_owned()
    }

    /// `docker run -d` with a name; returns the id. `arguments` are flags, `--` and the command.
    pub fn run(&self, name: &str, arguments: &[&str]) -> String {
        let split = arguments.iter().position(|&argument| argument == "--").expect("flags -- command");
        let (flags, command) = (&arguments[..split], &arguments[split + 1..]);
        let all = [&["run", "-d", "--network=none", "--name", name][..], flags, &[IMAGE], command].concat();
        self.docker(&all)
    }

    /// Runs a workload in a container and waits until all its processes run.
    pub fn run_workload(&self, name: &str, flags: &[&str], workload: &[&str]) -> String {
        let id = self.run(name, &[flags, &["--", "/bin/workload"], workload].concat());
        self.wait_for_line(name, "ready");
        id
    }

    /// Runs a workload in an image that contains only its binary, as `FROM scratch` makes them.
    pub fn run_bare(&self, name: &str, workload: &[&str]) {
        let root = self.directory.join("bare");
        fs::create_dir_all(&root).expect("a scratch directory");
        fs::copy(workload::binary(), root.join("workload")).expect("the workload is compiled");
        self.import(&root, "bare-test");
        self.docker(
            &[&["run", "-d", "--network=none", "--name", name, "bare-test", "/workload"], workload].concat(),
        );
        self.wait_for_line(name, "ready");
    }

    /// Runs a script that begins after [`Engine::open_gate`] and prints `done` at its end.
    pub fn run_gated(&self, name: &str, script: &str) {
        self.run_gated_with(&[], name, "", script);
    }

    /// `before` runs before the gate.
    pub fn run_gated_with(&self, flags: &[&str], name: &str, before: &str, script: &str) {
        // The writer may close the fifo after the last `read`, which then sees an end of file; so it is repeated.
        let whole = format!(
            "{before}\necho waiting; read gate < /gate\n{script}\necho done; until read gate < /gate; do :; done"
        );
        self.run(name, &[flags, &["--", "/bin/sh", "-c", &whole]].concat());
        self.wait_for_line(name, "waiting");
    }

    /// Starts the script of a gated container.
    pub fn open_gate(&self, name: &str) {
        fs::write(format!("/proc/{}/root/gate", self.pid(name)), "open\n").expect("the container waits");
    }

    /// Waits for the end of the script of a gated container.
    pub fn wait_for_done(&self, name: &str) {
        self.wait_for_line(name, "done");
    }

    fn wait_for_line(&self, name: &str, line: &str) {
        let is_there = || self.docker(&["logs", name]).lines().any(|it| it == line).then_some(());
        wait_at_most(Duration::from_secs(300), line, is_there);
    }

    /// The pid of a container's init on the host.
    pub fn pid(&self, name: &str) -> u32 {
        self.docker(&["inspect", "--format={{.State.Pid}}", name]).parse().expect("a pid")
    }

    fn remove_containers(&self) {
        let containers =
            self.command(&["ps", "-aq"]).output().map(|output| output.stdout).unwrap_or_default();
        let containers = String::from_utf8_lossy(&containers).into_owned();
        let ids: Vec<&str> = containers.split_whitespace().collect();
        if !ids.is_empty() {
            let _ = self.command(&[&["rm", "--force", "--volumes"][..], &ids].concat()).output();
        }
    }

    fn import_image(&self) {
        let root = self.directory.join("image");
        fs::create_dir_all(root.join("bin")).expect("a scratch directory");
        fs::create_dir_all(root.join("tmp")).expect("a scratch directory");
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
        fs::copy(workload::binary(), root.join("bin/workload")).expect("the workload is compiled");
        fs::copy(workload::loads(), root.join("bin/loads")).expect("the loads are compiled");
        fs::copy(workload::quit(), root.join("bin/quit")).expect("the program is compiled");
        for applet in ["sh", "sleep", "true", "false", "cat", "chroot", "date", "dd"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).expect("a link");
        }
        // A shell that reads from it waits without a fork until the test opens it.
        let fifo = Command::new("mkfifo").arg(root.join("gate")).status();
        assert!(fifo.expect("coreutils are installed").success());
        self.import(&root, IMAGE);
    }

    /// Makes an image of a directory.
    fn import(&self, root: &Path, image: &str) {
        let mut tar = Command::new("tar")
            .args(["c", "-C"])
            .arg(root)
            .arg(".")
            .stdout(Stdio::piped())
            .spawn()
            .expect("tar is installed");
        let archive = tar.stdout.take().expect("stdout is piped");
        let status = self.command(&["import", "-", image]).stdin(archive).stdout(Stdio::null()).status();
        assert!(status.expect("docker is installed").success() && tar.wait().expect("tar ends").success());
    }
}

fn address_in(directory: &Path) -> String {
    format!("unix://{}", directory.join("docker.sock").display())
}

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("a pid");
    kill_process(pid, signal).expect("our own process can be signalled");
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of dockerd's log:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
        }
        drop(self.cleaner.stdin.take());
        let _ = self.cleaner.wait();
        if let Some(mut daemon) = self.daemon.take() {
            // Already ended, unless it never started properly.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// The shared engine, for one test at a time. All containers are removed when this is dropped.
pub struct SharedEngine(MutexGuard<'static, Engine>);

impl Deref for SharedEngine {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.0
    }
}

impl Drop for SharedEngine {
    fn drop(&mut self) {
        self.0.remove_containers();
    }
}
