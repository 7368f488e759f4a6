//! Pods, and limits above containers, in the output of the exporter.

use crate::support::Exporter;
use crate::support::exposition::Exposition;
use crate::support::fixture::{Fixture, Process};

const UID: &str = "6a4ce4a0-ba47-11ea-b2a7-0cc47ac5979e";
const OTHER_UID: &str = "7b4ce4a0-ba47-11ea-b2a7-0cc47ac5979e";
const PODS: &str = "/kubepods/burstable";

/// The cgroup of a container of the pod, whose id is this digit repeated.
fn container(pod: &str, digit: char) -> String {
    format!("{PODS}/pod{pod}/{}", digit.to_string().repeat(64))
}

fn slice(pod: &str) -> String {
    format!("/kubepods.slice/kubepods-pod{}.slice", pod.replace('-', "_"))
}

/// Adds a container with one process, and the tasks and the limit of its cgroup.
fn add(fixture: &Fixture, pid: u32, path: &str, (current, max): (&str, &str)) {
    let cgroup = format!("0::{path}\n");
    fixture.process(&Process { pid, comm: b"app", cgroup: &cgroup, ..Process::default() });
    limit(fixture, path, (current, max));
}

fn limit(fixture: &Fixture, path: &str, (current, max): (&str, &str)) {
    fixture.write(&format!("cgroup{path}/pids.max"), format!("{max}\n"));
    fixture.write(&format!("cgroup{path}/pids.current"), format!("{current}\n"));
}

/// A pod with a limit of 100 and two containers of 49 and 50 tasks.
fn node() -> Fixture {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    fixture.write("cgroup/cgroup.controllers", "pids\n");
    add(&fixture, 10, &container(UID, 'a'), ("49", "max"));
    add(&fixture, 11, &container(UID, 'b'), ("50", "max"));
    limit(&fixture, &format!("{PODS}/pod{UID}"), ("99", "100"));
    limit(&fixture, PODS, ("99", "max"));
    fixture
}

fn exporter(fixture: &Fixture, more: &[&str]) -> Exporter {
    fixture.exporter(
        &[&["--no-docker", "--collection.interval=100ms", "--debug.timeout-scale=0.1"], more].concat(),
    )
}

fn headroom(metrics: &Exposition, path: &str) -> Option<f64> {
    metrics.value("pstree_container_pids_headroom", &[("id", path)])
}

/// The values of the five families of a pod: info, current, limit, peak, limit hits.
fn pod(metrics: &Exposition, uid: &str) -> [Option<f64>; 5] {
    ["info", "pids_current", "pids_limit", "pids_peak", "pids_limit_hits_total"]
        .map(|family| metrics.value(&format!("pstree_pod_{family}"), &[("pod_uid", uid)]))
}

#[test]
fn both_containers_of_a_full_pod_have_the_headroom_of_the_pod() {
    let fixture = node();
    let exporter = exporter(&fixture, &[]);
    exporter.scrape_until("both containers", |metrics| {
        let both = [headroom(metrics, &container(UID, 'a'))?, headroom(metrics, &container(UID, 'b'))?];
        assert_eq!(both, [1.0, 1.0]);
        let used = metrics.select("pstree_container_pids_limit_used_ratio", &[]);
        assert_eq!(used.map(|(_, ratio)| ratio).collect::<Vec<_>>(), [0.99, 0.99]);
        assert_eq!(pod(metrics, UID), [Some(1.0), Some(99.0), Some(100.0), None, None]);
        Some(())
    });
    let page = exporter.get("/", &[]).text();
    assert!(page.contains("49 (99 of 100 in a cgroup above)"), "{page}");
}

#[test]
fn a_pod_has_exactly_three_labels_and_is_exported_once() {
    let fixture = node();
    fixture.write(&format!("cgroup{PODS}/pod{UID}/pids.peak"), "100\n");
    fixture.write(&format!("cgroup{PODS}/pod{UID}/pids.events"), "max 9\n");
    fixture.write(&format!("cgroup{PODS}/pod{UID}/pids.events.local"), "max 7\n");
    // By the systemd driver, with a limit above the pod.
    add(&fixture, 12, &format!("{}/cri-containerd-{}.scope", slice(OTHER_UID), "c".repeat(64)), ("3", "max"));
    limit(&fixture, &slice(OTHER_UID), ("3", "max"));
    limit(&fixture, "/kubepods.slice", ("3", "10"));
    // No container of a pod.
    add(&fixture, 13, &format!("/docker/{}", "d".repeat(64)), ("1", "8"));
    let exporter = exporter(&fixture, &[]);
    exporter.scrape_until("all containers", |metrics| {
        (metrics.container_names().len() == 4).then_some(())?;
        assert_eq!(pod(metrics, UID), [1.0, 99.0, 100.0, 100.0, 7.0].map(Some));
        assert_eq!(pod(metrics, OTHER_UID), [Some(1.0), Some(3.0), None, None, None]);
        assert_eq!(metrics.select("pstree_pod_info", &[]).count(), 2);
        for (name, labels, _) in metrics.samples.iter().filter(|(name, ..)| name.starts_with("pstree_pod_")) {
            assert_eq!(labels.keys().collect::<Vec<_>>(), ["namespace", "pod", "pod_uid"], "{name}");
            assert_eq!((&*labels["namespace"], &*labels["pod"]), ("", ""), "nothing names it");
        }
        Some(())
    });
}

