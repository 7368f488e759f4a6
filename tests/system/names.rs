//! Row 35: names and labels without measure, in number, in length and in how often they change.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::support::Exporter;
use crate::support::exposition::{Exposition, Labels};

/// Characters that a label value may have.
const MOST: usize = 128;
const FOLDED: &str = "pstree_tree_nodes_folded_total";
const NODES: &str = "pstree_container_tree_node_processes";

/// A file for `docker run --label-file`.
fn label_file(name: &str, labels: impl Iterator<Item = (String, String)>) -> (PathBuf, String) {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let text = labels.fold(String::new(), |mut text, (key, value)| {
        writeln!(text, "{key}={value}").expect("a string takes everything");
        text
    });
    std::fs::write(&file, text).expect("a scratch file");
    let flag = format!("--label-file={}", file.display());
    (file, flag)
}

/// Of the containers that this engine knows.
fn infos(metrics: &Exposition) -> Vec<&Labels> {
    let all = metrics.select("pstree_container_info", &[]).map(|(labels, _)| labels);
    all.filter(|labels| !labels["image"].is_empty()).collect()
}

fn assert_bounded(metrics: &Exposition) {
    for (name, labels, _) in &metrics.samples {
        // Only the id is never cut: it tells series apart.
        for (label, value) in labels.iter().filter(|(label, _)| *label != "id") {
            assert!(
                value.chars().count() <= MOST,
                "{name}: {label} has {} characters",
                value.chars().count()
            );
        }
    }
}

#[test]
fn row_35_ten_thousand_labels_and_names_of_ten_kilobytes() {
    let engine = Engine::start();
    let (many, many_flag) = label_file("many-labels", {
        let secret = |number| (format!("label.{number}"), format!("secret-{number}"));
        (0..10_000).map(secret).chain([("team".to_owned(), "red".to_owned())])
    });
    let long = |what: &str| what.repeat(10 * 1024 / what.len());
    let long_labels = ["team", "com.docker.compose.project", "com.docker.compose.service"];
    let (wide, wide_flag) =
        label_file("long-labels", long_labels.iter().map(|&key| (key.to_owned(), long("ä"))));

    engine.run("plain", &["--", "/bin/sleep", "1000"]);
    engine.run_workload("many", &[&many_flag], &["fan", "2"]);
    engine.run_workload("wide", &[&wide_flag], &["fan", "3"]);
    // Apart from their last character they are the same.
    let ids: BTreeSet<String> = ["a", "b"]
        .map(|last| engine.run(&(long("n") + last), &["--", "/bin/sleep", "1000"]))
        .into_iter()
        .collect();
    let flags =
        [&engine.flag(), "--collection.interval=250ms", "--docker.label=team", "--docker.label=label.7"];
    let exporter = Exporter::start(&flags);
    let metrics =
        exporter.scrape_until("all names", |metrics| (infos(metrics).len() == 5).then(|| metrics.clone()));
    std::fs::remove_file(many).expect("it is there");
    std::fs::remove_file(wide).expect("it is there");

    assert_bounded(&metrics);
    let info = |name: &str| infos(&metrics).into_iter().find(|labels| labels["name"] == name).expect(name);
    let (plain, many, wide) = (info("plain"), info("many"), info("wide"));
    assert_eq!((many["label_team"].as_str(), many["label_label_7"].as_str()), ("red", "secret-7"));
    let short = format!("{}…", "ä".repeat(MOST - 1));
    for label in ["label_team", "compose_project", "compose_service"] {
        assert_eq!(wide[label], short, "{label}");
    }
    assert_eq!(plain["label_team"], "");
    // What nobody asked for is nowhere, however much there is.
    assert_eq!(metrics.text.matches("secret-").count(), 1);
    for labels in infos(&metrics) {
        assert!(labels.keys().eq(plain.keys()), "{:?}", labels.keys());
    }
    let short = format!("{}…", "n".repeat(MOST - 1));
    let alike: BTreeSet<String> = infos(&metrics)
        .into_iter()
        .filter(|labels| labels["name"] == short)
        .map(|labels| labels["container_id"].clone())
        .collect();
    assert_eq!(alike, ids, "two that look alike stay two");
    for (name, count) in [("plain", 1.0), ("many", 3.0), ("wide", 4.0)] {
        assert_eq!(metrics.value("pstree_container_processes", &[("name", name)]), Some(count), "{name}");
    }
    for id in &ids {
        let tree = exporter.get(&format!("/api/v1/containers/{id}/tree"), &[]);
        assert_eq!(tree.status, 200, "{}", tree.text());
        assert_eq!(exporter.get(&format!("/containers/{id}"), &[]).status, 200);
    }
    assert_eq!(exporter.get("/", &[]).status, 200);
    let docker = metrics.value("pstree_collector_success", &[("collector", "docker")]);
    assert_eq!(docker, Some(1.0), "the list of names was taken");
}

