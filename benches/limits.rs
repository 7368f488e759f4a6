//! Checks limits on durations, as ratios of two durations in one run. Tests do not assert durations, because machines
//! differ and can be busy. Requires neither root nor Docker. Fails if a ratio is outside its limits.

#[path = "../tests/support/mod.rs"]
mod support;

use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pstree_exporter::names::config::LogDirectories;
use pstree_exporter::names::kubernetes_logs::read_names;
use pstree_exporter::observe::procfs::reader_pool::ReadTimeouts;
use support::fixture::{Fixture, Process};
use support::http;
use support::secured::{basic, serve, wait_for_metrics};
use support::{BINARY, Exporter};

const ROUNDS: usize = 25;
const WEB: &str = "0::/lxc.payload.web\n";

/// Two durations and the limits on their ratio.
struct Comparison {
    what: &'static str,
    time: Duration,
    base: Duration,
    limits: Range<f64>,
}

fn main() {
    let all = [
        unknown_users(),
        flood_of_wrong_passwords(),
        long_names(),
        many_zombies(),
        blocked_command_line(),
        names_of_log_files(),
    ];
    println!("| what | ms | compared with, ms | ratio | limits |\n|---|--:|--:|--:|--:|");
    let mut is_good = true;
    for Comparison { what, time, base, limits } in all {
        let [time, base] = [time, base].map(|it| it.as_secs_f64() * 1000.0);
        let ratio = time / base;
        is_good &= limits.contains(&ratio);
        println!(
            "| {what} | {time:.2} | {base:.2} | {ratio:.2} | {:.1} to {:.1} |",
            limits.start, limits.end
        );
    }
    assert!(is_good, "a ratio is outside its limits");
}

/// The names of 500 pods are read without opening a file: it takes a fraction of a millisecond, a small multiple of
/// listing the directories.
fn names_of_log_files() -> Comparison {
    let fixture = Fixture::new();
    for number in 0..500 {
        let id = format!("{number:064x}");
        let uid = format!("{number:08x}-0000-4000-8000-000000000000");
        fixture.write(&format!("log/containers/web-{number}_default_app-{id}.log"), "");
        fixture.write(&format!("log/pods/default_web-{number}_{uid}/app"), "");
    }
    let directories = LogDirectories::new(fixture.path("log/containers"));
    let fastest = |work: &dyn Fn()| (0..ROUNDS).map(|_| timed(work)).min().expect("rounds");
    let list = || {
        for directory in [&directories.containers, &directories.pods] {
            assert_eq!(std::fs::read_dir(directory).expect("a directory").count(), 500);
        }
    };
    Comparison {
        what: "names of 500 pods from log files / list of both directories",
        time: fastest(&|| assert!(read_names(&directories).is_some())),
        base: fastest(&list),
        limits: 1.0..6.0,
    }
}

/// The response time does not reveal which users exist. Uses the fastest of many requests, because other load only adds
/// time.
fn unknown_users() -> Comparison {
    let fixture = Fixture::with_container();
    let hash = bcrypt::hash("wonderland", 8).expect("a hash");
    let exporter = serve(&fixture, &format!("basic_auth_users:\n  alice: {hash}\n"));
    let mut times = [Duration::MAX; 2];
    for round in 0..ROUNDS {
        for (name, fastest) in ["mallory", "alice"].into_iter().zip(&mut times) {
            let wrong = basic(name, &round.to_string());
            *fastest = timed(|| assert_eq!(get(&exporter, "/metrics", &wrong), 401)).min(*fastest);
        }
    }
    Comparison {
        what: "wrong password of an unknown user / of a known user",
        time: times[0],
        base: times[1],
        limits: 0.7..1.4,
    }
}

