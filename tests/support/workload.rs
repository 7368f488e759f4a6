//! The compiled programs of `tests/workload/`, and processes that run them.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// `tests/workload/workload.c`: forests of a known shape.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| compile("workload", &[]))
}

/// `tests/workload/loads.c`: loads that continue until they are stopped.
pub fn loads() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| compile("loads", &[]))
}

/// `tests/workload/quit.c`: exits at once.
pub fn quit() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| compile("quit", &["-nostdlib"]))
}

/// Compiles a static binary into cargo's scratch directory.
fn compile(name: &str, flags: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/workload/{name}.c"));
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Test binaries run in parallel, so each one compiles its own copy and then renames it atomically.
    let own = scratch.join(format!("{name}.{}", std::process::id()));
    let status = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-static", "-pthread"])
        .args(flags)
        .arg("-o")
        .args([&own, &source])
        .arg("-lm")
        .status()
        .expect("cc is needed to compile what the tests run");
    assert!(status.success(), "cc failed");
    let shared = scratch.join(name);
    std::fs::rename(&own, &shared).expect("rename in cargo's scratch directory");
    shared
}

/// A forest of processes that exists until this is dropped.
pub struct Workload(Child);

impl Workload {
    /// Starts the workload and waits until it reports that it is ready.
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the workload starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the workload writes text");
        assert_eq!(line, "ready\n", "workload {arguments:?} did not get ready");
        Self(child)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        // Sends SIGTERM, so that it can reap its children.
        let pid = rustix::process::Pid::from_raw(self.0.id() as i32).expect("a pid");
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}
