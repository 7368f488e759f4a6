//! The events by command are exact: every number is known from what the container runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::Instant;

use pstree_exporter::model::command_counts::CommandCounts;
use pstree_exporter::model::process::Comm;
use pstree_exporter::observe::bpf::load::load;

use crate::event_counts::run_gated;
use crate::support::exposition::Exposition;
use crate::support::{Exporter, workload};
use crate::testkit::cgroups::ContainerCgroup;
use crate::testkit::engine::Engine;

const FORKS: &str = "pstree_container_command_forks_total";
const EXECS: &str = "pstree_container_command_execs_total";
const EXITS: &str = "pstree_container_command_exits_total";

fn start(engine: &Engine, more: &[&str]) -> Exporter {
    let flag = engine.flag();
    let flags = [flag.as_str(), "--collection.interval=200ms", "--collection.source=bpf"];
    Exporter::start(&[&flags[..], more].concat())
}

/// What each command did in a container between two scrapes, without those that did nothing.
fn difference(
    (before, after): &(Exposition, Exposition),
    family: &str,
    name: &str,
    outcome: Option<&str>,
) -> BTreeMap<String, u64> {
    let labels: Vec<(&str, &str)> =
        [("name", name)].into_iter().chain(outcome.map(|outcome| ("outcome", outcome))).collect();
    let of = |metrics: &Exposition| -> BTreeMap<String, f64> {
        metrics.select(family, &labels).map(|(labels, value)| (labels["command"].clone(), value)).collect()
    };
    let before = of(before);
    let grown = of(after).into_iter().map(|(command, value)| {
        let count = value - before.get(&command).copied().unwrap_or_default();
        assert!(count >= 0.0, "{family} of {command} decreased");
        (command, count as u64)
    });
    grown.filter(|&(_, count)| count > 0).collect()
}

fn expected<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(command, count)| (command.to_owned(), count)).collect()
}

/// The commands add up to the totals of the container.
fn assert_sums(metrics: &Exposition, name: &str) {
    let sum = |family: &str, outcome: Option<&str>| {
        let labels = [("name", name)].into_iter().chain(outcome.map(|outcome| ("outcome", outcome)));
        metrics.sum(family, &labels.collect::<Vec<_>>())
    };
    assert_eq!(sum(FORKS, None), sum("pstree_container_forks_total", None));
    assert_eq!(sum(EXECS, None), sum("pstree_container_execs_total", None));
    let total = |outcome| sum("pstree_container_exits_total", Some(outcome));
    assert_eq!(sum(EXITS, Some("failure")), total("failure"));
    let (signal, oom_kill) = (sum(EXITS, Some("signal")), sum(EXITS, Some("oom_kill")));
    assert_eq!(signal + oom_kill, total("signal"));
    assert_eq!(oom_kill, sum("pstree_container_oom_kills_total", None));
}

#[test]
fn each_container_has_its_own_storm() {
    let engine = Engine::shared();
    let exporter = start(&engine, &[]);
    let dates = "i=0; while [ $i -lt 10000 ]; do /bin/date; i=$((i+1)); done >/dev/null";
    let storm = "/bin/workload once forks 20000";
    let metrics = run_gated(&engine, &exporter, &[("dates", dates), ("storm", storm)]);
    assert_eq!(difference(&metrics, FORKS, "dates", None), expected([("sh", 10_000)]));
    assert_eq!(difference(&metrics, EXECS, "dates", None), expected([("date", 10_000)]));
    assert_eq!(difference(&metrics, FORKS, "storm", None), expected([("sh", 1), ("workload", 20_000)]));
    assert_eq!(difference(&metrics, EXECS, "storm", None), expected([("workload", 1)]));
    for name in ["dates", "storm"] {
        assert_sums(&metrics.1, name);
    }
}

#[test]
fn exits_are_counted_by_command_and_outcome() {
    let engine = Engine::shared();
    let exporter = start(&engine, &[]);
    let script = "i=0; while [ $i -lt 300 ]; do /bin/true; /bin/false; /bin/sh -c 'kill -KILL $$'; \
                  i=$((i+1)); done 2>/dev/null";
    let metrics = run_gated(&engine, &exporter, &[("outcomes", script)]);
    let exits = |outcome| difference(&metrics, EXITS, "outcomes", Some(outcome));
    assert_eq!(exits("failure"), expected([("false", 300)]));
    assert_eq!(exits("signal"), expected([("sh", 300)]));
    assert_eq!(exits("oom_kill"), expected([]));
    assert_sums(&metrics.1, "outcomes");
}

