//! A real Prometheus and a real Alertmanager with the shipped rules, faster by a factor.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{http, rules, wait_for};

/// An alert at Alertmanager: its name, the exporter, and the container if it has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alert {
    pub(crate) alert: String,
    pub(crate) instance: String,
    pub(crate) name: Option<String>,
}

pub(crate) struct Stack {
    directory: PathBuf,
    servers: Vec<Child>,
    prometheus: String,
    alertmanager: String,
    /// When each alert was first active.
    pub(crate) seen: BTreeMap<Alert, Instant>,
}

impl Stack {
    /// `targets` are pairs of instance and address. The scrape and evaluation interval is 10 s, divided by the factor.
    pub(crate) fn start(targets: &[(&str, &str)], factor: u32) -> Self {
        let directory = std::env::temp_dir().join(format!("pstree-incidents-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a scratch directory");
        for file in rules::files() {
            let text = fs::read_to_string(&file).expect("rules");
            let name = file.file_name().expect("a file");
            fs::write(directory.join(name), rules::faster(&text, factor)).expect("a scratch file");
        }
        let (prometheus, alertmanager) = (free_address(), free_address());
        let targets: String = targets
            .iter()
            .map(|(instance, address)| {
                format!("  - targets: ['{address}']\n    labels: {{instance: {instance}}}\n")
            })
            .collect();
        let interval = Duration::from_secs(10) / factor;
        let config = format!(
            "global: {{scrape_interval: {0}ms, evaluation_interval: {0}ms}}\n\
             rule_files: ['*.yaml']\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n\
             scrape_configs:\n- job_name: pstree\n  static_configs:\n{targets}",
            interval.as_millis()
        );
        fs::write(directory.join("prometheus.yml"), config).expect("a scratch file");
        let mut stack =
            Self { directory, servers: Vec::new(), prometheus, alertmanager, seen: BTreeMap::new() };
        let routes = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/alertmanager/alertmanager.yml");
        stack.serve(
            "prometheus-alertmanager",
            &[
                &format!("--config.file={}", routes.display()),
                &format!("--storage.path={}", stack.directory.join("alertmanager").display()),
                &format!("--web.listen-address={}", stack.alertmanager),
                "--cluster.listen-address=",
            ],
        );
        stack.serve(
            "prometheus",
            &[
                &format!("--config.file={}", stack.directory.join("prometheus.yml").display()),
                &format!("--storage.tsdb.path={}", stack.directory.join("data").display()),
                &format!("--web.listen-address={}", stack.prometheus),
            ],
        );
        for address in [&stack.prometheus, &stack.alertmanager] {
            wait_for("it is ready", || http::is_ready(address).then_some(()));
        }
        stack
    }

    fn serve(&mut self, program: &str, arguments: &[&str]) {
        let log = fs::File::create(self.directory.join(format!("{program}.log"))).expect("a scratch file");
        let server = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; run make packages"));
        self.servers.push(server);
    }

    /// Queries Prometheus' API. Returns `data`, or its error message.
    pub(crate) fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let query: Vec<String> =
            parameters.iter().map(|(key, value)| format!("{key}={}", percent(value))).collect();
        let path = format!("/api/v1/{path}?{}", query.join("&"));
        let answer: Value = http::json(&self.prometheus, &path);
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].clone()),
            _ => Err(answer["error"].to_string()),
        }
    }

    /// Records the alerts that are active at Alertmanager now, also inhibited ones.
    pub(crate) fn observe(&mut self) {
        let now = Instant::now();
        let alerts = http::json(&self.alertmanager, "/api/v2/alerts?active=true&inhibited=true");
        for alert in alerts.as_array().expect("a list of alerts") {
            let label = |name: &str| alert["labels"][name].as_str().map(str::to_owned);
            let alert = Alert {
                alert: label("alertname").unwrap_or_default(),
                instance: label("instance").unwrap_or_default(),
                name: label("name"),
            };
            self.seen.entry(alert).or_insert(now);
        }
    }

    /// Observes until all these alerts have fired, at most until `end`.
    pub(crate) fn observe_until_seen(&mut self, alerts: &[Alert], end: Instant) {
        while !alerts.iter().all(|alert| self.seen.contains_key(alert)) && Instant::now() < end {
            self.observe();
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// Observes until `end`.
    pub(crate) fn observe_until(&mut self, end: Instant) {
        while Instant::now() < end {
            self.observe();
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
