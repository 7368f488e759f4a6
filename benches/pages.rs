//! Measures how long a scrape takes while other clients use the exporter, and the memory of an exporter whose pages are
//! all requested, on a machine with 2,000 containers. The machine consists of files in memory.
//!
//! The percentiles are those of one run, relative to scrapes without other clients, because machines differ. Fails if the
//! 99th percentile beside a client that requests all pages is not below 50 ms. Requires wrk.

#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/testkit/mod.rs"]
mod testkit;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::fixture::{Fixture, Process};
use support::slow::SlowClients;
use support::workload;
use support::{BINARY, Exporter, http};
use testkit::child::KillOnDrop;
use testkit::keep_alive::KeepAlive;

const CONTAINERS: u32 = 2_000;
const PROCESSES_EACH: u32 = 5;
const SCRAPES: usize = 500;
const PAUSE: Duration = Duration::from_millis(50);
const SCRAPE_LIMIT: Duration = Duration::from_millis(50);
/// The memory limit in `deploy/kubernetes/base/daemonset.yaml`.
const MEMORY_LIMIT_MIB: f64 = 64.0;

/// As Prometheus requests it.
const PROMETHEUS: [(&str, &str); 2] = [
    (
        "Accept",
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
         text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    ),
    ("Accept-Encoding", "gzip"),
];

