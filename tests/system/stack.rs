//! The stack to try: what Compose makes of `deploy/compose.yaml`, and the same files with Debian's servers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::engine::Engine;
use crate::scraped::Prometheus;
use crate::support::{http, rules, wait_for};

const CLONE: &str = env!("CARGO_MANIFEST_DIR");

/// Paths that compose.yaml takes from the machine and not from the clone.
const OF_THE_MACHINE: [&str; 2] = ["/sys/fs/cgroup", "/var/run/docker.sock"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(CLONE).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The services of compose.yaml, as Compose understands it; no engine is asked.
fn services() -> Value {
    let python = std::env::var("PSTREE_PYTHON").expect("PSTREE_PYTHON has Compose beside it: run make test");
    let output = Command::new(Path::new(&python).with_file_name("docker-compose"))
        .args(["--file", &format!("{CLONE}/deploy/compose.yaml"), "config", "--format", "json"])
        .output()
        .expect("docker-compose is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let config: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    config["services"].clone()
}

#[test]
fn compose_takes_the_file_and_finds_what_it_mounts() {
    let services = services();
    let services = services.as_object().expect("services by name");
    assert_eq!(services.keys().collect::<Vec<_>>(), ["alertmanager", "exporter", "grafana", "prometheus"]);
    let mounts = services.values().flat_map(|it| it["volumes"].as_array().expect("volumes"));
    let sources: Vec<_> =
        mounts.filter(|it| it["type"] == "bind").map(|it| it["source"].as_str().expect("a path")).collect();
    assert!(sources.len() > OF_THE_MACHINE.len());
    for source in sources {
        let is_there = source.starts_with(CLONE) && Path::new(source).exists();
        assert!(is_there || OF_THE_MACHINE.contains(&source), "{source}");
    }
    let build = &services["exporter"]["build"];
    let (context, dockerfile) = (build["context"].as_str().unwrap(), build["dockerfile"].as_str().unwrap());
    assert!(Path::new(context).join(dockerfile).exists());
}

#[test]
fn its_files_name_each_other_by_service_and_port() {
    let services = services();
    for (path, service, port) in [
        ("deploy/prometheus/targets-compose/exporters.yaml", "exporter", 10073),
        ("deploy/prometheus/targets-compose/alertmanagers.yaml", "alertmanager", 9093),
        ("deploy/grafana/provisioning/datasources/prometheus.yaml", "prometheus", 9090),
    ] {
        assert!(read(path).contains(&format!("{service}:{port}\n")), "{path}");
        assert_eq!(services[service]["ports"][0]["target"], port, "{service}");
    }
    // Where Grafana looks for dashboards, there they are.
    let provider = read("deploy/grafana/provisioning/dashboards/pstree.yaml");
    let path = provider.lines().find_map(|it| it.trim().strip_prefix("path: ")).expect("a path");
    let mounts = services["grafana"]["volumes"].as_array().expect("volumes");
    for dashboard in ["fleet", "container", "exporter"] {
        let is_meant = |mount: &&Value| {
            mount["source"] == format!("{CLONE}/dashboards/{dashboard}.json")
                && mount["target"] == format!("{path}/{dashboard}.json")
        };
        assert_eq!(mounts.iter().filter(is_meant).count(), 1, "{dashboard}");
    }
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn prometheus_and_alertmanager_run_on_its_files() {
    let engine = Engine::start();
    let exporter = engine.exporter();
    let directory = std::env::temp_dir().join(format!("pstree-stack-{}", std::process::id()));
    let home = directory.join("deploy/prometheus");
    fs::create_dir_all(home.join("targets")).expect("a scratch directory");
    symlink(format!("{CLONE}/alerts"), directory.join("alerts")).expect("a scratch link");
    let config = home.join("prometheus.yml");
    fs::write(&config, read("deploy/prometheus/prometheus.yml")).expect("a scratch file");
    let alertmanager = free_address();
    // Only the ports are the test's own.
    for (file, shipped, address) in [
        ("exporters.yaml", "localhost:10073", &exporter.address),
        ("alertmanagers.yaml", "localhost:9093", &alertmanager),
    ] {
        let text = read(&format!("deploy/prometheus/targets/{file}"));
        assert!(text.contains(shipped), "{file}");
        fs::write(home.join("targets").join(file), text.replace(shipped, address)).expect("a scratch file");
    }

    let _alertmanager = Server(
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
        .map(|text| text.matches("- alert: ").count() + text.matches("- record: ").count())
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

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}
