//! Names and labels in extreme numbers and lengths, and names that change all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::support::exposition::{Exposition, Labels};
use crate::support::workload::Workload;
use crate::support::{BINARY, Exporter};
use crate::testkit::cgroups::ContainerCgroup;
use crate::testkit::engine::Engine;
use crate::testkit::oracle::ps;

/// The length limit of a label value, in characters.
const MAX_LENGTH: usize = 128;
const FOLDED: &str = "pstree_tree_nodes_folded_total";
const NODES: &str = "pstree_container_tree_node_processes";

/// Sets the flag when dropped, also by a failed assertion, so that a thread that waits for it ends.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A file for `docker run --label-file`.
fn label_file(name: &str, labels: impl Iterator<Item = (String, String)>) -> (PathBuf, String) {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let text = labels.fold(String::new(), |mut text, (key, value)| {
        writeln!(text, "{key}={value}").expect("strings grow");
        text
    });
    std::fs::write(&file, text).expect("a scratch file");
    let flag = format!("--label-file={}", file.display());
    (file, flag)
}

/// The containers that this engine knows.
fn infos(metrics: &Exposition) -> Vec<&Labels> {
    let all = metrics.select("pstree_container_info", &[]).map(|(labels, _)| labels);
    all.filter(|labels| !labels["image"].is_empty()).collect()
}

fn assert_bounded(metrics: &Exposition) {
    for (name, labels, _) in &metrics.samples {
        // Only the id is never truncated: it distinguishes series.
        for (label, value) in labels.iter().filter(|(label, _)| *label != "id") {
            assert!(
                value.chars().count() <= MAX_LENGTH,
                "{name}: {label} has {} characters",
                value.chars().count()
            );
        }
    }
}

#[test]
fn ten_thousand_labels_and_names_of_ten_kilobytes_are_truncated() {
    let engine = Engine::shared();
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
    // These names differ only in the last character.
    let ids: BTreeSet<String> = ["a", "b"]
        .map(|last| engine.run(&(long("n") + last), &["--", "/bin/sleep", "1000"]))
        .into_iter()
        .collect();
    let flags =
        [&engine.flag(), "--collection.interval=250ms", "--docker.label=team", "--docker.label=label.7"];
    let exporter = Exporter::start(&flags);
    let metrics =
        exporter.scrape_until("all names", |metrics| (infos(metrics).len() == 5).then(|| metrics.clone()));
    std::fs::remove_file(many).expect("the file exists");
    std::fs::remove_file(wide).expect("the file exists");

    assert_bounded(&metrics);
    let info = |name: &str| infos(&metrics).into_iter().find(|labels| labels["name"] == name).expect(name);
    let (plain, many, wide) = (info("plain"), info("many"), info("wide"));
    assert_eq!((many["label_team"].as_str(), many["label_label_7"].as_str()), ("red", "secret-7"));
    let short = format!("{}…", "ä".repeat(MAX_LENGTH - 1));
    for label in ["label_team", "compose_project", "compose_service"] {
        assert_eq!(wide[label], short, "{label}");
    }
    assert_eq!(plain["label_team"], "");
    // Labels that were not requested are not exported.
    assert_eq!(metrics.text.matches("secret-").count(), 1);
    for labels in infos(&metrics) {
        assert!(labels.keys().eq(plain.keys()), "{:?}", labels.keys());
    }
    // The end is a checksum, by which the two names differ.
    let short = format!("{}…", "n".repeat(MAX_LENGTH - 9));
    let truncated = infos(&metrics).into_iter().filter(|labels| labels["name"].starts_with(&short));
    let by_name: BTreeMap<String, String> =
        truncated.map(|labels| (labels["name"].clone(), labels["container_id"].clone())).collect();
    assert_eq!(by_name.values().cloned().collect::<BTreeSet<_>>(), ids, "{by_name:?}");
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
    assert_eq!(docker, Some(1.0), "the list of names was accepted");
}