fn main() {
    let fixture = machine();
    println!(
        "{}, {} cores; {CONTAINERS} containers with {PROCESSES_EACH} processes each\n",
        processor(),
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    let beside_mirror = scrapes(&fixture);
    memory(&fixture);
    assert!(
        beside_mirror < SCRAPE_LIMIT,
        "a scrape beside a mirror took {beside_mirror:?} (99th percentile)"
    );
}

/// Every container has one parent and its children.
fn machine() -> Fixture {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    for container in 0..CONTAINERS {
        let cgroup = format!("0::/docker/{container:064x}\n");
        let first = 1_000 + container * PROCESSES_EACH;
        for number in 0..PROCESSES_EACH {
            let (parent, comm): (u32, &[u8]) = if number == 0 { (1, b"server") } else { (first, b"worker") };
            let inner_pids = format!("{}\t{}", first + number, number + 1);
            fixture.process(&Process {
                pid: first + number,
                parent,
                comm,
                cgroup: &cgroup,
                inner_pids: &inner_pids,
                ..Process::default()
            });
        }
    }
    fixture
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name")).unwrap_or_default();
    line.split(": ").last().unwrap_or("unknown processor").to_owned()
}

fn exporter(fixture: &Fixture) -> Exporter {
    let mut command = Command::new(BINARY);
    command.args(fixture.flags()).arg("--no-docker").env_remove("DOCKER_HOST");
    let exporter = Exporter::spawn(command);
    let metrics = exporter.scrape();
    assert_eq!(metrics.sum("pstree_containers", &[]), f64::from(CONTAINERS));
    exporter
}

/// Prints the percentiles of scrapes beside several kinds of clients. Returns the 99th beside a mirror.
fn scrapes(fixture: &Fixture) -> Duration {
    let exporter = exporter(fixture);
    let address = exporter.address.as_str();
    println!("| scrapes | p50, ms | p99, ms | p99 relative to none |\n|---|--:|--:|--:|");
    let [_, idle] = measure(address);
    let row = |clients: &str, [p50, p99]: [Duration; 2]| {
        println!(
            "| {clients} | {:.2} | {:.2} | {:.1} |",
            p50.as_secs_f64() * 1000.0,
            p99.as_secs_f64() * 1000.0,
            p99.as_secs_f64() / idle.as_secs_f64()
        );
    };
    row("beside no other client", measure(address));
    let beside_mirror = beside_mirrors(address, 1);
    row("beside a mirror of all pages", beside_mirror);
    row("beside 8 mirrors", beside_mirrors(address, 8));
    {
        let _slow = SlowClients::start(address, 1_000);
        row("beside 1,000 slow clients", measure(address));
    }
    {
        let url = format!("http://{address}/metrics");
        let wrk = Command::new("wrk").args(["-t1", "-c100", "-d600s", &url]).stdout(Stdio::null()).spawn();
        let _scrapers = KillOnDrop(wrk.expect("wrk is missing; run make packages-bench"));
        row("beside 100 scrapers without a pause", measure(address));
    }
    {
        let storm = Command::new(workload::loads()).args(["storm", "1"]).spawn();
        let _storm = KillOnDrop(storm.expect("the load starts"));
        row("beside a fork storm", measure(address));
    }
    beside_mirror[1]
}

/// The 50th and the 99th percentile of scrapes with Prometheus' headers on one connection.
fn measure(address: &str) -> [Duration; 2] {
    let mut connection = KeepAlive::connect(address);
    let mut times: Vec<Duration> = (0..SCRAPES)
        .map(|_| {
            std::thread::park_timeout(PAUSE);
            let begun = Instant::now();
            assert_eq!(connection.get("/metrics", &PROMETHEUS).status, 200);
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    [times[SCRAPES / 2], times[SCRAPES * 99 / 100]]
}

fn beside_mirrors(address: &str, mirrors: u32) -> [Duration; 2] {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for mirror in 0..mirrors {
            let is_over = &is_over;
            scope.spawn(move || {
                let mut connection = KeepAlive::connect(address);
                for path in pages().cycle().skip((mirror * 997) as usize) {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    assert_eq!(connection.get(&path, &[]).status, 200, "{path}");
                }
            });
        }
        let times = measure(address);
        is_over.store(true, Ordering::Relaxed);
        times
    })
}

/// The paths that a mirror follows: the list in every order, and every page and document of every container.
fn pages() -> impl Iterator<Item = String> + Clone {
    let lists =
        ["/", "/?sort=name", "/?sort=-pids", "/?sort=processes", "/?sort=-zombies", "/api/v1/containers"];
    let views = ["", "?fold=0", "?zombies=1", "?sort=age", "?fold=0&sort=age"];
    let of_container = move |container| {
        let pages = views.map(|view| format!("/containers/{container:064x}{view}"));
        pages.into_iter().chain([format!("/api/v1/containers/{container:064x}/tree")])
    };
    lists.map(str::to_owned).into_iter().chain((0..CONTAINERS).flat_map(of_container))
}

/// Prints the memory of an exporter that was only scraped, and after a mirror has requested all pages. The manifests
/// limit it; resident memory includes pages of the binary, which the limit may not count.
fn memory(fixture: &Fixture) {
    let exporter = exporter(fixture);
    for _ in 0..3 {
        exporter.fresh_scrape();
        http::request(&exporter.address, "GET", "/metrics", &PROMETHEUS);
    }
    let before = resident_mib(&exporter);
    let mut connection = KeepAlive::connect(&exporter.address);
    for path in pages() {
        assert_eq!(connection.get(&path, &[]).status, 200, "{path}");
    }
    let after = resident_mib(&exporter);
    println!("\n| resident memory, MiB | now | highest |\n|---|--:|--:|");
    println!("| scraped | {:.1} | {:.1} |", before[0], before[1]);
    println!("| all pages requested | {:.1} | {:.1} |", after[0], after[1]);
    println!("| limit in the manifests | {MEMORY_LIMIT_MIB:.1} | {MEMORY_LIMIT_MIB:.1} |");
    assert!(after[0] < MEMORY_LIMIT_MIB, "{:.1} MiB exceed the limit in the manifests", after[0]);
}

/// Resident memory, and the highest value so far.
fn resident_mib(exporter: &Exporter) -> [f64; 2] {
    let status = std::fs::read_to_string(format!("/proc/{}/status", exporter.pid())).expect("it runs");
    ["VmRSS:", "VmHWM:"].map(|key| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel reports it");
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib / 1024.0
    })
}