#[test]
fn the_oom_killer_is_distinguished_from_other_signals() {
    let engine = Engine::shared();
    let exporter = start(&engine, &[]);
    engine.run_gated_with(
        &["--memory=24m", "--memory-swap=24m"],
        "small",
        "",
        "/bin/sh -c '/bin/sh -c \"/bin/sleep 1.1; exec /bin/dd if=/dev/zero of=/dev/null bs=200M count=1\"; true'; \
         /bin/sh -c 'kill -KILL $$'; true",
    );
    let before = exporter.scrape_until("the container", |metrics| {
        (metrics.container_names() == ["small"]).then(|| metrics.clone())
    });
    assert_eq!(before.value("pstree_container_oom_kills_total", &[("name", "small")]), Some(0.0));
    let opened = Instant::now();
    engine.open_gate("small");
    engine.wait_for_done("small");
    let longest = opened.elapsed().as_secs();
    let metrics = (before, exporter.fresh_scrape());
    assert_eq!(metrics.1.value("pstree_container_oom_kills_total", &[("name", "small")]), Some(1.0));
    assert_eq!(difference(&metrics, EXITS, "small", Some("oom_kill")), expected([("dd", 1)]));
    assert_eq!(difference(&metrics, EXITS, "small", Some("signal")), expected([("sh", 1)]));
    assert_sums(&metrics.1, "small");
    let line = exporter.log_line("victim=");
    for part in ["level=warn", "id=/docker/", "victim=dd", "path=sh;sh;dd"] {
        assert!(line.contains(part), "{line}");
    }
    // It slept before it became dd.
    let age =
        line.split_whitespace().find_map(|part| part.strip_prefix("age=")?.strip_suffix('s')?.parse().ok());
    assert!(age.is_some_and(|age| (1..=longest).contains(&age)), "at most {longest} s: {line}");
}

#[test]
fn random_names_are_bounded_and_the_sums_stay_exact() {
    let engine = Engine::shared();
    let exporter = start(&engine, &[]);
    let renames = "/bin/workload once renames 100000";
    let execs = "/bin/workload once execs 100000 /bin/quit";
    let metrics = run_gated(&engine, &exporter, &[("renames", renames), ("execs", execs)]);
    let total = |name: &str, family: &str| {
        let value = |metrics: &Exposition| metrics.value(family, &[("name", name)]).expect("BPF counts");
        value(&metrics.1) - value(&metrics.0)
    };
    assert_eq!(total("renames", "pstree_container_forks_total"), 100_001.0);
    assert_eq!(total("execs", "pstree_container_forks_total"), 100_001.0);
    assert_eq!(total("execs", "pstree_container_execs_total"), 100_001.0);
    for name in ["renames", "execs"] {
        for metrics in [&metrics.0, &metrics.1, &exporter.fresh_scrape()] {
            assert_sums(metrics, name);
            for family in [FORKS, EXECS] {
                let count = metrics.select(family, &[("name", name)]).count();
                assert!(count <= 6, "{count} series of {family} in {name}");
            }
        }
    }
    assert_eq!(metrics.1.value("pstree_events_lost_total", &[]), Some(0.0));
}

#[test]
fn the_kernel_distinguishes_64_names_of_a_cgroup_between_two_readings() {
    let group = ContainerCgroup::new("f1");
    let directory = &group.directories()[0];
    let id = fs::metadata(directory).expect("it was just made").ino();
    // On a separate thread, because it drops the thread's capabilities.
    let thread = std::thread::Builder::new().spawn(|| load(16_384, true)).expect("a thread can be made");
    let mut loaded = thread.join().expect("no panic").expect("BPF works here: run as root");
    let run = |arguments: &str| {
        let procs = directory.join("cgroup.procs");
        let script =
            format!("echo $$ >{} && exec {} once {arguments}", procs.display(), workload::binary().display());
        assert!(Command::new("sh").args(["-c", &script]).status().expect("sh runs").success());
    };
    let execs = format!("execs 20000 {}", workload::quit().display());
    // The workload itself is executed, too. The limit counts from 0 after each reading.
    for (arguments, all_execs) in [(execs.as_str(), 20_001), ("renames 20000", 1)] {
        run(arguments);
        loaded.commands.begin_generation().expect("the map can be written");
        let (mut names, mut sum) = (BTreeSet::new(), CommandCounts::default());
        let drained = loaded.commands.drain(|cgroup_id, comm, counts| {
            if cgroup_id == id {
                sum += counts;
                assert!(names.insert(comm), "{comm:?} twice");
            }
        });
        drained.expect("the map can be read");
        // One more, which is empty, for all others.
        assert_eq!(names.len(), 65, "{arguments}");
        assert!(names.contains(&Comm::default()), "{arguments}");
        assert_eq!((sum.forks, sum.execs), (20_000, all_execs), "{arguments}");
    }
}

