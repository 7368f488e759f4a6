//! Containers that come and go all the time.

use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::spread::Spread;
use crate::support::Exporter;

#[test]
fn row_24_one_name_per_container_and_no_series_twice() {
    let engine = Engine::start();
    let exporter = Exporter::start(&[&engine.flag(), "--collection.interval=100ms"]);
    engine.run("steady", &["--", "/bin/sleep", "1000"]);
    let deadline = Instant::now() + Duration::from_secs(15);
    let mut round = 0;
    std::thread::scope(|scope| {
        let churn = scope.spawn(|| {
            while Instant::now() < deadline || round < 3 {
                let (first, second) = (format!("a{round}"), format!("b{round}"));
                engine.run(&first, &["--", "/bin/sleep", "1000"]);
                engine.docker(&["rename", &first, &second]);
                engine.docker(&["pause", &second]);
                engine.docker(&["unpause", &second]);
                engine.docker(&["restart", "--time=0", &second]);
                engine.docker(&["rm", "--force", &second]);
                round += 1;
            }
        });
        while !churn.is_finished() {
            // Parsing fails on a series that comes twice.
            let metrics = exporter.scrape();
            let mut ids: Vec<_> =
                metrics.select("pstree_container_info", &[]).map(|(labels, _)| &labels["id"]).collect();
            let count = ids.len();
            ids.dedup();
            assert_eq!(ids.len(), count, "a container under two names");
            assert!(count <= 2);
            assert_eq!(metrics.value("pstree_collector_success", &[("collector", "processes")]), Some(1.0));
        }
    });
    exporter.scrape_until("only the steady one", |metrics| {
        (metrics.container_names() == ["steady"]).then_some(())
    });
}

/// Docker makes about two containers a second, so their cgroups are made by hand here, 10,000 of them, each
/// with a process; `row_24` has the real ones.
#[test]
fn row_25_ten_thousand_containers_leave_nothing_behind() {
    const BATCHES: usize = 20;
    const BATCH: usize = 500;
    let exporter = Exporter::start(&["--no-docker", "--collection.interval=100ms"]);
    let containers = |count: f64| {
        exporter.scrape_until(&format!("{count} containers"), |metrics| {
            (metrics.sum("pstree_containers", &[]) == count).then(|| metrics.clone())
        })
    };
    let mut at_first = None;
    for batch in 0..BATCHES {
        let spread = Spread::start_from(batch * BATCH, BATCH, 1);
        let metrics = containers(BATCH as f64);
        assert_eq!(metrics.select("pstree_container_info", &[]).count(), BATCH);
        drop(spread);
        let after = containers(0.0);
        let family = |name: &str| after.value(name, &[]).expect("always there");
        let now = (after.samples.len(), family("process_open_fds"), family("process_resident_memory_bytes"));
        // By the second batch all buffers have grown.
        if batch == 1 {
            at_first = Some(now);
        }
        if let Some(first) = at_first {
            assert_eq!(now.0, first.0, "series, batch {batch}");
            // The scrape before may still hold its connection.
            assert!(now.1 <= first.1 + 2.0, "descriptors grew from {} to {}", first.1, now.1);
            assert!(
                now.2 < first.2 + 8.0 * 1024.0 * 1024.0,
                "memory grew from {} to {} bytes",
                first.2,
                now.2
            );
        }
    }
}
