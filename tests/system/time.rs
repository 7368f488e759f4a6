//! Time that does not pass as it should: too little CPU, a stop, a clock that is set.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use crate::pressure::OwnGroup;
use crate::spread::{Spread, is_spread, processes};
use crate::support::exposition::{Exposition, Labels};
use crate::support::http::{self, read_to_end};
use crate::support::workload::loads;
use crate::support::{BINARY, Exporter, wait_for};

fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

fn taken(metrics: &Exposition) -> f64 {
    metrics.value("pstree_last_collection_timestamp_seconds", &[]).expect("always there")
}

fn collections(metrics: &Exposition) -> f64 {
    metrics.value("pstree_collections_total", &[]).expect("always there")
}

/// Scrapes one exporter, and finds counters that fall.
struct Watch<'a> {
    exporter: &'a Exporter,
    counters: BTreeMap<(String, Labels), f64>,
}

impl<'a> Watch<'a> {
    fn new(exporter: &'a Exporter) -> Self {
        Self { exporter, counters: BTreeMap::new() }
    }

    fn take(&mut self, metrics: &Exposition) {
        let counters = metrics.samples.iter().filter(|(name, ..)| name.ends_with("_total"));
        for (name, labels, value) in counters {
            let last = self.counters.insert((name.clone(), labels.clone()), *value);
            assert!(
                last.is_none_or(|last| last <= *value),
                "{name} {labels:?} fell from {last:?} to {value}"
            );
        }
    }

    fn scrape(&mut self) -> Exposition {
        let metrics = self.exporter.scrape();
        self.take(&metrics);
        metrics
    }

    fn scrape_until<T>(&mut self, what: &str, mut look: impl FnMut(&Exposition) -> Option<T>) -> T {
        wait_for(what, || look(&self.scrape()))
    }

    /// What was missed is not made up for: collections go on one interval apart.
    fn assert_no_burst(&mut self, interval: f64) {
        let begun = Instant::now();
        let first = self.scrape();
        self.scrape_until("ten collections", |metrics| {
            let count = collections(metrics) - collections(&first);
            // One may be about to begin, and one was begun late.
            let most = begun.elapsed().as_secs_f64() / interval + 2.0;
            assert!(count <= most, "{count} collections where {most} are due");
            (count >= 10.0).then_some(())
        });
    }
}

#[test]
fn row_19_starved_of_cpu() {
    const INTERVAL: f64 = 0.25;
    let _spread = Spread::start(10, 50);
    let group = OwnGroup::make("cpu");
    let mut command = group.command(BINARY);
    command.args(["--no-docker", "--collection.interval=250ms"]);
    let exporter = Exporter::spawn(command);
    let mut watch = Watch::new(&exporter);
    watch.scrape_until("the containers", |metrics| (processes(metrics) == 500.0).then_some(()));
    let (quota, period) = (["cpu.cfs_quota_us", "cpu.max"], ["cpu.cfs_period_us", "cpu.max"]);
    let is_v1 = group.file(&quota).ends_with(quota[0]);
    // Two thousandths of a CPU.
    if is_v1 {
        group.set(&period, 1_000_000);
    }
    group.set(&quota, if is_v1 { "2000" } else { "2000 1000000" });
    let mut oldest: f64 = 0.0;
    watch.scrape_until("an age that grows", |metrics| {
        let age = unix_now() - taken(metrics);
        oldest = oldest.max(age);
        assert_eq!(processes(metrics), 500.0);
        (oldest > 8.0 * INTERVAL).then_some(())
    });
    group.set(&quota, if is_v1 { "-1" } else { "max" });
    let interval = "pstree_collection_interval_seconds";
    watch.scrape_until("the interval as it was", |metrics| {
        (metrics.value(interval, &[]) == Some(INTERVAL)).then_some(())
    });
    watch.assert_no_burst(INTERVAL);
    let age = unix_now() - taken(&watch.scrape());
    assert!(age < oldest, "{age} s old, and {oldest} s when it was starved");
}

