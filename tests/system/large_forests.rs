//! A chain of 5,000 processes and 10,000 zombies: in the metrics, in a tree, and in the live view. One test, because
//! the processes take long to start.

use std::process::Command;

use crate::live_view::Terminal;
use crate::testkit::binaries::static_binary;
use crate::testkit::engine::Engine;
use crate::testkit::oracle::ps;

#[test]
fn a_deep_chain_and_many_zombies_are_exported_and_shown() {
    let engine = Engine::shared();
    engine.run("bystander", &["--", "/bin/sleep", "1000"]);
    engine.run_workload("hostile", &["--init"], &["name", "1b5b33316d0a9b"]);
    engine.run_workload("deep", &["--pids-limit=-1"], &["chain", "5000"]);
    engine.run_workload("dead", &["--pids-limit=-1"], &["zombies", "10000"]);
    assert!(ps().values().filter(|row| row.state == 'Z').count() >= 10_000);
    assert_metrics(&engine);
    assert_trees(&engine);
    assert_live_view(&engine);
}

/// The exporter starts when the zombies are already dead, so it has not cached anything of them.
fn assert_metrics(engine: &Engine) {
    let exporter = engine.exporter();
    let metrics = exporter.scrape_until("all", |metrics| {
        let count = |name: &str| metrics.value("pstree_container_processes", &[("name", name)]);
        (count("deep").is_some() && count("dead").is_some()).then(|| metrics.clone())
    });
    let value = |family: &str, name: &str| metrics.value(family, &[("name", name)]);
    assert_eq!(value("pstree_container_processes", "deep"), Some(5_000.0));
    assert_eq!(value("pstree_container_tree_depth", "deep"), Some(5_000.0));
    let deepest = [("name", "deep"), ("depth", "16+")];
    assert_eq!(metrics.value("pstree_container_processes_by_depth", &deepest), Some(4_985.0));
    assert_eq!(metrics.sum("pstree_container_tree_node_processes", &[("name", "deep")]), 5_000.0);

    assert_eq!(value("pstree_container_zombie_processes", "dead"), Some(10_000.0));
    assert_eq!(value("pstree_container_threads", "dead"), Some(1.0));
    let parent = [("name", "dead"), ("parent", "workload")];
    assert_eq!(metrics.value("pstree_container_zombie_processes_by_parent", &parent), Some(10_000.0));
    assert_eq!(value("pstree_container_pids_current", "dead"), Some(10_001.0));
    assert_eq!(value("pstree_container_processes", "bystander"), Some(1.0));
}

fn assert_trees(engine: &Engine) {
    for (name, heading, last) in [
        ("deep", "5000 processes, depth 5000", "└─workload"),
        ("dead", "10000 zombies", "└─10000*[workload]"),
    ] {
        let mut tree = Command::new(static_binary());
        tree.args(["tree", name, &engine.flag()]).env("LC_ALL", "C.UTF-8");
        let output = tree.output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.lines().next().is_some_and(|line| line.contains(heading)), "{text:.200}");
        assert!(text.lines().last().is_some_and(|line| line.ends_with(last)), "{name}");
    }
    let mut unfolded = Command::new(static_binary());
    unfolded.args(["tree", "dead", "--no-fold", &engine.flag()]);
    let output = unfolded.output().expect("it runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 10_001 + 2, "one line each");
}

fn assert_live_view(engine: &Engine) {
    let terminal = Terminal::open();
    terminal.watch(engine, "--watch 1 hostile deep dead");
    terminal.wait_for("the hostile name", |screen| screen.contains("└─\u{fffd}[31m\u{fffd}\u{fffd}"));
    assert!(terminal.screen().starts_with("3 containers: 15003 processes, "), "{}", terminal.screen());
    terminal.keys(&["End"]);
    let end = terminal.wait_for("the zombies", |screen| screen.contains("zombie └─10000*[workload]"));
    assert!(end.contains("⋯5000"), "the end of the chain is right above: {end}");
    terminal.keys(&["q"]);
    terminal.assert_restored("0");
}
