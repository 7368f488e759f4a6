//! Containers that are created and removed all the time.

use std::collections::BTreeSet;

use crate::support::Exporter;
use crate::testkit::engine::Engine;
use crate::testkit::synthetic::SyntheticContainers;

#[test]
fn containers_that_come_and_go_have_one_name_and_no_duplicate_series() {
    const ROUNDS: usize = 4;
    let engine = Engine::shared();
    let exporter = Exporter::start(&[&engine.flag(), "--collection.interval=100ms"]);
    engine.run("steady", &["--", "/bin/sleep", "1000"]);
    std::thread::scope(|scope| {
        let churn = scope.spawn(|| {
            for round in 0..ROUNDS {
                let (first, second) = (format!("a{round}"), format!("b{round}"));
                engine.run(&first, &["--", "/bin/sleep", "1000"]);
                engine.docker(&["rename", &first, &second]);
                engine.docker(&["pause", &second]);
                engine.docker(&["unpause", &second]);
                engine.docker(&["restart", "--time=0", &second]);
                engine.docker(&["rm", "--force", &second]);
            }
        });
        while !churn.is_finished() {
            // Parsing fails if a series occurs twice.
            let metrics = exporter.scrape();
            let infos: Vec<_> =
                metrics.select("pstree_container_info", &[]).map(|(labels, _)| &labels["id"]).collect();
            let ids: BTreeSet<_> = infos.iter().collect();
            assert_eq!(ids.len(), infos.len(), "a container has two names: {infos:?}");
            assert!(ids.len() <= 2, "{ids:?}");
            assert_eq!(metrics.value("pstree_collector_success", &[("collector", "processes")]), Some(1.0));
        }
    });
    exporter.scrape_until("only the steady container", |metrics| {
        (metrics.container_names() == ["steady"]).then_some(())
    });
}

/// Many more than the exporter keeps counters of (2,000). An engine starts about two containers a second, so this
/// test creates only cgroups, each with a process.
#[test]
fn thousands_of_removed_containers_leave_nothing_behind() {
    const BATCHES: usize = 14;
    const BATCH: usize = 400;
    /// From then on, a removed container replaces another one, and all buffers have their size.
    const FULL: usize = 6;
    let exporter = Exporter::start(&["--no-docker", "--collection.interval=100ms"]);
    let containers = |count: f64| {
        exporter.scrape_until(&format!("{count} containers"), |metrics| {
            (metrics.sum("pstree_containers", &[]) == count).then(|| metrics.clone())
        })
    };
    let mut at_first = None;
    for batch in 0..BATCHES {
        let running = SyntheticContainers::start_from(batch * BATCH, BATCH, 1);
        let metrics = containers(BATCH as f64);
        assert_eq!(metrics.select("pstree_container_info", &[]).count(), BATCH);
        drop(running);
        let after = containers(0.0);
        let family = |name: &str| after.value(name, &[]).expect("always exported");
        let now = (after.samples.len(), family("process_open_fds"), family("process_resident_memory_bytes"));
        if batch == FULL {
            at_first = Some(now);
        }
        if let Some(first) = at_first {
            assert_eq!(now.0, first.0, "series, batch {batch}");
            // The previous scrape may not have closed its connection yet.
            assert!(now.1 <= first.1 + 2.0, "descriptors grew from {} to {}", first.1, now.1);
            assert!(
                now.2 < first.2 + 4.0 * 1024.0 * 1024.0,
                "memory grew from {} to {} bytes",
                first.2,
                now.2
            );
        }
    }
}
