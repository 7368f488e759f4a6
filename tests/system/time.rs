//! Time that passes differently: too little CPU, a stopped exporter, a wall clock that is set.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use crate::support::exposition::{Exposition, Labels};
use crate::support::http::{self, read_to_end};
use crate::support::workload::loads;
use crate::support::{BINARY, Exporter, wait_for};
use crate::testkit::cgroups::LimitedCgroup;
use crate::testkit::child::KillOnDrop;
use crate::testkit::synthetic::{SyntheticContainers, is_synthetic, processes};

fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

fn collected_at(metrics: &Exposition) -> f64 {
    metrics.value("pstree_last_collection_timestamp_seconds", &[]).expect("always exported")
}

fn collections(metrics: &Exposition) -> f64 {
    metrics.value("pstree_collections_total", &[]).expect("always exported")
}

/// Scrapes one exporter and fails when a counter decreases.
struct CounterWatch<'a> {
    exporter: &'a Exporter,
    counters: BTreeMap<(String, Labels), f64>,
}

impl<'a> CounterWatch<'a> {
    fn new(exporter: &'a Exporter) -> Self {
        Self { exporter, counters: BTreeMap::new() }
    }

    fn check(&mut self, metrics: &Exposition) {
        let counters = metrics.samples.iter().filter(|(name, ..)| name.ends_with("_total"));
        for (name, labels, value) in counters {
            let last = self.counters.insert((name.clone(), labels.clone()), *value);
            assert!(
                last.is_none_or(|last| last <= *value),
                "{name} {labels:?} decreased from {last:?} to {value}"
            );
        }
    }

    fn scrape(&mut self) -> Exposition {
        let metrics = self.exporter.scrape();
        self.check(&metrics);
        metrics
    }

    fn scrape_until<T>(&mut self, what: &str, mut look: impl FnMut(&Exposition) -> Option<T>) -> T {
        wait_for(what, || look(&self.scrape()))
    }

    /// Missed collections are not caught up on: the next ones are one interval apart. A slow machine only lowers the count.
    fn assert_no_burst(&mut self, interval: f64) {
        let begun = Instant::now();
        let first = self.scrape();
        self.scrape_until("ten collections", |metrics| {
            let count = collections(metrics) - collections(&first);
            // One may be about to begin, and one may have begun late.
            let most = begun.elapsed().as_secs_f64() / interval + 2.0;
            assert!(count <= most, "{count} collections instead of {most}");
            (count >= 10.0).then_some(())
        });
    }
}

#[test]
fn an_exporter_without_cpu_serves_an_old_snapshot_and_recovers() {
    const INTERVAL: f64 = 0.25;
    let _containers = SyntheticContainers::start(10, 50);
    let group = LimitedCgroup::new("cpu");
    let mut command = group.command(BINARY);
    command.args(["--no-docker", "--collection.interval=250ms"]);
    let exporter = Exporter::spawn(command);
    let mut watch = CounterWatch::new(&exporter);
    watch.scrape_until("the containers", |metrics| (processes(metrics) == 500.0).then_some(()));
    let (quota, period) = (["cpu.cfs_quota_us", "cpu.max"], ["cpu.cfs_period_us", "cpu.max"]);
    let is_v1 = group.file(&quota).ends_with(quota[0]);
    // Two thousandths of a CPU.
    if is_v1 {
        group.set(&period, 1_000_000);
    }
    group.set(&quota, if is_v1 { "2000" } else { "2000 1000000" });
    let mut oldest: f64 = 0.0;
    watch.scrape_until("the age grows", |metrics| {
        let age = unix_now() - collected_at(metrics);
        oldest = oldest.max(age);
        assert_eq!(processes(metrics), 500.0);
        (oldest > 8.0 * INTERVAL).then_some(())
    });
    group.set(&quota, if is_v1 { "-1" } else { "max" });
    let interval = "pstree_collection_interval_seconds";
    watch.scrape_until("the interval of the flag", |metrics| {
        (metrics.value(interval, &[]) == Some(INTERVAL)).then_some(())
    });
    watch.assert_no_burst(INTERVAL);
    watch.scrape_until("a new snapshot", |metrics| {
        (unix_now() - collected_at(metrics) < oldest).then_some(())
    });
}

