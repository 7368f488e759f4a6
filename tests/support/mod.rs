//! Shared by the tests: the real binary, its exposition, and waiting for conditions.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod certificates;
pub mod dashboard;
pub mod exposition;
pub mod fixture;
pub mod http;
pub mod namespaces;
pub mod rules;
pub mod scripted_docker;
pub mod secured;
pub mod slow;
pub mod workload;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use exposition::Exposition;

/// Timeout for a condition that a test waits for. It only ends tests that hang.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Repeats `look` until it returns a value. Panics with `what` after [`PATIENCE`].
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_at_most(PATIENCE, what, look)
}

/// Like [`wait_for`], with another timeout.
pub fn wait_at_most<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// The path of the binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_pstree-exporter");

/// A running exporter, stopped when dropped.
pub struct Exporter {
    child: Child,
    pub address: String,
    log: Receiver<String>,
    /// The log lines before the one with the listen address.
    pub first_lines: Vec<String>,
}

impl Exporter {
    /// Starts an exporter on a free loopback port and waits until it serves.
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.args(arguments).env_remove("DOCKER_HOST");
        Self::spawn(command)
    }

    /// Starts a prepared command, after adding the listen address.
    pub fn spawn(mut command: Command) -> Self {
        command.args(["--web.listen-address=127.0.0.1:0"]).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the exporter starts");
        let stderr = child.stderr.take().expect("stderr is piped");
        let (sender, log) = mpsc::channel();
        // Reads continuously, so that the pipe never fills up. The lines are queued.
        std::thread::Builder::new()
            .spawn(move || {
                BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
            })
            .expect("a thread can be made");
        let mut exporter = Self { child, address: String::new(), log, first_lines: Vec::new() };
        let line = loop {
            let line = exporter.log_line("");
            if line.contains("message=serving") {
                break line;
            }
            exporter.first_lines.push(line);
        };
        let address = line.split("address=").nth(1).expect("the log says the address");
        exporter.address =
            address.split_whitespace().next().expect("an address").trim_matches('"').to_owned();
        exporter
    }

    /// The next log line that contains `text`.
    pub fn log_line(&self, text: &str) -> String {
        self.log_until(&[text]).pop().expect("at least that line")
    }

    /// The next log lines, up to and including the first that contains all `parts`.
    pub fn log_until(&self, parts: &[&str]) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.log.recv_timeout(left) else {
                panic!("no log line with {parts:?}, but {lines:#?}");
            };
            let is_last = parts.iter().all(|part| line.contains(part));
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    /// The log lines received so far and not returned yet. More may follow; [`Exporter::stop_and_log`] returns all.
    pub fn log_so_far(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> http::Response {
        http::request(&self.address, "GET", path, headers)
    }

    /// The current exposition in the Prometheus text format. Waits for the first collection.
    pub fn scrape(&self) -> Exposition {
        wait_for("a first collection", || {
            let response = self.get("/metrics", &[]);
            (response.status == 200).then(|| Exposition::parse(&response.text()))
        })
    }

    /// Scrapes until `look` returns a value.
    pub fn scrape_until<T>(&self, what: &str, mut look: impl FnMut(&Exposition) -> Option<T>) -> T {
        wait_for(what, || look(&self.scrape()))
    }

    /// Waits for a collection that began after this call.
    pub fn fresh_scrape(&self) -> Exposition {
        let begun = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        self.scrape_until("a new collection", |metrics| {
            (metrics.value("pstree_last_collection_timestamp_seconds", &[]) > Some(begun))
                .then(|| metrics.clone())
        })
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("the exporter can be signalled");
    }

    /// Sends SIGTERM and waits until the exporter exits.
    pub fn stop(self) -> ExitStatus {
        self.stop_and_log().0
    }

    /// Sends SIGTERM, waits until the exporter exits, and returns all log lines that were not returned before.
    pub fn stop_and_log(mut self) -> (ExitStatus, Vec<String>) {
        self.signal(rustix::process::Signal::TERM);
        let status = wait_for("the exporter stops", || self.child.try_wait().expect("wait works"));
        // Ends when the pipe is closed; no other process has it open.
        (status, self.log.iter().collect())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