#[test]
fn row_35_a_container_renamed_all_the_time() {
    let engine = Engine::start();
    let id = engine.run_workload("name-0", &[], &["fan", "2"]);
    let exporter = Exporter::start(&[&engine.flag(), "--collection.interval=100ms"]);
    let of_container = |metrics: &Exposition| -> Vec<(String, Labels, f64)> {
        let is_its = |labels: &Labels| labels.get("id").is_some_and(|it| it.ends_with(&id));
        metrics.samples.iter().filter(|(_, labels, _)| is_its(labels)).cloned().collect()
    };
    let is_named =
        |metrics: &Exposition, name: &str| infos(metrics).iter().any(|labels| labels["name"] == name);
    exporter.scrape_until("the first name", |metrics| is_named(metrics, "name-0").then_some(()));
    let series = of_container(&exporter.fresh_scrape()).len();
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut seen = BTreeSet::new();
    let renames = std::thread::scope(|scope| {
        let renames = scope.spawn(|| {
            let mut count = 0;
            while Instant::now() < deadline || count <= 20 {
                engine.docker(&["rename", &id, &format!("name-{}", count + 1)]);
                count += 1;
            }
            count
        });
        while !renames.is_finished() {
            let metrics = exporter.scrape();
            let its = of_container(&metrics);
            assert_eq!(its.len(), series, "series of the one container");
            let starts = its.iter().find(|(family, ..)| family == "pstree_container_observed_starts_total");
            assert_eq!(starts.expect("it runs").2, 3.0);
            let names: BTreeSet<String> =
                its.into_iter().map(|(_, mut labels, _)| labels.remove("name").expect("a name")).collect();
            assert_eq!(names.len(), 1, "{names:?}");
            seen.extend(names);
        }
        renames.join().expect("it renames")
    });
    assert!(seen.len() > 5, "{renames} renames, of which {} were seen", seen.len());
    let last = format!("name-{renames}");
    exporter.scrape_until("the last name", |metrics| is_named(metrics, &last).then_some(()));
}

#[test]
fn row_35_processes_that_change_their_names_all_the_time() {
    const CHILDREN: f64 = 80.0;
    const SHOWN: usize = 50;
    const BUDGET: usize = 100;
    let engine = Engine::start();
    engine.run_workload("calm", &[], &["fan", "1"]);
    engine.run_workload("fickle", &[], &["names", &CHILDREN.to_string(), "50"]);
    for source in ["proc", "bpf"] {
        let source = format!("--collection.source={source}");
        let exporter = Exporter::start(&[&engine.flag(), "--collection.interval=100ms", &source]);
        let label = [("name", "fickle")];
        let mut last = exporter.scrape_until("the names", |metrics| {
            (metrics.value("pstree_container_processes", &label) == Some(CHILDREN + 1.0))
                .then(|| metrics.clone())
        });
        let (mut names, mut raw) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..20 {
            let metrics = exporter.fresh_scrape();
            assert_bounded(&metrics);
            assert_eq!(metrics.sum(NODES, &label), CHILDREN + 1.0, "sums stay exact");
            let nodes: Vec<&str> =
                metrics.select(NODES, &label).map(|(labels, _)| labels["node"].as_str()).collect();
            assert!(nodes.len() <= SHOWN, "{} nodes", nodes.len());
            assert!(nodes.contains(&"workload;other"), "{nodes:?}");
            names.extend(nodes.into_iter().filter(|node| !node.ends_with(";other")).map(str::to_owned));
            // Each collection folds more than half of the names that it meets.
            let folded = |metrics: &Exposition| metrics.value(FOLDED, &[]).expect("always there");
            assert!(folded(&metrics) > folded(&last), "nothing was folded");
            let ps = crate::truth::ps();
            raw.extend(ps.into_values().filter(|row| row.comm.starts_with('n')).map(|row| row.comm));
            last = metrics;
        }
        assert!(raw.len() > 5 * BUDGET, "only {} names by ps", raw.len());
        // The refill of an hour's budget within a minute is less than two.
        assert!(names.len() <= BUDGET + 2, "{} names were shown", names.len());
        assert_eq!(last.sum(NODES, &[("name", "calm")]), 2.0);
        assert_eq!(last.value(NODES, &[("name", "calm"), ("node", "workload;workload")]), Some(1.0));
    }
}
