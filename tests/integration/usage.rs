//! CPU time and memory: `--collector.usage`, pages and JSON.

use crate::collectors::start;
use crate::support::exposition::Exposition;
use crate::support::fixture::{Fixture, Process, container_cgroup};

const CPU: &str = "pstree_container_tree_node_cpu_seconds_total";
const RESIDENT: &str = "pstree_container_tree_node_resident_bytes";
const PAGE: f64 = 4096.0;

fn process(fixture: &Fixture, pid: u32, parent: u32, comm: &str, cpu_ticks: u64, resident_pages: u64) {
    let (comm, cgroup) = (comm.as_bytes(), &*container_cgroup());
    let process = Process { pid, parent, comm, cgroup, cpu_ticks, resident_pages, ..Process::default() };
    fixture.process(&process);
}

/// A container with a shell and a program, which used CPU time before the exporter started.
fn machine() -> Fixture {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    process(&fixture, 10, 1, "sh", 100, 50);
    process(&fixture, 11, 10, "burn", 5_000, 7_000);
    fixture
}

fn of(metrics: &Exposition, family: &str, path: &str) -> Option<f64> {
    metrics.value(family, &[("path", path)])
}

#[test]
fn usage_is_exported_only_with_its_flag() {
    let fixture = machine();
    let metrics = start(&fixture, &[]).scrape();
    assert_eq!(metrics.select(CPU, &[]).count() + metrics.select(RESIDENT, &[]).count(), 0);
}

#[test]
fn cpu_time_is_counted_since_the_start_and_stays_with_the_path_of_processes_that_exited() {
    let fixture = machine();
    let exporter = start(&fixture, &["--collector.usage"]);
    let first = exporter.scrape();
    // Otherwise each start of the exporter would look like a burst.
    assert_eq!(first.sum(CPU, &[]), 0.0);
    assert_eq!(of(&first, RESIDENT, "sh"), Some(50.0 * PAGE));
    assert_eq!(of(&first, RESIDENT, "sh;burn"), Some(7_000.0 * PAGE));
    assert_eq!(of(&first, RESIDENT, "other"), Some(0.0));

    process(&fixture, 11, 10, "burn", 5_250, 7_000);
    // It started after the previous collection, so all its time is new.
    process(&fixture, 12, 10, "make", 40, 9);
    let cpu = |path: &str, seconds: f64| {
        exporter.scrape_until(&format!("{seconds} s of {path}"), |metrics| {
            (of(metrics, CPU, path) == Some(seconds)).then_some(())
        });
    };
    cpu("sh;burn", 2.5);
    cpu("sh;make", 0.4);
    fixture.remove("proc/11");
    exporter.scrape_until("the exit", |metrics| (of(metrics, RESIDENT, "sh;burn").is_none()).then_some(()));
    let last = exporter.fresh_scrape();
    assert_eq!(of(&last, CPU, "sh;burn"), Some(2.5));
    assert_eq!(last.sum(CPU, &[]), 2.9);
    assert_eq!(last.sum(RESIDENT, &[]), 59.0 * PAGE);
}

#[test]
fn the_five_biggest_paths_have_series_and_the_others_are_summed() {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    for number in 0..8 {
        process(&fixture, 10 + number, 1, &format!("p{number}"), 10, 100 - u64::from(number));
    }
    let exporter = start(&fixture, &["--collector.usage"]);
    for number in 0..8 {
        // A collection can see only some of them changed, so each uses twice as much as the one before.
        process(&fixture, 10 + number, 1, &format!("p{number}"), 10 + (100 << number), 1);
    }
    let metrics = exporter.scrape_until("all CPU time", |metrics| {
        (metrics.sum(CPU, &[]) == 255.0 && metrics.sum(RESIDENT, &[]) == 8.0 * PAGE).then(|| metrics.clone())
    });
    assert_eq!(metrics.select(CPU, &[]).count(), 6);
    assert_eq!(metrics.select(RESIDENT, &[]).count(), 6);
    assert_eq!(of(&metrics, CPU, "p7"), Some(128.0));
    assert_eq!(of(&metrics, CPU, "other"), Some(7.0));
    assert_eq!(of(&metrics, RESIDENT, "other"), Some(3.0 * PAGE));
}

#[test]
fn a_page_shows_and_sorts_by_usage() {
    let fixture = machine();
    process(&fixture, 12, 10, "idle", 1, 9_000);
    let exporter = start(&fixture, &[]);
    let name = exporter.scrape().container_names().remove(0);
    let page = |query: &str| exporter.get(&format!("/containers/{name}{query}"), &[]).text();
    let position = |page: &str, comm: &str| page.find(&format!("<b>{comm}</b>")).expect("a row");
    let by_pid = page("");
    assert!(by_pid.contains("<th scope=\"col\" class=\"n\">CPU%</th>"), "{by_pid}");
    // 7,000 pages.
    assert!(by_pid.contains("<td class=\"n\">27M</td>"), "{by_pid}");
    assert!(position(&by_pid, "burn") < position(&by_pid, "idle"), "{by_pid}");
    let by_memory = page("?sort=memory");
    assert!(position(&by_memory, "idle") < position(&by_memory, "burn"), "{by_memory}");
    assert!(
        by_memory.contains(">Sort by CPU</a>") && !by_memory.contains(">Sort by memory</a>"),
        "{by_memory}"
    );
    let by_cpu = page("?sort=cpu");
    assert!(position(&by_cpu, "burn") < position(&by_cpu, "idle"), "{by_cpu}");
}

#[test]
fn a_page_shows_the_share_of_a_core() {
    let fixture = machine();
    let exporter = start(&fixture, &[]);
    let name = exporter.scrape().container_names().remove(0);
    let shares = |page: &str| -> Vec<f64> {
        let cells =
            page.split("<td class=\"n\">").skip(1).map(|cell| cell.split('<').next().unwrap_or_default());
        // The age, the share and the memory follow each other.
        let cells: Vec<&str> = cells.collect();
        cells.chunks(5).filter_map(|row| row.get(3)?.parse().ok()).collect()
    };
    // 100 ms are 10 ticks; a slow machine makes the time between two collections longer.
    for round in 1..=5_000 {
        process(&fixture, 11, 10, "burn", 5_000 + 10 * round, 7_000);
        let page = exporter.get(&format!("/containers/{name}"), &[]).text();
        if shares(&page).iter().any(|&share| share > 1.0) {
            return;
        }
        exporter.fresh_scrape();
    }
    panic!("no share of a core was shown");
}
