//! Without the kernel's counts: how many processes were started at least, beside how many were.

use crate::engine::Engine;
use crate::support::Exporter;
use crate::support::exposition::Exposition;

const GUESSED: &str = "pstree_container_observed_starts_total";
const COUNTED: &str = "pstree_container_forks_total";

fn value(metrics: &Exposition, family: &str, name: &str) -> Option<f64> {
    metrics.value(family, &[("name", name)])
}

/// What `/proc` alone tells of a gated script, and what the kernel counted. `flags` are those of the container.
fn guessed_and_counted(flags: &[&str], script: &str) -> (f64, f64) {
    let engine = Engine::start();
    let start = |source: &str| {
        let source = format!("--collection.source={source}");
        Exporter::start(&[&engine.flag(), "--collection.interval=200ms", &source])
    };
    let (proc, bpf) = (start("proc"), start("bpf"));
    // Pids count from the first child on; what is left running at the end has the last one.
    let child = "/bin/sleep 1000 &";
    engine.run_gated_with(flags, "web", child, &format!("{script}; {child}"));
    let stands =
        |exporter: &Exporter, family| exporter.scrape_until("web", |metrics| value(metrics, family, "web"));
    stands(&proc, GUESSED);
    stands(&bpf, COUNTED);
    let before = (proc.fresh_scrape(), bpf.fresh_scrape());
    engine.open_gate("web");
    engine.wait_for_done("web");
    let after = (proc.fresh_scrape(), bpf.fresh_scrape());
    let grown = |before, after, family| {
        value(after, family, "web").expect("it runs") - value(before, family, "web").expect("it runs")
    };
    (grown(&before.0, &after.0, GUESSED), grown(&before.1, &after.1, COUNTED))
}

#[test]
fn processes_that_came_and_went_are_told_by_their_pids() {
    // Each lives for a twentieth of the time between two collections; the first is seen right before the others.
    let script = "/bin/sleep 0.3; i=0; while [ $i -lt 200 ]; do /bin/sleep 0.01; i=$((i+1)); done";
    let (guessed, counted) = guessed_and_counted(&[], script);
    assert_eq!(counted, 202.0);
    // A collection that comes late may lose some, and none counts twice.
    assert!((180.0..=counted).contains(&guessed), "{guessed} of {counted}");
}

#[test]
fn a_past_that_nobody_saw_is_no_storm_at_the_first_fork() {
    let engine = Engine::start();
    let forks = "/bin/sleep 1000 & /bin/workload once forks 20000";
    engine.run_gated_with(&[], "web", forks, "/bin/sleep 1000 &");
    let exporter =
        Exporter::start(&[&engine.flag(), "--collection.interval=200ms", "--collection.source=proc"]);
    let before = exporter.scrape_until("web", |metrics| value(metrics, GUESSED, "web"));
    exporter.fresh_scrape();
    engine.open_gate("web");
    engine.wait_for_done("web");
    let grown = value(&exporter.fresh_scrape(), GUESSED, "web").expect("it runs") - before;
    // Within the few seconds since the exporter began; all of it was 20,000.
    assert!((1.0..7000.0).contains(&grown), "{grown}");
}

#[test]
fn threads_and_refused_forks_are_no_starts() {
    let (guessed, counted) =
        guessed_and_counted(&[], "/bin/workload threads 2 & /bin/sleep 1; /bin/workload once groups 200 4");
    assert!((2.0..=counted).contains(&guessed), "{guessed} of {counted}");

    let refused = "i=0; while [ $i -lt 300 ]; do (/bin/sleep 1000 &) 2>/dev/null; i=$((i+1)); done";
    let (guessed, counted) = guessed_and_counted(&["--pids-limit=20"], refused);
    assert!((2.0..=counted).contains(&guessed), "{guessed} of {counted}");
}

#[test]
fn a_namespace_of_several_is_not_told_by_its_pids() {
    let (guessed, counted) =
        guessed_and_counted(&["--pid=host"], "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done");
    assert!((1.0..=counted).contains(&guessed), "{guessed} of {counted}");
}
