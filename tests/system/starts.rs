//! Without BPF, the exporter estimates how many processes were started. The estimate is a lower bound: at least the
//! processes that a collection saw, and never more than the kernel counted.

use crate::support::Exporter;
use crate::support::exposition::Exposition;
use crate::testkit::engine::Engine;

const ESTIMATED: &str = "pstree_container_observed_starts_total";
const COUNTED: &str = "pstree_container_forks_total";

/// Name, flags, a script, and how many of its processes are still running at the end.
const CONTAINERS: [(&str, &[&str], &str, f64); 4] = [
    ("short", &[], "i=0; while [ $i -lt 200 ]; do /bin/sleep 0.01; i=$((i+1)); done", 0.0),
    ("threads", &[], "/bin/workload threads 2 & /bin/workload once groups 200 4", 1.0),
    (
        "refused",
        &["--pids-limit=20"],
        "i=0; while [ $i -lt 300 ]; do (/bin/sleep 1000 &) 2>/dev/null; i=$((i+1)); done",
        1.0,
    ),
    // Several containers use this pid namespace, so pids say nothing about one of them.
    ("shared", &["--pid=host"], "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done", 0.0),
];

fn value(metrics: &Exposition, family: &str, name: &str) -> f64 {
    metrics.value(family, &[("name", name)]).unwrap_or_else(|| panic!("no {family} of {name}"))
}

#[test]
fn estimated_starts_never_exceed_the_kernels_count() {
    let engine = Engine::shared();
    for (name, flags, script, _) in CONTAINERS {
        // The last pid belongs to a process that is still running when the next collection looks.
        let (first, last) = ("/bin/sleep 1000 &", "/bin/sleep 1000 &");
        engine.run_gated_with(flags, name, first, &format!("{script}; {last}"));
    }
    let exporters = [("proc", ESTIMATED), ("bpf", COUNTED)].map(|(source, family)| {
        let source = format!("--collection.source={source}");
        (Exporter::start(&[&engine.flag(), "--collection.interval=200ms", &source]), family)
    });
    let values = || {
        exporters.each_ref().map(|(exporter, family)| {
            let metrics = exporter.fresh_scrape();
            CONTAINERS.map(|(name, ..)| value(&metrics, family, name))
        })
    };
    for (exporter, family) in &exporters {
        exporter.scrape_until("all containers", |metrics| {
            let names = metrics.select(family, &[]).map(|(labels, _)| labels["name"].as_str());
            let names: Vec<_> = names.collect();
            CONTAINERS.iter().all(|(name, ..)| names.contains(name)).then_some(())
        });
    }
    let before = values();
    CONTAINERS.iter().for_each(|(name, ..)| engine.open_gate(name));
    CONTAINERS.iter().for_each(|(name, ..)| engine.wait_for_done(name));
    let after = values();
    for (index, (name, _, _, running)) in CONTAINERS.into_iter().enumerate() {
        let [estimated, counted] = [0, 1].map(|source| after[source][index] - before[source][index]);
        println!("{name}: {estimated} estimated, {counted} counted");
        // One more is running: the last.
        assert!((running + 1.0..=counted).contains(&estimated), "{name}: {estimated} of {counted}");
    }
}