#[test]
fn row_19_stopped_and_continued() {
    const INTERVAL: f64 = 0.1;
    let exporter = Exporter::start(&["--no-docker", "--collection.interval=100ms"]);
    let mut watch = Watch::new(&exporter);
    watch.scrape();
    exporter.signal(Signal::STOP);
    wait_for("it is stopped", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", exporter.pid())).expect("it is there");
        stat.contains(") T ").then_some(())
    });
    let stopped = unix_now();
    // The system takes the connection and the request for it.
    let mut waiting = http::connect(&exporter.address);
    waiting
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("the request is taken");
    wait_for("forty intervals", || (unix_now() - stopped > 40.0 * INTERVAL).then_some(()));
    let continued = unix_now();
    exporter.signal(Signal::CONT);
    let answer = Exposition::parse(&read_to_end(waiting).text());
    watch.take(&answer);
    // As old as it is, or new, and nothing in between.
    assert!(taken(&answer) <= stopped || taken(&answer) >= continued, "{stopped} {}", taken(&answer));
    watch.assert_no_burst(INTERVAL);
    assert!(taken(&watch.scrape()) >= continued);
}

/// A wall clock of the exporter's own, which can be set while it runs. The clock that only goes forward stays.
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

    /// Seconds ahead of the real one. Moved into place, for it may be read at any moment.
    fn set(&self, offset: f64) {
        let new = self.0.with_extension("new");
        fs::write(&new, format!("{offset:+}\n")).expect("a scratch file");
        fs::rename(&new, &self.0).expect("a scratch file");
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.env("LD_PRELOAD", Self::LIBRARY).env("FAKETIME_TIMESTAMP_FILE", &self.0);
        // Both spellings have been in use.
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

/// One child after the other, each for a twentieth of a second; killed when dropped.
struct Storm(Child);

impl Storm {
    fn start() -> Self {
        Self(Command::new(loads()).args(["storm", "50"]).spawn().expect("the load starts"))
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn row_19_the_wall_clock_is_stepped() {
    const INTERVAL: f64 = 0.2;
    let spread = Spread::start(3, 10);
    let storm = Storm::start();
    spread.add(storm.0.id());
    let clock = Clock::new();
    let mut command = clock.command();
    command.args(["--no-docker", "--collection.interval=200ms", "--collection.source=proc"]);
    let exporter = Exporter::spawn(command);
    let mut watch = Watch::new(&exporter);
    let stormy = |id: &str| id.ends_with("ffff");
    let of_calm = |metrics: &Exposition| -> Vec<(String, Labels, f64)> {
        let calm = |labels: &Labels| is_spread(labels) && !stormy(&labels["id"]);
        metrics.samples.iter().filter(|(_, labels, _)| calm(labels)).cloned().collect()
    };
    let before = watch.scrape_until("the containers", |metrics| {
        let rates = collections(metrics) > 2.0;
        (processes(metrics) == 32.0 && rates).then(|| of_calm(metrics))
    });
    // Rates by the clock on the wall would be next to nothing, or thousands. Returns whether the storm was met.
    let sees_storm = || {
        let mut is_met = false;
        let list = http::json(&exporter.address, "/api/v1/containers");
        for container in list["containers"].as_array().expect("a list") {
            let rate = container["observed_starts_per_second"].as_f64();
            match container["id"].as_str().expect("an id") {
                id if stormy(id) => {
                    // In truth 20 at most; a collection between two children meets none.
                    assert!(rate.is_some_and(|rate| (0.0..60.0).contains(&rate)), "{container}");
                    is_met = rate > Some(0.2);
                }
                id if id.starts_with("/pstree-spread/") => assert_eq!(rate, Some(0.0), "{container}"),
                _ => {}
            }
        }
        is_met
    };
    for offset in [3600.0, -3600.0, 86_400.0 * 365.0, 0.0] {
        clock.set(offset);
        // Its time is the new one within an interval; until then the snapshot is as old as the step is long.
        let metrics = watch.scrape_until("a snapshot of the new time", |metrics| {
            sees_storm();
            let age = unix_now() + offset - taken(metrics);
            (-0.1..5.0).contains(&age).then(|| metrics.clone())
        });
        // Nothing has moved in the calm containers, and nothing says so.
        assert_eq!(of_calm(&metrics), before, "with the clock {offset} s ahead");
        wait_for("ready", || (exporter.get("/-/ready", &[]).status == 200).then_some(()));
        watch.assert_no_burst(INTERVAL);
        wait_for("starts of the storm", || sees_storm().then_some(()));
    }
}