#[test]
fn an_exporter_that_was_stopped_continues_without_a_burst() {
    const INTERVAL: f64 = 0.1;
    let exporter = Exporter::start(&["--no-docker", "--collection.interval=100ms"]);
    let mut watch = CounterWatch::new(&exporter);
    watch.scrape();
    exporter.signal(Signal::STOP);
    wait_for("it is stopped", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", exporter.pid())).expect("it is there");
        stat.contains(") T ").then_some(())
    });
    let stopped = unix_now();
    // The kernel accepts the connection and the request.
    let mut waiting = http::connect(&exporter.address);
    waiting
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("the request is accepted");
    wait_for("ten intervals", || (unix_now() - stopped > 10.0 * INTERVAL).then_some(()));
    let continued = unix_now();
    exporter.signal(Signal::CONT);
    let answer = Exposition::parse(&read_to_end(waiting).text());
    watch.check(&answer);
    // The snapshot is from before or after the stop, not from in between.
    assert!(
        collected_at(&answer) <= stopped || collected_at(&answer) >= continued,
        "{stopped} {}",
        collected_at(&answer)
    );
    watch.assert_no_burst(INTERVAL);
    assert!(collected_at(&watch.scrape()) >= continued);
}

/// A wall clock for the exporter only, which can be set while it runs. The monotonic clock is not changed.
struct Clock(PathBuf);

impl Clock {
    const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

    fn new() -> Self {
        assert!(Path::new(Self::LIBRARY).exists(), "libfaketime is not installed");
        let clock =
            Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("clock-{}", std::process::id())));
        clock.set(0.0);
        clock
    }

    /// `offset` is in seconds, relative to the real clock. The file is replaced as a whole, since it is read at any time.
    fn set(&self, offset: f64) {
        let new = self.0.with_extension("new");
        fs::write(&new, format!("{offset:+}\n")).expect("a scratch file");
        fs::rename(&new, &self.0).expect("a scratch file");
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.env("LD_PRELOAD", Self::LIBRARY).env("FAKETIME_TIMESTAMP_FILE", &self.0);
        // Both spellings exist.
        for name in ["FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC", "DONT_FAKE_MONOTONIC"] {
            command.env(name, "1");
        }
        command.env_remove("DOCKER_HOST");
        command
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A process that starts one child after another. Each child lives for 50 ms.
fn fork_storm() -> KillOnDrop {
    KillOnDrop(Command::new(loads()).args(["storm", "50"]).spawn().expect("the load starts"))
}

#[test]
fn a_wall_clock_that_is_set_changes_no_rate_and_no_counter() {
    const INTERVAL: f64 = 0.2;
    let containers = SyntheticContainers::start(3, 10);
    let storm = fork_storm();
    containers.add(storm.0.id());
    let clock = Clock::new();
    let mut command = clock.command();
    command.args(["--no-docker", "--collection.interval=200ms", "--collection.source=bpf"]);
    let exporter = Exporter::spawn(command);
    let mut watch = CounterWatch::new(&exporter);
    let is_stormy = |id: &str| id.ends_with("ffff");
    let calm_series = |metrics: &Exposition| -> Vec<(String, Labels, f64)> {
        let is_calm = |labels: &Labels| is_synthetic(labels) && !is_stormy(&labels["id"]);
        metrics.samples.iter().filter(|(_, labels, _)| is_calm(labels)).cloned().collect()
    };
    let before = watch.scrape_until("the containers", |metrics| {
        let has_rates = collections(metrics) > 2.0;
        // The storm may have a child at this moment.
        let count = processes(metrics);
        (has_rates && (31.0..=32.0).contains(&count)).then(|| calm_series(metrics))
    });
    // Rates calculated with the wall clock would be almost 0, or negative. Returns whether the storm has a rate.
    let sees_storm = || {
        let mut is_seen = false;
        let list = http::json(&exporter.address, "/api/v1/containers");
        for container in list["containers"].as_array().expect("a list") {
            let rate = container["forks_per_second"].as_f64();
            match container["id"].as_str().expect("an id") {
                id if is_stormy(id) => {
                    // At most 20 in reality; one late collection may calculate more.
                    assert!(rate.is_some_and(|rate| (0.0..1000.0).contains(&rate)), "{container}");
                    is_seen = rate > Some(0.2);
                }
                id if id.starts_with("/pstree-synthetic/") => assert_eq!(rate, Some(0.0), "{container}"),
                _ => {}
            }
        }
        is_seen
    };
    for offset in [3600.0, -3600.0, 86_400.0 * 365.0, 0.0] {
        clock.set(offset);
        // The next collection uses the new time; until then, the snapshot's age includes the step.
        let metrics = watch.scrape_until("a snapshot with the new time", |metrics| {
            sees_storm();
            let age = unix_now() + offset - collected_at(metrics);
            (-0.1..5.0).contains(&age).then(|| metrics.clone())
        });
        assert_eq!(calm_series(&metrics), before, "with the clock {offset} s ahead");
        wait_for("ready", || (exporter.get("/-/ready", &[]).status == 200).then_some(()));
        watch.assert_no_burst(INTERVAL);
        wait_for("forks of the storm", || sees_storm().then_some(()));
    }
}
