//! `--[no-]collector.NAME`, and `collect[]` in the query of a scrape.

use std::collections::BTreeSet;

use crate::support::Exporter;
use crate::support::exposition::Exposition;
use crate::support::fixture::{Fixture, Process};

const POD: &str = "/kubepods/burstable/pod6a4ce4a0-ba47-11ea-b2a7-0cc47ac5979e";

/// A pod with one container.
fn machine() -> Fixture {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    let cgroup = format!("{POD}/{}", "a".repeat(64));
    let line = format!("0::{cgroup}\n");
    fixture.process(&Process { pid: 10, comm: b"app", cgroup: &line, ..Process::default() });
    for path in [POD, &cgroup] {
        fixture.write(&format!("cgroup{path}/pids.current"), "1\n");
    }
    fixture.write("cgroup/cgroup.controllers", "pids\n");
    fixture
}

/// An exporter that collects often and has found the container.
pub(crate) fn start(fixture: &Fixture, more: &[&str]) -> Exporter {
    let flags = ["--no-docker", "--collection.interval=100ms", "--debug.timeout-scale=0.1"];
    let exporter = fixture.exporter(&[&flags, more].concat());
    exporter.scrape_until("the container", |metrics| (!metrics.container_names().is_empty()).then_some(()));
    exporter
}

/// The names of the samples that do not describe the exporter itself.
fn names(metrics: &Exposition) -> BTreeSet<String> {
    let names = metrics.samples.iter().map(|(name, ..)| name.clone());
    names
        .filter(|name| {
            ["pstree_container_", "pstree_pod_", "pstree_host_"].iter().any(|it| name.starts_with(it))
        })
        .collect()
}

const FAMILIES: [(&str, &[&str]); 5] = [
    ("states", &["pstree_container_processes_by_state"]),
    ("depth", &["pstree_container_processes_by_depth"]),
    ("tree", &["pstree_container_tree_node_processes"]),
    ("sessions", &["pstree_container_terminal_sessions"]),
    ("pods", &["pstree_pod_info", "pstree_pod_pids_current"]),
];

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn a_flag_switches_the_families_of_a_collector_off() {
    let fixture = machine();
    let all = names(&start(&fixture, &[]).scrape());
    for (collector, families) in FAMILIES {
        let exporter = start(&fixture, &[&format!("--no-collector.{collector}")]);
        let removed: BTreeSet<_> = all.difference(&names(&exporter.scrape())).cloned().collect();
        assert_eq!(removed, set(families), "{collector}");
    }
    let exporter = start(&fixture, &["--no-collector.tree", "--collector.tree"]);
    assert_eq!(names(&exporter.scrape()), all, "the last flag counts");
}

#[test]
fn a_scrape_selects_collectors() {
    let fixture = machine();
    let exporter = start(&fixture, &["--no-collector.depth"]);
    let get = |query: &str, headers: &[(&str, &str)]| exporter.get(&format!("/metrics?{query}"), headers);
    let selected = |query: &str| {
        let metrics = Exposition::parse(&get(query, &[]).text());
        assert!(metrics.value("process_threads", &[]).is_some(), "{query}: its own metrics are always there");
        assert_eq!(metrics.select("pstree_build_info", &[]).count(), 1, "{query}");
        names(&metrics)
    };
    for (collector, families) in FAMILIES.into_iter().filter(|(collector, _)| *collector != "depth") {
        assert_eq!(selected(&format!("collect[]={collector}")), set(families));
        assert_eq!(selected(&format!("collect%5B%5D={collector}&x=y")), set(families));
    }
    let both = selected("collect[]=states&collect[]=sessions");
    assert_eq!(both, set(&["pstree_container_processes_by_state", "pstree_container_terminal_sessions"]));
    let processes = selected("collect[]=processes");
    assert!(processes.contains("pstree_container_processes") && processes.contains("pstree_host_processes"));
    assert!(!processes.contains("pstree_container_processes_by_state"));
    assert_eq!(selected("other=tree"), names(&exporter.scrape()), "without collect[], all");

    let openmetrics =
        [("Accept", "application/openmetrics-text; version=1.0.0"), ("Accept-Encoding", "gzip")];
    let packed = get("collect[]=states", &openmetrics);
    let mut unpacked = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut unpacked)
        .expect("gzip");
    assert!(unpacked.contains("pstree_container_processes_by_state{") && unpacked.ends_with("# EOF\n"));
}

#[test]
fn a_collector_that_cannot_be_selected_is_an_error() {
    let fixture = machine();
    let exporter = start(&fixture, &["--no-collector.depth"]);
    for (query, mentions) in [
        ("collect[]=cpu", ["unknown collector", "processes, states, depth"]),
        ("collect[]=states&collect[]=", ["unknown collector", "pods"]),
        ("collect[]", ["unknown collector", "pods"]),
        ("collect[]=usage", ["disabled", "--collector.usage"]),
        ("collect[]=depth", ["disabled", "--collector.depth"]),
    ] {
        let response = exporter.get(&format!("/metrics?{query}"), &[]);
        assert_eq!(response.status, 400, "{query}");
        for mention in mentions {
            assert!(response.text().contains(mention), "{query}: {}", response.text());
        }
    }
}
