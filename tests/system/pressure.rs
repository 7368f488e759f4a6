//! No room for more processes, threads or descriptors: that of a container, of the machine, and the exporter's own.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::engine::Engine;
use crate::inside::static_binary;
use crate::support::exposition::Exposition;
use crate::support::http::{self, Response, connect};
use crate::support::{BINARY, Exporter, wait_at_most, wait_for};
use crate::truth::{members, pids_file};

/// A cgroup of one controller, for the exporter itself. Removed when dropped, so it is made first.
pub struct OwnGroup(PathBuf);

impl OwnGroup {
    pub fn make(controller: &str) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let v1 = root.join(controller);
        let root = if v1.join("cgroup.procs").exists() {
            v1
        } else {
            let enable = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
            enable.expect("the controller can be had");
            root.to_owned()
        };
        let group = root.join(format!("pstree-own-{}", std::process::id()));
        fs::create_dir_all(&group).expect("cgroups can be made");
        Self(group)
    }

    /// The first of these files that is there: names differ between versions.
    pub fn file(&self, names: &[&str]) -> PathBuf {
        let mut files = names.iter().map(|name| self.0.join(name));
        files
            .find(|file| file.exists())
            .unwrap_or_else(|| panic!("none of {names:?} in {}", self.0.display()))
    }

    pub fn set(&self, names: &[&str], value: impl ToString) {
        let file = self.file(names);
        fs::write(&file, value.to_string()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// What `binary` is started by, inside.
    pub fn command(&self, binary: &str) -> Command {
        let mut command = Command::new("sh");
        let join = format!("echo $$ >{}/cgroup.procs && exec {binary} \"$@\"", self.0.display());
        command.args(["-c", &join, "exporter"]).env_remove("DOCKER_HOST");
        command
    }
}

impl Drop for OwnGroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while fs::remove_dir(&self.0).is_err() && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

/// A connection that is kept for many requests, as scrapers keep theirs.
pub struct Kept(BufReader<TcpStream>);

impl Kept {
    pub fn connect(address: &str) -> Self {
        Self(BufReader::new(connect(address)))
    }

    pub fn get(&mut self, path: &str) -> Response {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).expect("the request is taken");
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let count = self.0.read_until(b'\n', &mut bytes).expect("a head comes");
            assert!(count > 0, "closed before an answer to {path}");
        }
        let head = http::parse(&bytes);
        let length = head.header("content-length").expect("a length").parse().expect("a number");
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a body comes");
        Response { body, ..head }
    }

    pub fn scrape(&mut self) -> Exposition {
        let response = self.get("/metrics");
        assert_eq!(response.status, 200, "{}", response.head);
        Exposition::parse(&response.text())
    }
}

impl Kept {
    /// Scrapes until the last collection has, or has not, succeeded.
    fn until_success(&mut self, wanted: bool) -> Exposition {
        wait_for(if wanted { "a collection" } else { "a failed collection" }, || {
            let metrics = self.scrape();
            (succeeded(&metrics) == wanted).then_some(metrics)
        })
    }
}

fn taken(metrics: &Exposition) -> f64 {
    metrics.value("pstree_last_collection_timestamp_seconds", &[]).expect("always there")
}

fn succeeded(metrics: &Exposition) -> bool {
    metrics.value("pstree_collector_success", &[("collector", "processes")]) == Some(1.0)
}

/// How often a container's pids limit has refused a fork, by the kernel's own count.
fn refused(pid: u32) -> f64 {
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the container runs");
    let find = |root: &str, wanted: &str| {
        let path = cgroup.lines().find_map(|line| line.split_once(wanted)).map(|(_, path)| path)?;
        fs::read_to_string(format!("{root}{path}/pids.events")).ok()
    };
    let events = find("/sys/fs/cgroup/pids", ":pids:").or_else(|| find("/sys/fs/cgroup", "0::"));
    let events = events.expect("the pids controller counts");
    events.trim().strip_prefix("max ").and_then(|count| count.parse().ok()).expect("a count")
}

