//! Containers and processes that come and go, a Docker that restarts and hangs, and bad clients, for a given time:
//! `make soak TIME=1800`, in seconds. Prints the resources that the exporters use at the start and at the end, and fails
//! if any of them has grown.
//!
//! Two exporters observe the machine, one with BPF and one without.
//!
//! No other container may run on the machine during the test, because it would count as one that was not removed.

mod bad_clients;
#[path = "../support/mod.rs"]
mod support;
#[path = "../testkit/mod.rs"]
mod testkit;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::exposition::Exposition;
use support::workload::Workload;
use support::{Exporter, wait_for};
use testkit::binaries::static_binary;
use testkit::engine::Engine;
use testkit::synthetic::{self, SyntheticContainers};

/// Of this many rounds, Docker is restarted in one, and stopped and continued in another.
const ROUNDS_TO_RESTART: u32 = 4;

/// Memory may grow by a twentieth, but at least by this: the size of buffers depends on the highest peak of the load.
const ALLOWED_GROWTH_BYTES: f64 = 1_500_000.0;

/// An exporter keeps the counters of 2,000 removed containers. Their table grows once more about here, by less than the
/// allowed growth.
const REMOVED_CONTAINERS: usize = 3_700;

fn main() -> ExitCode {
    let seconds = std::env::var("TIME").map_or(120, |it| it.parse().expect("TIME is a number of seconds"));
    let mut engine = Engine::start(&[]);
    let exporters = ["bpf", "proc"].map(|source| {
        let mut command = Command::new(static_binary());
        command.args([&engine.flag(), "--collection.interval=200ms"]);
        command.args([format!("--collection.source={source}")]);
        // Changing names would otherwise use up the budget of an hour.
        command.arg("--bounds.new-nodes-per-hour=100000").env_remove("DOCKER_HOST");
        Exporter::spawn(command)
    });
    let [with_bpf, without] = &exporters;
    exporters.iter().for_each(|exporter| drop(exporter.scrape()));

    // Buffers and tables reach their size first, so the first containers and rounds are not compared.
    fill_the_table_of_removed_containers(&exporters);
    (0..ROUNDS_TO_RESTART).for_each(|number| round(number, &mut engine, &exporters));
    let begun = Instant::now();
    let mut usages = vec![[Usage::of(with_bpf), Usage::of(without)]];
    let mut number = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        round(number, &mut engine, &exporters);
        number += 1;
        usages.push([Usage::of(with_bpf), Usage::of(without)]);
    }
    println!("{number} rounds in {} s\n", begun.elapsed().as_secs());
    println!("| source | | at the start | at the end | highest |\n|---|---|--:|--:|--:|");
    let mut is_good = true;
    for (index, source) in ["BPF", "/proc"].into_iter().enumerate() {
        let all: Vec<Usage> = usages.iter().map(|both| both[index]).collect();
        is_good &= Usage::compare(source, &all);
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// In batches of about the size that the rounds have: a higher peak of memory would hide later growth.
fn fill_the_table_of_removed_containers(exporters: &[Exporter; 2]) {
    const BATCH: usize = 50;
    for first in (0..REMOVED_CONTAINERS).step_by(BATCH) {
        let containers = SyntheticContainers::start_from(first, BATCH, 1);
        for exporter in exporters {
            exporter.scrape_until("a batch of containers", |metrics| {
                (synthetic::processes(metrics) == BATCH as f64).then_some(())
            });
        }
        drop(containers);
    }
}

/// Runs all disturbances at the same time. Removes everything that it creates.
fn round(number: u32, engine: &mut Engine, exporters: &[Exporter; 2]) {
    let addresses = exporters.each_ref().map(|exporter| exporter.address.clone());
    std::thread::scope(|scope| {
        for address in &addresses {
            scope.spawn(|| bad_clients::run(address));
        }
        scope.spawn(churn_of_processes);
        churn_of_containers(number, engine);
    });
    match number % ROUNDS_TO_RESTART {
        0 => {
            engine.down();
            engine.up();
        }
        2 => {
            engine.signal(Signal::STOP);
            for exporter in exporters {
                exporter.scrape_until("the exporter detects that Docker hangs", |it| is_docker_up(it, 0.0));
            }
            engine.signal(Signal::CONT);
        }
        _ => {}
    }
    for exporter in exporters {
        exporter.scrape_until("Docker is back, and all containers are gone", |metrics| {
            is_docker_up(metrics, 1.0).filter(|()| metrics.container_names().is_empty())
        });
    }
}

fn is_docker_up(metrics: &Exposition, expected: f64) -> Option<()> {
    (metrics.value("pstree_docker_up", &[]) == Some(expected)).then_some(())
}

fn churn_of_containers(round: u32, engine: &Engine) {
    let name = |number: u32| format!("soak-{round}-{number}");
    for number in 0..3 {
        engine.run_workload(&name(number), &["--pids-limit=200"], &["fan", "20"]);
        engine.docker(&["exec", "-d", &name(number), "/bin/sleep", "1000"]);
        engine.docker(&["rename", &name(number), &format!("{}-renamed", name(number))]);
    }
    engine.run("bomb", &["--pids-limit=100", "--", "/bin/loads", "bomb", "1000"]);
    engine.run("storm", &["--", "/bin/loads", "storm", "5"]);
    engine.run("zombies", &["--", "/bin/workload", "zombies", "50"]);
    let all = engine.docker(&["ps", "-aq"]);
    let all: Vec<&str> = all.split_whitespace().collect();
    engine.docker(&[&["rm", "--force"], &all[..]].concat());
}

fn churn_of_processes() {
    for _ in 0..3 {
        drop(Workload::start(&["fan", "500"]));
        drop(Workload::start(&["chain", "200"]));
    }
}

/// The resources that an exporter uses while nothing happens.
#[derive(Clone, Copy, Debug)]
struct Usage {
    memory: f64,
    descriptors: f64,
    threads: f64,
    series: f64,
}

impl Usage {
    /// Waits until all connections are closed; one that stays open is a leak, too.
    fn of(exporter: &Exporter) -> Self {
        let open = || {
            let open = std::fs::read_dir(format!("/proc/{}/fd", exporter.pid())).expect("it runs");
            let links = open.flatten().filter_map(|it| std::fs::read_link(it.path()).ok());
            let (sockets, others): (Vec<_>, Vec<_>) =
                links.partition(|it| it.to_string_lossy().starts_with("socket:"));
            (sockets.len(), others.len())
        };
        // The listener, Docker's connections, and a pair for signals.
        wait_for("connections are closed", || (open().0 <= 8).then_some(()));
        // A collection opens some for a moment, so the minimum counts.
        let counts = (0..10).map(|_| {
            std::thread::park_timeout(Duration::from_millis(20));
            open().1
        });
        let descriptors = counts.min().expect("ten counts");
        let metrics = exporter.fresh_scrape();
        let value = |name: &str| metrics.value(name, &[]).expect("always exported");
        Self {
            memory: value("process_resident_memory_bytes"),
            descriptors: descriptors as f64,
            threads: value("process_threads"),
            series: metrics.samples.len() as f64,
        }
    }

    fn rows(&self) -> [f64; 4] {
        [self.memory, self.descriptors, self.threads, self.series]
    }

    /// Prints the rows of one exporter. Returns whether nothing has grown.
    fn compare(source: &str, all: &[Self]) -> bool {
        let quarter = all.len().div_ceil(4);
        let (early, late) = (&all[..quarter], &all[all.len() - quarter..]);
        let mut is_good = true;
        for (row, what) in ["resident bytes", "descriptors", "threads", "series"].into_iter().enumerate() {
            let highest = |part: &[Self]| part.iter().map(|it| it.rows()[row]).fold(0.0, f64::max);
            let (start, end) = (highest(early), highest(late));
            let allowed = if row == 0 { (start * 0.05).max(ALLOWED_GROWTH_BYTES) } else { 0.0 };
            let has_grown = end > start + allowed;
            is_good &= !has_grown;
            let mark = if has_grown { " **has grown**" } else { "" };
            println!("| {source} | {what} | {start} | {end}{mark} | {} |", highest(all));
        }
        let tenths = all.chunks(all.len().div_ceil(10));
        let course = tenths.map(|part| part.iter().map(|it| it.memory).fold(0.0, f64::max) / 1e6);
        let course: Vec<_> = course.map(|megabytes| format!("{megabytes:.1}")).collect();
        println!("| {source} | highest resident MB, by tenths | {} | | |", course.join(" "));
        is_good
    }
}
