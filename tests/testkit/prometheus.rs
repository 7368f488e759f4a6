//! A separate Prometheus server for a test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{http, wait_for};
use crate::testkit::child::KillOnDrop;

pub struct Prometheus {
    directory: PathBuf,
    server: KillOnDrop,
    pub address: String,
}

/// A loopback address with a free port.
pub fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

impl Prometheus {
    /// Scrapes one exporter every second. `scrape` contains further lines of the scrape configuration.
    pub fn start(target: &str, scrape: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("pstree-prometheus-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a scratch directory");
        let config = directory.join("prometheus.yml");
        let text = format!(
            "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: pstree\n  static_configs:\n  - targets: ['{target}']\n{scrape}"
        );
        std::fs::write(&config, text).expect("a scratch file");
        Self::with_config(directory, &config)
    }

    /// Keeps its data and log in the directory, which is removed at the end.
    pub fn with_config(directory: PathBuf, config: &Path) -> Self {
        let address = free_address();
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
        let prometheus = Self { directory, server: KillOnDrop(server), address };
        wait_for("Prometheus is ready", || http::is_ready(&prometheus.address).then_some(()));
        prometheus
    }

    /// The values of an instant query, as promtool prints them: `{labels} => value @[time]`.
    pub fn query(&self, expression: &str) -> Vec<f64> {
        let url = format!("http://{}", self.address);
        let output = Command::new("promtool")
            .args(["query", "instant", &url, expression])
            .output()
            .expect("promtool is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter_map(|line| line.rsplit_once("=> ")?.1.split(' ').next()?.parse().ok()).collect()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).expect("the log")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // The server may write a last file; the directory belongs to this process alone.
        let _ = self.server.0.kill();
        let _ = self.server.0.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