#[test]
fn row_15_a_fork_bomb_into_its_limit() {
    const LIMIT: u64 = 500;
    const INTERVAL: f64 = 1.0;
    let engine = Engine::start();
    let label = [("name", "bomb")];
    for source in ["proc", "bpf"] {
        engine.run("bomb", &["--pids-limit=500", "--", "/bin/loads", "wild", "500", "/calm"]);
        let pid = engine.pid("bomb");
        wait_for("the limit is reached", || (pids_file(pid, "pids.current") == Some(LIMIT)).then_some(()));
        let before = refused(pid);
        let source = format!("--collection.source={source}");
        // What users run: a walk that takes longer meets more that come while others go.
        let mut command = Command::new(static_binary());
        command.args([&engine.flag(), "--collection.interval=1s", &source]);
        let exporter = Exporter::spawn(command);
        let mut last = exporter.scrape_until("the bomb", |metrics| {
            metrics.value("pstree_container_processes", &label).is_some().then(|| metrics.clone())
        });
        for _ in 0..6 {
            let metrics = exporter.scrape_until("the next collection", |metrics| {
                (taken(metrics) > taken(&last)).then(|| metrics.clone())
            });
            let value = |family: &str, labels: &[(&str, &str)]| metrics.value(family, labels).expect(family);
            assert!(succeeded(&metrics));
            let took = value("pstree_collector_duration_seconds", &[("collector", "processes")]);
            assert!(took < INTERVAL, "{took} s");
            assert_eq!(value("pstree_collection_interval_seconds", &[]), INTERVAL);
            assert!(taken(&metrics) - taken(&last) < 2.0 * INTERVAL, "a collection was late");
            // The kernel adds a task before it refuses it, so its own count may be beyond the limit for a moment.
            for (family, beyond) in [("pstree_container_pids_current", 4), ("pstree_container_processes", 0)]
            {
                let count = value(family, &label);
                assert!(
                    (LIMIT as f64 / 2.0..=(LIMIT + beyond) as f64).contains(&count),
                    "{family} by {source}: {count}"
                );
            }
            let hits = "pstree_container_pids_limit_hits_total";
            assert!(last.value(hits, &label) < Some(value(hits, &label)), "hits do not grow");
            last = metrics;
        }
        // Once nothing moves any more everything is exact.
        fs::write(format!("/proc/{pid}/root/calm"), "").expect("the container runs");
        wait_at_most(Duration::from_secs(40), "exact numbers", || {
            let is = |family: &str, truth: f64| last.value(family, &label) == Some(truth);
            let is_exact = is("pstree_container_processes", members(&engine, "bomb").len() as f64)
                && is("pstree_container_pids_current", pids_file(pid, "pids.current")? as f64)
                && is("pstree_container_pids_limit_hits_total", refused(pid));
            last = exporter.scrape();
            is_exact.then_some(())
        });
        assert!(refused(pid) > before);
        engine.docker(&["rm", "--force", "bomb"]);
    }
}

/// Since Linux 6.14 each pid namespace has a pid_max of its own, and before that writing one would be felt by
/// everybody: there, as everywhere, `make vm` runs the same script where a whole machine is its own.
#[test]
fn row_16_no_pid_is_left_in_a_namespace() {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux");
    let mut numbers = release.split(['.', '-', '\n']).map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().expect("a version"), numbers.next().expect("a version"));
    if version < (6, 14) {
        return eprintln!("Linux {}: one pid_max for all, so make vm alone has row 16", release.trim());
    }
    let outside = fs::read("/proc/sys/kernel/pid_max").expect("Linux");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/pids");
    let output = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", "timeout", "60", "python3"])
        .args([script.as_path(), Path::new(BINARY)])
        .output()
        .expect("unshare runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("pids are back"), "{text}");
    assert_eq!(fs::read("/proc/sys/kernel/pid_max").expect("Linux"), outside);
}