#[test]
fn a_container_that_is_renamed_all_the_time_has_one_name_in_every_scrape() {
    let engine = Engine::shared();
    let id = engine.run_workload("name-0", &[], &["fan", "2"]);
    let exporter =
        Exporter::start(&[&engine.flag(), "--collection.interval=100ms", "--collection.source=bpf"]);
    let of_container = |metrics: &Exposition| -> Vec<(String, Labels, f64)> {
        let is_its = |labels: &Labels| labels.get("id").is_some_and(|it| it.ends_with(&id));
        metrics.samples.iter().filter(|(_, labels, _)| is_its(labels)).cloned().collect()
    };
    let is_named =
        |metrics: &Exposition, name: &str| infos(metrics).iter().any(|labels| labels["name"] == name);
    exporter.scrape_until("the first name", |metrics| is_named(metrics, "name-0").then_some(()));
    let forks = |series: &[(String, Labels, f64)]| {
        let forks = series.iter().find(|(family, ..)| family == "pstree_container_forks_total");
        forks.expect("the kernel counts").2
    };
    let at_first = of_container(&exporter.fresh_scrape());
    // The renames stop when enough names were exported.
    let is_done = AtomicBool::new(false);
    let mut seen = BTreeSet::new();
    let renames = std::thread::scope(|scope| {
        let renames = scope.spawn(|| {
            let mut count = 0;
            while !is_done.load(Ordering::Relaxed) {
                engine.docker(&["rename", &id, &format!("name-{}", count + 1)]);
                count += 1;
            }
            count
        });
        let stop = SetOnDrop(&is_done);
        while seen.len() <= 5 {
            let metrics = exporter.scrape();
            let its = of_container(&metrics);
            assert_eq!(its.len(), at_first.len(), "the number of series");
            assert_eq!(forks(&its), forks(&at_first));
            let names: BTreeSet<String> =
                its.into_iter().map(|(_, mut labels, _)| labels.remove("name").expect("a name")).collect();
            assert_eq!(names.len(), 1, "{names:?}");
            seen.extend(names);
        }
        drop(stop);
        renames.join().expect("docker renames")
    });
    let last = format!("name-{renames}");
    exporter.scrape_until("the last name", |metrics| is_named(metrics, &last).then_some(()));
}

#[test]
fn processes_that_change_their_names_all_the_time_stay_within_the_node_limits() {
    const CHILDREN: f64 = 80.0;
    const MAX_NODES: usize = 50;
    const BUDGET: usize = 100;
    let engine = Engine::shared();
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
        let begun = Instant::now();
        let (mut names, mut raw) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..20 {
            let metrics = exporter.fresh_scrape();
            assert_bounded(&metrics);
            assert_eq!(metrics.sum(NODES, &label), CHILDREN + 1.0, "sums are exact");
            let nodes: Vec<&str> =
                metrics.select(NODES, &label).map(|(labels, _)| labels["path"].as_str()).collect();
            assert!(nodes.len() <= MAX_NODES, "{} nodes", nodes.len());
            assert!(nodes.contains(&"workload;other"), "{nodes:?}");
            names.extend(nodes.into_iter().filter(|node| !node.ends_with(";other")).map(str::to_owned));
            // Every collection folds nodes: there are more names than the limit allows.
            let folded = |metrics: &Exposition| metrics.value(FOLDED, &[]).expect("always there");
            assert!(folded(&metrics) > folded(&last), "nothing was folded");
            raw.extend(ps().into_values().filter(|row| row.comm.starts_with('n')).map(|row| row.comm));
            last = metrics;
        }
        assert!(raw.len() > 5 * BUDGET, "only {} names by ps", raw.len());
        // The token bucket is refilled within an hour.
        let refill = BUDGET as f64 * begun.elapsed().as_secs_f64() / 3600.0;
        assert!(names.len() <= BUDGET + 1 + refill.ceil() as usize, "{} names were exported", names.len());
        assert_eq!(last.sum(NODES, &[("name", "calm")]), 2.0);
        assert_eq!(last.value(NODES, &[("name", "calm"), ("path", "workload;workload")]), Some(1.0));
    }
}

#[test]
fn a_missing_socket_is_logged_with_the_remedy_once_a_container_needs_it() {
    let mut command = Command::new("unshare");
    let script = format!("mount -t tmpfs none /run && exec {BINARY} \"$@\"");
    command.args(["--mount", "sh", "-c", &script, "exporter", "--collection.interval=100ms"]);
    command.env_remove("DOCKER_HOST");
    let exporter = Exporter::spawn(command);
    exporter.fresh_scrape();
    let is_warning = |line: &&String| line.contains("no socket of Docker or Podman exists");
    let log: Vec<String> = exporter.first_lines.iter().cloned().chain(exporter.log_so_far()).collect();
    assert_eq!(log.iter().find(is_warning), None, "no container is shown by id");

    let group = ContainerCgroup::new("50c4e7");
    let workload = Workload::start(&["fan", "1"]);
    group.add(workload.pid());
    let line = exporter.log_line("no socket of Docker or Podman exists");
    for part in ["level=warn", "containers are shown by id", "--docker.host", "--no-docker"] {
        assert!(line.contains(part), "{line}");
    }
    for _ in 0..3 {
        exporter.fresh_scrape();
    }
    drop(workload);
    let (_, log) = exporter.stop_and_log();
    assert_eq!(log.iter().find(is_warning), None, "it is logged once");
}
