//! Pods on a real containerd with CRI. The test plays the kubelet: it creates pods and the names of their log files.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::exposition::Exposition;
use crate::support::{BINARY, Exporter, http, rules, wait_for, workload};
use crate::testkit::binaries::static_binary;
use crate::testkit::child::KillOnDrop;
use crate::testkit::containerd::{Containerd, Pod, Program, pids_directory};
use crate::testkit::prometheus::{Prometheus, free_address};
use crate::testkit::scratch::Scratch;

const APP: &str = "default/web-0/app";

/// The directories `/var/log/containers` and `/var/log/pods` of the kubelet.
struct Logs(Scratch);

impl Logs {
    fn new() -> Self {
        let logs = Self(Scratch::new("kubelet"));
        fs::create_dir_all(logs.containers()).expect("a scratch directory");
        fs::create_dir_all(logs.pods()).expect("a scratch directory");
        logs
    }

    fn containers(&self) -> PathBuf {
        self.0.0.join("containers")
    }

    fn pods(&self) -> PathBuf {
        self.0.0.join("pods")
    }

    fn flag(&self) -> String {
        format!("--path.kubernetes-logs={}", self.containers().display())
    }

    fn add(&self, pod: &Pod, name: &str, container: &str, id: &str) {
        fs::create_dir_all(self.pods().join(format!("default_{name}_{}", pod.uid))).expect("a directory");
        let link = self.containers().join(format!("{name}_default_{container}-{id}.log"));
        std::os::unix::fs::symlink("/nonexistent", link).expect("a link");
    }
}

/// The pod `web-0` with the containers `app`, of four processes, and `log`, of three.
fn run_web(containerd: &Containerd, logs: &Logs) -> (Pod, [String; 2]) {
    let pod = containerd.run_pod("web-0");
    let ids = [("app", "3"), ("log", "2")].map(|(name, children)| {
        let command = ["/bin/workload", "fan", children];
        let id = containerd.run_container(&pod, name, &Program { command: &command, ..Program::default() });
        logs.add(&pod, "web-0", name, &id);
        id
    });
    (pod, ids)
}

fn processes(metrics: &Exposition, name: &str) -> Option<f64> {
    metrics.value("pstree_container_processes", &[("name", name)])
}

/// Waits until the pod is complete.
fn assert_web(exporter: &Exporter) -> Exposition {
    exporter.scrape_until("all containers of the pod", |metrics| {
        let found = ["app", "log", "POD"].map(|name| processes(metrics, &format!("default/web-0/{name}")));
        (found == [Some(4.0), Some(3.0), Some(1.0)]).then(|| metrics.clone())
    })
}

#[test]
fn each_source_names_the_containers_of_a_pod() {
    let (containerd, logs) = (Containerd::start(), Logs::new());
    let (pod, [app, _]) = run_web(&containerd, &logs);
    let cri = format!("--cri.endpoint={}", containerd.address());
    for flags in [
        &["--names.kubernetes=logs", &logs.flag()][..],
        &["--names.kubernetes=cri", &cri],
        &["--names.kubernetes=auto", &cri, &logs.flag()],
    ] {
        let common = ["--no-docker", "--collection.interval=250ms", "--docker.label=team"];
        let exporter = Exporter::start(&[&common, flags].concat());
        let metrics = assert_web(&exporter);
        let by_id = [("container_id", app.as_str())];
        let (info, _) = metrics.select("pstree_container_info", &by_id).next().expect("exported");
        assert_eq!(info["id"], format!("/kubepods/besteffort/pod{}/{app}", pod.uid));
        assert_eq!([&info["namespace"], &info["pod"], &info["container"]], ["default", "web-0", "app"]);
        let has_cri = !flags.contains(&"--names.kubernetes=logs");
        assert_eq!(info["label_team"], if has_cri { "red" } else { "" });
        assert_eq!(info["image"].contains("pstree-pod"), has_cri, "{}", info["image"]);
        assert_eq!(metrics.value("pstree_pod_info", &[("pod_uid", &pod.uid)]), Some(1.0));

        let tree = Command::new(BINARY).args(["tree", "--no-docker", "web-0/app"]).args(flags).output();
        let text = String::from_utf8(tree.expect("it runs").stdout).expect("text");
        assert!(text.starts_with("default/web-0/app: 4 processes"), "{text}");
        let page = exporter.get("/containers/default%2Fweb-0%2Fapp", &[]);
        assert_eq!(page.status, 200);
        assert!(page.text().contains(APP), "{}", page.text());
    }
    containerd.remove_pod(&pod);
}