#[test]
fn row_17_the_exporters_own_pids_limit() {
    let group = OwnGroup::make("pids");
    // All that wants a thread of its own.
    let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join("own-pids-limit.yml");
    fs::write(&config, "http_server_config:\n  headers:\n    X-Frame-Options: deny\n")
        .expect("a scratch file");
    let config = format!("--web.config.file={}", config.display());
    let flags = ["--no-docker", "--web.arguments", "--collection.interval=200ms", &config];
    let start = || {
        let mut command = group.command(BINARY);
        command.args(flags);
        Exporter::spawn(command)
    };
    let most = start().scrape().value("process_threads", &[]).expect("known") as usize;
    assert!(most > 1);
    // Too few for all its threads: it ends and says in one line what to do, however far it came.
    for limit in 1..most {
        group.set(&["pids.max"], limit);
        let mut child = group.command(BINARY);
        child
            .args(flags)
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = child.spawn().expect("sh runs");
        let mut log = String::new();
        child.stderr.take().expect("stderr is piped").read_to_string(&mut log).expect("it ends");
        assert_eq!(child.wait().expect("it ends").code(), Some(1), "with {limit} of {most} threads: {log}");
        assert!(log.lines().last().expect("a line").contains("pids.max"), "{limit} of {most}: {log}");
    }
    // As many as it has: from then on it never wants another.
    group.set(&["pids.max"], most);
    let exporter = start();
    exporter.scrape();
    for limit in [most.to_string(), "1".to_owned(), "max".to_owned()] {
        group.set(&["pids.max"], &limit);
        for _ in 0..3 {
            assert!(succeeded(&exporter.fresh_scrape()), "pids.max {limit}");
        }
        for path in ["/", "/api/v1/containers", "/-/ready", "/-/healthy"] {
            assert_eq!(exporter.get(path, &[]).status, 200, "{path} with pids.max {limit}");
        }
    }
    let hits = fs::read_to_string(group.file(&["pids.events"])).expect("the pids controller counts");
    assert_ne!(hits.trim(), "max 0", "the limit was never felt");
}

fn set_descriptors(exporter: &Exporter, limit: u64) {
    let pid = Pid::from_raw(exporter.pid() as i32);
    let limit = Rlimit { current: Some(limit), maximum: Some(4096) };
    prlimit(pid, Resource::Nofile, limit).expect("root may set limits");
}

fn descriptors(exporter: &Exporter) -> u64 {
    fs::read_dir(format!("/proc/{}/fd", exporter.pid())).expect("it runs").count() as u64
}

/// Where processes are read from, and why.
fn source(metrics: &Exposition) -> String {
    let (labels, _) = metrics.select("pstree_source_info", &[]).next().expect("always there");
    format!("{} {}", labels["source"], labels["reason"])
}

#[test]
fn row_17_no_descriptor_is_left() {
    for flag in ["proc", "bpf"] {
        let flag = format!("--collection.source={flag}");
        let exporter = Exporter::start(&["--no-docker", "--collection.interval=250ms", &flag]);
        let before = exporter.scrape();
        let mut kept = Kept::connect(&exporter.address);
        assert!(succeeded(&kept.scrape()));

        // Some are left, and clients that ask for nothing take them.
        set_descriptors(&exporter, descriptors(&exporter) + 10);
        let crowd: Vec<TcpStream> = (0..40).map(|_| connect(&exporter.address)).collect();
        let failing = kept.until_success(false);
        assert!(taken(&failing) >= taken(&before) && failing.sum("pstree_host_processes", &[]) > 0.0);
        assert_eq!(source(&failing), source(&before), "BPF comes back with the descriptors");
        let line = exporter.log_line("Too many open files");
        assert!(line.contains("level=warn"), "{line}");
        let address = exporter.address.as_str();
        // A scraper that comes now waits no longer than scrapers do by default.
        std::thread::scope(|scope| {
            let begun = Instant::now();
            let newcomer = scope.spawn(|| http::request(address, "GET", "/metrics", &[]).status);
            while !newcomer.is_finished() {
                // One that asks all the time is no idle one.
                kept.scrape();
                assert!(begun.elapsed() < Duration::from_secs(10), "{flag}: who comes is not served");
            }
            assert_eq!(newcomer.join().expect("an answer"), 200);
        });
        drop(crowd);
        let again = kept.until_success(true);
        assert!(taken(&again) > taken(&failing));
        assert_eq!(source(&again), source(&before));
        exporter.log_line("collections succeed again");

        // None at all, whatever it has.
        set_descriptors(&exporter, 3);
        kept.until_success(false);
        exporter.log_line("Too many open files");
        set_descriptors(&exporter, 1024);
        kept.until_success(true);
        assert_eq!(source(&exporter.fresh_scrape()), source(&before));
    }
}