/// Passwords are hashed on a separate thread, so a flood of wrong passwords must not slow a scraper beyond its share of
/// the CPU.
fn flood_of_wrong_passwords() -> Comparison {
    let fixture = Fixture::with_container();
    let hash = bcrypt::hash("wonderland", 8).expect("a hash");
    let exporter = serve(&fixture, &format!("basic_auth_users:\n  alice: {hash}\n"));
    let right = basic("alice", "wonderland");
    wait_for_metrics(&exporter, &[("Authorization", &right)]);
    let scrape = || timed(|| assert_eq!(get(&exporter, "/metrics", &right), 200));
    let flood = |hashes: bool| {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for client in 0..8 {
                let (is_over, address) = (&is_over, &exporter.address);
                scope.spawn(move || {
                    for attempt in 0.. {
                        if is_over.load(Ordering::Relaxed) {
                            break;
                        }
                        let wrong = basic("mallory", &format!("{client}-{attempt}"));
                        let header = [("Authorization", &*wrong)];
                        http::request(address, "GET", "/metrics", if hashes { &header } else { &[] });
                    }
                });
            }
            let mut times: Vec<Duration> = (0..4 * ROUNDS).map(|_| scrape()).collect();
            is_over.store(true, Ordering::Relaxed);
            median(&mut times)
        })
    };
    Comparison {
        what: "scrape during a flood of wrong passwords / of requests without one",
        time: flood(true),
        base: flood(false),
        limits: 0.0..3.0,
    }
}

/// The search for names similar to an unknown name has limited duration.
fn long_names() -> Comparison {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    for number in 0..300 {
        let cgroup = format!("0::/lxc.payload.container-with-a-name-{number}\n");
        fixture.process(&Process { pid: 1000 + number, parent: 1, cgroup: &cgroup, ..Process::default() });
    }
    let exporter = fixture.exporter(&["--no-docker", "--collection.interval=1h"]);
    exporter.scrape();
    let times = |name: &str| {
        let path = format!("/api/v1/containers/{name}/tree");
        let mut times: Vec<Duration> =
            (0..ROUNDS).map(|_| timed(|| assert_eq!(get(&exporter, &path, ""), 404))).collect();
        median(&mut times)
    };
    Comparison {
        what: "404 for a name of 15,000 characters / of 25",
        time: times(&"container-with-".repeat(1000)),
        base: times("container-with-a-nam-1234"),
        limits: 0.0..10.0,
    }
}

/// The time to render a tree is linear in its number of processes, not quadratic.
fn many_zombies() -> Comparison {
    let [few, many] = [1_000, 10_000].map(|count| {
        let fixture = Fixture::new();
        fixture.process(&Process::default());
        fixture.process(&Process {
            pid: 100,
            parent: 1,
            comm: b"careless",
            cgroup: WEB,
            ..Process::default()
        });
        for pid in 1000..1000 + count {
            let dead =
                Process { pid, parent: 100, comm: b"dead", state: 'Z', cgroup: WEB, ..Process::default() };
            fixture.process(&dead);
        }
        let mut times: Vec<Duration> = (0..ROUNDS).map(|_| timed(|| tree(&fixture, &["web"]))).collect();
        median(&mut times)
    });
    Comparison { what: "tree of 10,000 zombies / of 1,000", time: many, base: few, limits: 0.0..15.0 }
}

/// The wait for a command line that cannot be read ends after its timeout.
fn blocked_command_line() -> Comparison {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    fixture.process(&Process { pid: 100, parent: 1, comm: b"stuck", cgroup: WEB, ..Process::default() });
    let made = Command::new("mkfifo").arg(fixture.path("proc/100/cmdline")).status().expect("mkfifo");
    assert!(made.success());
    let mut times: Vec<Duration> =
        (0..ROUNDS).map(|_| timed(|| tree(&fixture, &["web", "--args"]))).collect();
    Comparison {
        what: "tree with a command line that blocks / time-out",
        time: median(&mut times),
        base: ReadTimeouts::default().read,
        limits: 0.9..1.5,
    }
}

fn timed(run: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    run();
    begun.elapsed()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn get(exporter: &Exporter, path: &str, authorization: &str) -> u16 {
    exporter.get(path, &[("Authorization", authorization)]).status
}

fn tree(fixture: &Fixture, arguments: &[&str]) {
    let mut command = Command::new(BINARY);
    command.arg("tree").args(fixture.flags()).arg("--no-docker").args(arguments);
    assert!(command.stdout(Stdio::null()).status().expect("it runs").success());
}