/// As the manifests run it: a container of another pod, without privilege, that sees the host's processes, cgroups and
/// names of log files.
#[test]
fn an_exporter_in_a_pod_without_privilege_names_pods_and_an_alert_names_the_full_one() {
    let (containerd, logs) = (Containerd::start(), Logs::new());
    let (pod, _) = run_web(&containerd, &logs);
    let (own, address) = (containerd.run_host_pid_pod("exporter"), free_address());
    let (containers, pods) = (logs.containers().display().to_string(), logs.pods().display().to_string());
    let listen = format!("--web.listen-address={address}");
    let binary = static_binary();
    containerd.run_container(
        &own,
        "exporter",
        &Program {
            command: &[
                "/bin/exporter",
                "--no-docker",
                "--collection.interval=250ms",
                "--path.cgroupfs=/host/cgroup",
                "--path.kubernetes-logs=/host/log/containers",
                &listen,
            ],
            user: 65534,
            mounts: &[
                (&binary, "/bin/exporter"),
                ("/sys/fs/cgroup", "/host/cgroup"),
                (&containers, "/host/log/containers"),
                (&pods, "/host/log/pods"),
            ],
        },
    );
    let scrape = || Exposition::parse(&http::request(&address, "GET", "/metrics", &[]).text());
    wait_for("the exporter serves", || http::is_ready(&address).then_some(()));
    let metrics = wait_for("the pod", || {
        let metrics = scrape();
        (processes(&metrics, APP) == Some(4.0)).then_some(metrics)
    });
    let by_name = [("name", APP)];
    let (labels, _) = metrics.select("pstree_container_processes", &by_name).next().expect("exported");
    assert!(labels["id"].starts_with(&format!("/kubepods/besteffort/pod{}/", pod.uid)), "{labels:?}");
    assert_eq!(metrics.value("pstree_container_pids_current", &by_name), Some(4.0), "pids files are read");

    // The limit of the pod: eight tasks run, so one more can start.
    let limit = pids_directory(&format!("/kubepods/besteffort/pod{}/pids.max", pod.uid));
    fs::write(&limit, "9").expect("root may set limits");
    wait_for("the headroom", || {
        let headroom = scrape().value("pstree_container_pids_headroom", &by_name);
        (headroom == Some(1.0)).then_some(())
    });
    let alerting = Alerting::start(&address);
    let (labels, receiver) = wait_for("the alert", || alerting.routed("PstreePidsNearLimit", APP));
    assert_eq!([&labels["namespace"], &labels["pod"], &labels["container"]], ["default", "web-0", "app"]);
    assert_eq!(receiver, "team-default");

    containerd.remove_pod(&pod);
    containerd.remove_pod(&own);
}

/// Prometheus with the shipped rules, and Alertmanager with a receiver for the namespace `default`.
struct Alerting {
    alertmanager: String,
    _servers: (Prometheus, KillOnDrop),
}

impl Alerting {
    /// Scrapes one exporter, which has labels of the same names as its target. All durations of rules are divided by 10.
    fn start(exporter: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("pstree-alerting-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a scratch directory");
        for file in rules::files() {
            let text = fs::read_to_string(&file).expect("rules");
            fs::write(directory.join(file.file_name().expect("a file")), rules::faster(&text, 10))
                .expect("a scratch file");
        }
        let routes = "route: {receiver: others, group_by: [alertname, namespace], routes: [\
                      {receiver: team-default, matchers: ['namespace=\"default\"']}]}\n\
                      receivers: [{name: others}, {name: team-default}]\n";
        fs::write(directory.join("alertmanager.yml"), routes).expect("a scratch file");
        let alertmanager = free_address();
        let server = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", directory.join("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", directory.join("alertmanager").display()))
            .arg(format!("--web.listen-address={alertmanager}"))
            .arg("--cluster.listen-address=")
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus-alertmanager is installed");
        let server = KillOnDrop(server);
        wait_for("Alertmanager is ready", || http::is_ready(&alertmanager).then_some(()));
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['*.yaml']\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n\
             scrape_configs:\n- job_name: pstree\n  honor_labels: true\n  static_configs:\n  \
             - targets: ['{exporter}']\n    labels: {{namespace: pstree, pod: exporter, container: exporter}}\n"
        );
        fs::write(directory.join("prometheus.yml"), config).expect("a scratch file");
        let config = directory.join("prometheus.yml");
        let prometheus = Prometheus::with_config(directory, &config);
        Self { alertmanager, _servers: (prometheus, server) }
    }

    /// The labels of a firing alert about a container, and the receiver that Alertmanager chose.
    fn routed(&self, alert: &str, container: &str) -> Option<(Value, String)> {
        let alerts = http::json(&self.alertmanager, "/api/v2/alerts");
        let found = alerts
            .as_array()?
            .iter()
            .find(|it| it["labels"]["alertname"] == *alert && it["labels"]["name"] == *container)?;
        Some((found["labels"].clone(), found["receivers"][0]["name"].as_str()?.to_owned()))
    }
}

/// A process that cannot end keeps the cgroup. Here it is a process from outside, which containerd does not stop.
#[test]
fn a_removed_pod_keeps_its_name_while_a_process_of_it_exists() {
    let (containerd, logs) = (Containerd::start(), Logs::new());
    let (pod, [app, _]) = run_web(&containerd, &logs);
    let cri = format!("--cri.endpoint={}", containerd.address());
    let exporter =
        Exporter::start(&["--no-docker", "--collection.interval=250ms", "--names.kubernetes=cri", &cri]);
    assert_web(&exporter);
    let remaining =
        Command::new(workload::binary()).args(["fan", "0"]).stdout(Stdio::null()).spawn().expect("it runs");
    let remaining = KillOnDrop(remaining);
    let cgroup = format!("/kubepods/besteffort/pod{}/{app}", pod.uid);
    for hierarchy in ["pids", "unified", "."] {
        let file = format!("/sys/fs/cgroup/{hierarchy}{cgroup}/cgroup.procs");
        if fs::exists(&file).unwrap_or(false) {
            fs::write(file, remaining.0.id().to_string()).expect("root may move processes");
        }
    }
    exporter.scrape_until("it is counted", |metrics| (processes(metrics, APP) == Some(5.0)).then_some(()));
    containerd.remove_pod(&pod);
    exporter.scrape_until("only it is left", |metrics| {
        (metrics.container_names() == [APP] && processes(metrics, APP) == Some(1.0)).then_some(())
    });
}
