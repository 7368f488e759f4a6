//! Other people's readers: Prometheus itself, promtool, and the Python client's OpenMetrics parser.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::engine::Engine;
use crate::support::{http, wait_for};

/// A Prometheus server of the test's own.
pub struct Prometheus {
    directory: PathBuf,
    server: Child,
    pub address: String,
}

impl Prometheus {
    /// Scrapes one exporter every second.
    fn start(target: &str) -> Self {
        Self::start_with(target, "")
    }

    /// `scrape` are further lines of the scrape configuration.
    pub fn start_with(target: &str, scrape: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("pstree-prometheus-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a scratch directory");
        let config = directory.join("prometheus.yml");
        let text = format!(
            "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: pstree\n  static_configs:\n  - targets: ['{target}']\n{scrape}"
        );
        std::fs::write(&config, text).expect("a scratch file");
        Self::with_config(directory, &config)
    }

    /// Keeps its data and log in the directory, which it removes in the end.
    pub fn with_config(directory: PathBuf, config: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|it| it.local_addr())
            .expect("a free port")
            .port();
        let address = format!("127.0.0.1:{port}");
        let log = std::fs::File::create(directory.join("log")).expect("a scratch file");
        let server = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=debug")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus is installed");
        let prometheus = Self { directory, server, address };
        wait_for("Prometheus is ready", || http::is_ready(&prometheus.address).then_some(()));
        prometheus
    }

    /// The values of an instant query, as promtool prints them: `{labels} => value @[time]`.
    pub fn query(&self, expression: &str) -> Vec<f64> {
        let url = format!("http://{}", self.address);
        let output = Command::new("promtool")
            .args(["query", "instant", &url, expression])
            .output()
            .expect("promtool runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter_map(|line| line.rsplit_once("=> ")?.1.split(' ').next()?.parse().ok()).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).expect("the log")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn prometheus_scrapes_it_while_containers_come_and_go() {
    let engine = Engine::start();
    engine.run_workload("steady", &[], &["fan", "3"]);
    let exporter = engine.exporter();
    exporter.scrape();
    let prometheus = Prometheus::start(&exporter.address);
    wait_for("a first scrape", || (prometheus.query("up") == [1.0]).then_some(()));
    for round in 0..5 {
        let name = format!("guest-{round}");
        engine.run(&name, &["--", "/bin/sleep", "1000"]);
        let query = format!("pstree_container_processes{{name=\"{name}\"}}");
        wait_for("the guest", || (prometheus.query(&query) == [1.0]).then_some(()));
        engine.docker(&["rm", "--force", &name]);
        // A series that ends with its target up is marked stale at the next scrape, not five minutes later.
        wait_for("the guest is gone", || prometheus.query(&query).is_empty().then_some(()));
    }
    assert_eq!(prometheus.query("min_over_time(up[5m])"), [1.0]);
    assert_eq!(prometheus.query("count(pstree_container_processes)"), [1.0]);
    assert_eq!(prometheus.query("pstree_container_processes{name=\"steady\"}"), [4.0]);
    assert_eq!(
        prometheus
            .query("sum by (id) (pstree_container_tree_node_processes) - on(id) pstree_container_processes"),
        [0.0]
    );
    assert_eq!(prometheus.query("pstree_container_processes * on(id) group_left(image) pstree_container_info{image=\"pstree-test\"}"), [4.0]);
    let log = prometheus.log();
    let complaints: Vec<_> = log
        .lines()
        .filter(|line| line.contains("component=\"scrape manager\"") && !line.contains("Starting"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn promtool_and_the_python_parser_accept_both_formats() {
    let engine = Engine::start();
    engine.run_workload("web", &["--label=a=b"], &["zombies", "3"]);
    engine.run_workload("hostile", &["--init"], &["name", "220a5c7dff1b"]);
    let exporter = engine.exporter();
    exporter.scrape_until("both", |metrics| (metrics.container_names().len() == 2).then_some(()));

    let text = exporter.scrape().text;
    let output = pipe(Command::new("promtool").args(["check", "metrics"]), &text);
    assert_eq!(output, "", "promtool check metrics");

    let openmetrics =
        exporter.get("/metrics", &[("Accept", "application/openmetrics-text; version=1.0.0")]).text();
    let script = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
families = list(openmetrics(sys.stdin.read()))
series = [(s.name, tuple(sorted(s.labels.items()))) for f in families for s in f.samples]
assert len(series) == len(set(series)), 'a series twice'
assert not [s for s in series if s[0].endswith('_created')]
print(sum(int(s.value) for f in families for s in f.samples if s.name == 'pstree_container_processes'))
";
    let python = std::env::var("PSTREE_PYTHON").expect("PSTREE_PYTHON has prometheus-client: run make test");
    assert_eq!(pipe(Command::new(python).args(["-c", script]), &openmetrics), "6\n");
}

/// Feeds a reader; returns all that it says. Panics when it fails.
fn pipe(command: &mut Command, text: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.take().expect("stdin is piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}