#[test]
fn lifetimes_are_a_histogram() {
    let engine = Engine::shared();
    let exporter = start(&engine, &[]);
    // A process can live longer than it sleeps, but not shorter.
    let script = "i=0; while [ $i -lt 20 ]; do /bin/true; /bin/sleep 0.15; i=$((i+1)); done; /bin/sleep 1.1";
    let begun = Instant::now();
    let (before, after) = run_gated(&engine, &exporter, &[("sleeps", script)]);
    let elapsed = begun.elapsed().as_secs_f64();
    let value = |metrics: &Exposition, suffix: &str, le: Option<&str>| {
        let family = format!("pstree_container_process_lifetime_seconds_{suffix}");
        let labels = [("name", "sleeps")].into_iter().chain(le.map(|le| ("le", le)));
        metrics.value(&family, &labels.collect::<Vec<_>>()).expect("BPF counts")
    };
    let grown = |suffix: &str, le: Option<&str>| value(&after, suffix, le) - value(&before, suffix, le);
    assert_eq!(grown("count", None), 41.0);
    assert_eq!(grown("bucket", Some("+Inf")), 41.0);
    let limits = ["0.01", "0.1", "1.0", "10.0", "60.0", "+Inf"].map(|le| grown("bucket", Some(le)));
    assert!(limits.is_sorted(), "{limits:?}");
    assert!(limits[1] <= 20.0 && limits[2] <= 40.0, "{limits:?}");
    // One runs after the other.
    let sum = grown("sum", None);
    assert!(sum >= 20.0 * 0.15 + 1.1 && sum <= elapsed, "{sum} of {elapsed} s");
}

#[test]
fn collectors_of_kernel_counters_can_be_switched_off() {
    let engine = Engine::shared();
    let flags = ["--no-collector.commands", "--no-collector.exits", "--no-collector.lifetimes"];
    let exporter = start(&engine, &flags);
    engine.run("plain", &["--", "/bin/sh", "-c", "/bin/false; exec /bin/sleep 1000"]);
    let after = exporter.scrape_until("kernel counters", |metrics| {
        metrics.value("pstree_container_forks_total", &[("name", "plain")]).map(|_| metrics.clone())
    });
    let exits = "pstree_container_exits_total";
    for family in [FORKS, EXECS, EXITS, exits, "pstree_container_process_lifetime_seconds_count"] {
        assert_eq!(after.select(family, &[]).count(), 0, "{family}");
    }
    assert_eq!(after.select("pstree_container_forks_total", &[]).count(), 1);
    drop(exporter);
    let exporter = start(&engine, &[]);
    exporter
        .scrape_until("kernel counters", |metrics| metrics.value(FORKS, &[("name", "plain")]).map(|_| ()));
    let metrics = Exposition::parse(&exporter.get("/metrics?collect[]=commands", &[]).text());
    let names: BTreeSet<&str> = metrics.samples.iter().map(|(name, ..)| name.as_str()).collect();
    let of_containers: Vec<&str> =
        names.into_iter().filter(|it| it.starts_with("pstree_container_")).collect();
    assert_eq!(of_containers, [EXECS, FORKS]);
}

#[test]
fn counting_by_command_can_be_switched_off() {
    let engine = Engine::shared();
    let exporter = start(&engine, &["--bounds.commands-per-container=0"]);
    let script = "i=0; while [ $i -lt 100 ]; do /bin/false; i=$((i+1)); done";
    let (before, after) = run_gated(&engine, &exporter, &[("plain", script)]);
    for family in [FORKS, EXECS, EXITS] {
        assert_eq!(after.select(family, &[]).count(), 0, "{family}");
    }
    for family in ["pstree_container_forks_total", "pstree_container_execs_total"] {
        let value = |metrics: &Exposition| metrics.value(family, &[("name", "plain")]).expect("BPF counts");
        assert_eq!(value(&after) - value(&before), 100.0, "{family}");
    }
}
