//! Many processes, and little memory for the exporter.

use std::fs;

use crate::support::{Exporter, http};
use crate::testkit::binaries::static_binary;
use crate::testkit::cgroups::LimitedCgroup;
use crate::testkit::synthetic::{SyntheticContainers, is_synthetic, processes};

const MIB: u64 = 1 << 20;
/// The memory limit in the manifests in `deploy/`.
const MEMORY_LIMIT: u64 = 64 * MIB;
const LIMIT_FILES: [&str; 2] = ["memory.limit_in_bytes", "memory.max"];
const PROCESSES: f64 = 10_000.0;

#[test]
fn ten_thousand_processes_fit_into_64_mib() {
    // Many trees, and one tree of the same size.
    for (containers, size) in [(100, 100), (1, 10_000)] {
        let _containers = SyntheticContainers::start(containers, size);
        for source in ["auto", "bpf"] {
            let group = LimitedCgroup::new("memory");
            // BPF programs require more memory while they are loaded; then the limit is lowered.
            group.set(&LIMIT_FILES, if source == "bpf" { 256 * MIB } else { MEMORY_LIMIT });
            let mut command = group.command(&static_binary());
            let source_flag = format!("--collection.source={source}");
            command.args(["--no-docker", "--collection.interval=250ms", &source_flag]);
            let exporter = Exporter::spawn(command);
            let first = exporter.scrape();
            group.set(&LIMIT_FILES, MEMORY_LIMIT);
            let (labels, _) = first.select("pstree_source_info", &[]).next().expect("always exported");
            let wanted = if source == "bpf" { ("bpf", "flag") } else { ("proc", "memory") };
            assert_eq!((labels["source"].as_str(), labels["reason"].as_str()), wanted);
            let peak = group.file(&["memory.max_usage_in_bytes", "memory.peak"]);
            // Old kernels cannot reset it, so the value then includes loading.
            let _ = fs::write(&peak, "0");

            request_everything(&exporter, containers);

            let failed =
                fs::read_to_string(group.file(&["memory.failcnt", "memory.events"])).expect("counts");
            let failed: u64 = failed
                .lines()
                .filter(|line| !line.contains(' ') || line.starts_with("max ") || line.starts_with("oom"))
                .map(|line| line.rsplit(' ').next().expect("a count").parse::<u64>().expect("a count"))
                .sum();
            let peak: u64 = fs::read_to_string(&peak).expect("a peak").trim().parse().expect("bytes");
            let status = fs::read_to_string(format!("/proc/{}/status", exporter.pid())).expect("it runs");
            let own = status.lines().find(|line| line.starts_with("VmHWM")).expect("always exported");
            eprintln!("{containers} x {size} with {source}: {} KiB charged at most, {own}", peak >> 10);
            assert!(peak < MEMORY_LIMIT && failed == 0, "{peak} bytes, {failed} times at the limit");
            assert!(exporter.stop().success(), "it was not killed");
        }
    }
}

/// Every format and every page, by several clients at the same time, during several collections.
fn request_everything(exporter: &Exporter, containers: usize) {
    let metrics = exporter.fresh_scrape();
    assert_eq!(processes(&metrics), PROCESSES);
    let infos = metrics.select("pstree_container_info", &[]).map(|(labels, _)| labels);
    let names: Vec<&str> =
        infos.filter(|labels| is_synthetic(labels)).map(|labels| labels["container_id"].as_str()).collect();
    assert_eq!(names.len(), containers);
    let name = names[0];
    let openmetrics = ("Accept", "application/openmetrics-text;version=1.0.0");
    let gzip = ("Accept-Encoding", "gzip");
    let requests: Vec<(String, Vec<(&str, &str)>)> = vec![
        ("/metrics".into(), vec![]),
        ("/metrics".into(), vec![gzip]),
        ("/metrics".into(), vec![openmetrics]),
        ("/metrics".into(), vec![openmetrics, gzip]),
        ("/".into(), vec![]),
        (format!("/containers/{name}"), vec![]),
        ("/api/v1/containers".into(), vec![]),
        (format!("/api/v1/containers/{name}/tree"), vec![]),
    ];
    let collections = || exporter.scrape().value("pstree_collections_total", &[]).expect("always exported");
    let end = collections() + 6.0;
    while collections() < end {
        let address = &exporter.address;
        std::thread::scope(|scope| {
            for (path, headers) in requests.iter().chain(&requests) {
                scope.spawn(move || {
                    let response = http::request(address, "GET", path, headers);
                    assert_eq!(response.status, 200, "{path}");
                    assert!(response.body.len() > 300, "{path}: {} bytes", response.body.len());
                });
            }
        });
    }
}
