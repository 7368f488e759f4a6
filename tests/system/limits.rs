//! Limits that are reached: the pids of a container, and the exporter's own pids and descriptors. `tests/vm/pids` tests
//! a machine without free pids, in a virtual machine.

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::exposition::Exposition;
use crate::support::http::{self, connect};
use crate::support::{BINARY, Exporter, wait_at_most, wait_for};
use crate::testkit::binaries::static_binary;
use crate::testkit::cgroups::LimitedCgroup;
use crate::testkit::engine::Engine;
use crate::testkit::keep_alive::KeepAlive;
use crate::testkit::oracle::{members, pids_file};

fn scrape(connection: &mut KeepAlive) -> Exposition {
    let response = connection.get("/metrics", &[]);
    assert_eq!(response.status, 200, "{}", response.head);
    Exposition::parse(&response.text())
}

/// Scrapes until the last collection succeeded, or failed.
fn scrape_until(connection: &mut KeepAlive, success: bool) -> Exposition {
    wait_for(if success { "a collection" } else { "a failed collection" }, || {
        let metrics = scrape(connection);
        (succeeded(&metrics) == success).then_some(metrics)
    })
}

fn collected_at(metrics: &Exposition) -> f64 {
    metrics.value("pstree_last_collection_timestamp_seconds", &[]).expect("always exported")
}

fn succeeded(metrics: &Exposition) -> bool {
    metrics.value("pstree_collector_success", &[("collector", "processes")]) == Some(1.0)
}

/// How often a container's pids limit rejected a fork, as the kernel counted it.
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
fn a_fork_bomb_that_reaches_its_limit_is_counted_correctly() {
    const LIMIT: u64 = 500;
    let engine = Engine::shared();
    let label = [("name", "bomb")];
    for source in ["proc", "bpf"] {
        engine.run("bomb", &["--pids-limit=500", "--", "/bin/loads", "wild", "500", "/calm"]);
        let pid = engine.pid("bomb");
        wait_for("the limit is reached", || (pids_file(pid, "pids.current") == Some(LIMIT)).then_some(()));
        let before = refused(pid);
        let source = format!("--collection.source={source}");
        // The binary that users run: a slower collection meets more processes that start while others end.
        let mut command = Command::new(static_binary());
        command.args([&engine.flag(), "--collection.interval=500ms", &source]);
        let exporter = Exporter::spawn(command);
        let mut last = exporter.scrape_until("the bomb", |metrics| {
            metrics.value("pstree_container_processes", &label).is_some().then(|| metrics.clone())
        });
        for _ in 0..5 {
            let metrics = exporter.scrape_until("the next collection", |metrics| {
                (collected_at(metrics) > collected_at(&last)).then(|| metrics.clone())
            });
            assert!(succeeded(&metrics));
            // The kernel counts a task before it rejects it, so its own count can briefly exceed the limit.
            for (family, excess) in [("pstree_container_pids_current", 4), ("pstree_container_processes", 0)]
            {
                let count = metrics.value(family, &label).expect(family);
                assert!((1.0..=(LIMIT + excess) as f64).contains(&count), "{family} with {source}: {count}");
            }
            let hits = |metrics: &Exposition| {
                metrics.value("pstree_container_pids_limit_hits_total", &label).expect("hits")
            };
            assert!(hits(&last) < hits(&metrics), "hits do not grow");
            last = metrics;
        }
        // When nothing changes any more, all numbers are exact.
        fs::write(format!("/proc/{pid}/root/calm"), "").expect("the container runs");
        wait_at_most(Duration::from_secs(120), "exact numbers", || {
            let is = |family: &str, expected: f64| last.value(family, &label) == Some(expected);
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

#[test]
fn the_exporter_needs_no_thread_after_its_start() {
    let group = LimitedCgroup::new("pids");
    // All features that have their own thread.
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
    // With too few for all its threads, it exits and logs the fix in one line.
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
    // With exactly as many pids as threads it works, because it never creates another thread.
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
    assert_ne!(hits.trim(), "max 0", "the limit was never reached");
}

fn set_descriptors(exporter: &Exporter, limit: u64) {
    let pid = Pid::from_raw(exporter.pid() as i32);
    let limit = Rlimit { current: Some(limit), maximum: Some(4096) };
    prlimit(pid, Resource::Nofile, limit).expect("root may set limits");
}

fn descriptors(exporter: &Exporter) -> u64 {
    fs::read_dir(format!("/proc/{}/fd", exporter.pid())).expect("it runs").count() as u64
}

/// The source of processes, and the reason for it.
fn source(metrics: &Exposition) -> String {
    let (labels, _) = metrics.select("pstree_source_info", &[]).next().expect("always exported");
    format!("{} {}", labels["source"], labels["reason"])
}

#[test]
fn the_exporter_recovers_when_it_has_no_descriptor_left() {
    for flag in ["proc", "bpf"] {
        let flag = format!("--collection.source={flag}");
        let exporter = Exporter::start(&["--no-docker", "--collection.interval=250ms", &flag]);
        let before = exporter.scrape();
        let mut connection = KeepAlive::connect(&exporter.address);
        assert!(succeeded(&scrape(&mut connection)));

        // A few file descriptors are left, and idle clients use them.
        set_descriptors(&exporter, descriptors(&exporter) + 10);
        let idle: Vec<TcpStream> = (0..40).map(|_| connect(&exporter.address)).collect();
        let failing = scrape_until(&mut connection, false);
        assert!(
            collected_at(&failing) >= collected_at(&before)
                && failing.sum("pstree_host_processes", &[]) > 0.0
        );
        assert_eq!(source(&failing), source(&before), "BPF is used again when there are descriptors");
        let line = exporter.log_line("Too many open files");
        assert!(line.contains("level=warn"), "{line}");
        let address = exporter.address.as_str();
        // A new scraper is answered.
        std::thread::scope(|scope| {
            let newcomer = scope.spawn(|| http::request(address, "GET", "/metrics", &[]).status);
            while !newcomer.is_finished() {
                // A connection in use is not closed in favour of the new one.
                scrape(&mut connection);
            }
            assert_eq!(newcomer.join().expect("a response"), 200);
        });
        drop(idle);
        let again = scrape_until(&mut connection, true);
        assert!(collected_at(&again) > collected_at(&failing));
        assert_eq!(source(&again), source(&before));
        exporter.log_line("collections succeed again");

        // No file descriptor is left.
        set_descriptors(&exporter, 3);
        scrape_until(&mut connection, false);
        exporter.log_line("Too many open files");
        set_descriptors(&exporter, 1024);
        scrape_until(&mut connection, true);
        assert_eq!(source(&exporter.fresh_scrape()), source(&before));
    }
}