#[test]
fn a_pod_has_the_names_of_its_containers_and_no_series_before_one_is_named() {
    let fixture = node();
    let logs = format!("--path.kubernetes-logs={}", fixture.path("log/containers").display());
    fixture.write("log/containers/unrelated", "");
    // Containers wait for their names for longer than this test runs.
    let patient = ["--no-docker", "--collection.interval=100ms", "--debug.timeout-scale=100"];
    let exporter = fixture.exporter(&[&patient[..], &[&logs]].concat());
    let metrics = exporter.scrape();
    assert_eq!(metrics.container_names().len() + metrics.select("pstree_pod_info", &[]).count(), 0);
    fixture.write(&format!("log/containers/web-0_shop_app-{}.log", "b".repeat(64)), "");
    let labels = [("pod_uid", UID), ("namespace", "shop"), ("pod", "web-0")];
    exporter.scrape_until("the pod", |metrics| {
        let infos = metrics.select("pstree_pod_info", &[]).count();
        assert_eq!(metrics.select("pstree_pod_info", &labels).count(), infos, "never with empty names");
        (infos == 1).then_some(())
    });
    assert_eq!(exporter.scrape().value("pstree_pod_pids_current", &labels), Some(99.0));
}

#[test]
fn changed_limits_and_removed_pods_show_in_the_next_collection() {
    let fixture = node();
    add(&fixture, 12, &container(OTHER_UID, 'c'), ("5", "max"));
    limit(&fixture, &format!("{PODS}/pod{OTHER_UID}"), ("5", "max"));
    let exporter = exporter(&fixture, &[]);
    let (a, c) = (container(UID, 'a'), container(OTHER_UID, 'c'));
    exporter.scrape_until("all", |metrics| (metrics.container_names().len() == 3).then_some(()));
    assert_eq!(headroom(&exporter.scrape(), &c), None, "no level has a limit");

    // A limit on all pods, which the exporter has open. In place, as in cgroupfs.
    let max = |path: &str, text: &str| {
        std::fs::write(fixture.path(&format!("cgroup{path}/pids.max")), text).expect("a scratch file");
    };
    max(PODS, "150\n");
    let metrics = exporter.fresh_scrape();
    assert_eq!((headroom(&metrics, &a), headroom(&metrics, &c)), (Some(1.0), Some(51.0)));
    max(&format!("{PODS}/pod{UID}"), "max\n");
    let metrics = exporter.fresh_scrape();
    assert_eq!((headroom(&metrics, &a), headroom(&metrics, &c)), (Some(51.0), Some(51.0)));
    assert_eq!(pod(&metrics, UID)[2], None);

    fixture.remove("proc/12");
    fixture.remove(&format!("cgroup{PODS}/pod{OTHER_UID}"));
    let metrics = exporter.fresh_scrape();
    assert_eq!(pod(&metrics, OTHER_UID), [None; 5]);
    assert_eq!(headroom(&metrics, &c), None);
    assert_eq!(pod(&metrics, UID)[..2], [Some(1.0), Some(99.0)]);
    // A container of the other pod ends, the pod does not.
    fixture.remove("proc/10");
    assert_eq!(pod(&exporter.fresh_scrape(), UID)[..2], [Some(1.0), Some(99.0)]);
}

#[test]
fn a_pod_without_a_readable_cgroup_has_only_its_information() {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    let path = container(UID, 'a');
    fixture.process(&Process { pid: 10, cgroup: &format!("0::{path}\n"), ..Process::default() });
    let exporter = exporter(&fixture, &[]);
    exporter.scrape_until("the container", |metrics| {
        (metrics.container_names().len() == 1).then_some(())?;
        assert_eq!(pod(metrics, UID), [Some(1.0), None, None, None, None]);
        Some(())
    });
}

#[test]
fn a_cgroup_parent_and_cgroup_v1_have_headroom_too() {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    let id = "a".repeat(64);
    let cgroup = format!("8:pids:/batch/{id}\n1:name=systemd:/batch/{id}\n");
    fixture.process(&Process { pid: 10, cgroup: &cgroup, ..Process::default() });
    for (path, current, max) in
        [("", "30", "max"), ("/batch", "28", "30"), (&format!("/batch/{id}"), "8", "20")]
    {
        fixture.write(&format!("cgroup/pids{path}/pids.max"), format!("{max}\n"));
        fixture.write(&format!("cgroup/pids{path}/pids.current"), format!("{current}\n"));
    }
    let exporter = exporter(&fixture, &[]);
    exporter.scrape_until("the container", |metrics| {
        let found = headroom(metrics, &format!("/batch/{id}"))?;
        assert_eq!(found, 2.0);
        assert_eq!(metrics.select("pstree_pod_info", &[]).count(), 0);
        Some(())
    });
}
