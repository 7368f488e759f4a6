//! Consumers of the exposition: Prometheus, promtool, and the Python client's OpenMetrics parser.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::wait_for;
use crate::testkit::engine::Engine;
use crate::testkit::prometheus::Prometheus;

#[test]
fn prometheus_scrapes_containers_that_come_and_go() {
    let engine = Engine::shared();
    engine.run_workload("steady", &[], &["fan", "3"]);
    let exporter = engine.exporter();
    exporter.scrape();
    let prometheus = Prometheus::start(&exporter.address, "");
    wait_for("a first scrape", || (prometheus.query("up") == [1.0]).then_some(()));
    for round in 0..2 {
        let name = format!("guest-{round}");
        engine.run(&name, &["--", "/bin/sleep", "1000"]);
        let query = format!("pstree_container_processes{{name=\"{name}\"}}");
        wait_for("the guest", || (prometheus.query(&query) == [1.0]).then_some(()));
        engine.docker(&["rm", "--force", &name]);
        // A series that ends while its target is up becomes stale at the next scrape, not five minutes later.
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
    let engine = Engine::shared();
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
    let python =
        std::env::var("PSTREE_PYTHON").expect("PSTREE_PYTHON has prometheus-client: run make system");
    assert_eq!(pipe(Command::new(python).args(["-c", script]), &openmetrics), "6\n");
}

/// Writes the text to the command's standard input; returns its output. Panics if the command fails.
fn pipe(command: &mut Command, text: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.take().expect("stdin is piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    text
}
