//! The stack of `deploy/compose.yaml`: the files that it names exist, and they work with Debian's servers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{http, rules, wait_for};
use crate::testkit::child::KillOnDrop;
use crate::testkit::engine::Engine;
use crate::testkit::prometheus::{Prometheus, free_address};

const CLONE: &str = env!("CARGO_MANIFEST_DIR");

/// Paths that compose.yaml takes from the machine and not from the clone.
const HOST_PATHS: [&str; 2] = ["/sys/fs/cgroup", "/var/run/docker.sock"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(CLONE).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The services of compose.yaml.
fn services() -> Value {
    let to_json = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let file = fs::File::open(Path::new(CLONE).join("deploy/compose.yaml")).expect("compose.yaml");
    // Debian's Python, for which the yaml module is installed.
    let output =
        Command::new("/usr/bin/python3").args(["-c", to_json]).stdin(file).output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    file["services"].clone()
}

/// The mounts of a service, as source and target. Their short form is `source:target[:options]`.
fn mounts(service: &Value) -> impl Iterator<Item = (&str, &str)> {
    service["volumes"].as_array().expect("volumes").iter().map(|mount| {
        let (source, rest) = mount.as_str().expect("the short form").split_once(':').expect("a target");
        (source, rest.split(':').next().unwrap_or(rest))
    })
}

/// Paths in compose.yaml are relative to its directory.
fn in_clone(path: &str) -> std::path::PathBuf {
    Path::new(CLONE).join("deploy").join(path)
}

#[test]
fn every_file_that_compose_mounts_or_builds_exists() {
    let services = services();
    let services = services.as_object().expect("services by name");
    assert_eq!(services.keys().collect::<Vec<_>>(), ["alertmanager", "exporter", "grafana", "prometheus"]);
    for (source, _) in services.values().flat_map(mounts) {
        // A name without a path is a volume.
        let exists = !source.contains('/') || (source.starts_with('.') && in_clone(source).exists());
        assert!(exists || HOST_PATHS.contains(&source), "{source}");
    }
    let build = &services["exporter"]["build"];
    let (context, dockerfile) = (build["context"].as_str().unwrap(), build["dockerfile"].as_str().unwrap());
    assert!(in_clone(context).join(dockerfile).exists());
}

#[test]
fn its_files_refer_to_each_other_by_service_and_port() {
    let services = services();
    for (path, service, port) in [
        ("deploy/prometheus/targets-compose/exporters.yaml", "exporter", 10073),
        ("deploy/prometheus/targets-compose/alertmanagers.yaml", "alertmanager", 9093),
        ("deploy/grafana/provisioning/datasources/prometheus.yaml", "prometheus", 9090),
    ] {
        assert!(read(path).contains(&format!("{service}:{port}\n")), "{path}");
        let published = services[service]["ports"][0].as_str().expect("address:port:port");
        assert!(published.ends_with(&format!(":{port}")), "{service}: {published}");
    }
    // The dashboards are mounted where Grafana searches for them.
    let provider = read("deploy/grafana/provisioning/dashboards/pstree.yaml");
    let path = provider.lines().find_map(|it| it.trim().strip_prefix("path: ")).expect("a path");
    for dashboard in ["fleet", "container", "exporter"] {
        let wanted = (format!("../dashboards/{dashboard}.json"), format!("{path}/{dashboard}.json"));
        let is_mounted =
            mounts(&services["grafana"]).any(|(from, to)| (from, to) == (&*wanted.0, &*wanted.1));
        assert!(is_mounted, "{dashboard}");
    }
}

#[test]
fn prometheus_and_alertmanager_run_on_its_files() {
    let engine = Engine::shared();
    let exporter = engine.exporter();
    let directory = std::env::temp_dir().join(format!("pstree-stack-{}", std::process::id()));
    let home = directory.join("deploy/prometheus");
    fs::create_dir_all(home.join("targets")).expect("a scratch directory");
    symlink(format!("{CLONE}/alerts"), directory.join("alerts")).expect("a scratch link");
    let config = home.join("prometheus.yml");
    // Only the interval and the ports differ.
    let text = read("deploy/prometheus/prometheus.yml");
    assert!(text.contains("interval: 10s"), "{text}");
    fs::write(&config, text.replace("interval: 10s", "interval: 1s")).expect("a scratch file");
    let alertmanager = free_address();
    for (file, shipped, address) in [
        ("exporters.yaml", "localhost:10073", &exporter.address),
        ("alertmanagers.yaml", "localhost:9093", &alertmanager),
    ] {
        let text = read(&format!("deploy/prometheus/targets/{file}"));
        assert!(text.contains(shipped), "{file}");
        fs::write(home.join("targets").join(file), text.replace(shipped, address)).expect("a scratch file");
    }

    let _alertmanager = KillOnDrop(
        Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={CLONE}/deploy/alertmanager/alertmanager.yml"))
            .arg(format!("--storage.path={}", directory.join("alertmanager").display()))
            .arg(format!("--web.listen-address={alertmanager}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus-alertmanager is installed"),
    );
    let prometheus = Prometheus::with_config(directory, &config);
    let ask = |path: &str| http::json(&prometheus.address, path)["data"].clone();

    wait_for("the exporter is up", || {
        let targets = ask("/api/v1/targets")["activeTargets"].take();
        let [target] = targets.as_array()?.as_slice() else { return None };
        assert_eq!(target["labels"]["job"], "pstree");
        (target["health"] == "up").then_some(())
    });
    wait_for("Prometheus has found Alertmanager", || {
        let found = ask("/api/v1/alertmanagers")["activeAlertmanagers"].take();
        let url = format!("http://{alertmanager}/api/v2/alerts");
        (found.as_array()?.as_slice() == [serde_json::json!({ "url": url })]).then_some(())
    });
    wait_for("Alertmanager is ready", || http::is_ready(&alertmanager).then_some(()));

    let shipped: usize = rules::files()
        .iter()
        .map(|path| fs::read_to_string(path).expect("rules"))
        .map(|text| {
            let keys = text.lines().map(|line| line.trim_start().trim_start_matches("- "));
            keys.filter(|key| key.starts_with("alert: ") || key.starts_with("record: ")).count()
        })
        .sum();
    let groups = ask("/api/v1/rules")["groups"].take();
    let loaded: Vec<&Value> = groups
        .as_array()
        .expect("groups")
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules"))
        .collect();
    assert_eq!(loaded.len(), shipped);
    assert!(loaded.iter().all(|rule| rule["health"] != "err"), "{loaded:#?}");
}
