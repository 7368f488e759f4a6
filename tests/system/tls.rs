//! TLS and authentication: node_exporter accepts the same web configuration, and Prometheus and curl can use it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::certificates::Authority;
use crate::support::{Exporter, wait_for};
use crate::testkit::child::KillOnDrop;
use crate::testkit::engine::Engine;
use crate::testkit::prometheus::{Prometheus, free_address};
use crate::testkit::scratch::Scratch;

/// TLS with client certificates, two users, and headers.
fn write_configuration(directory: &Path) {
    let authority = Authority::new();
    authority.issue(&["localhost", "127.0.0.1"]).write(directory, "server");
    authority.issue(&["prometheus.example"]).write(directory, "client");
    fs::write(directory.join("ca.crt"), &authority.certificate).expect("a scratch file");
    let hash = bcrypt::hash("wonderland", 6).expect("a hash");
    let file = format!(
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  client_ca_file: ca.crt\n  client_auth_type: \
         RequireAndVerifyClientCert\n  min_version: TLS12\nhttp_server_config:\n  http2: true\n  headers:\n    \
         X-Content-Type-Options: nosniff\nbasic_auth_users:\n  prometheus: {hash}\n"
    );
    fs::write(directory.join("web.yml"), file).expect("a scratch file");
}

/// The status that `curl` gets with a client certificate, the user and this password.
fn curl(directory: &Path, address: &str, password: &str) -> String {
    let at = |name: &str| directory.join(name).display().to_string();
    let output = Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "10"])
        .args(["--cacert", &at("ca.crt"), "--cert", &at("client.crt"), "--key", &at("client.key")])
        .args(["--user", &format!("prometheus:{password}"), &format!("https://{address}/metrics")])
        .output()
        .expect("curl is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn prometheus_curl_and_node_exporter_work_with_the_same_web_configuration() {
    let scratch = Scratch::new("secure");
    let directory = &scratch.0;
    write_configuration(directory);
    let flag = format!("--web.config.file={}", directory.join("web.yml").display());

    let engine = Engine::shared();
    engine.run_workload("web", &[], &["fan", "3"]);
    let exporter = Exporter::start(&[&engine.flag(), "--collection.interval=250ms", &flag]);
    let peer_address = free_address();
    let _peer = KillOnDrop(
        Command::new("prometheus-node-exporter")
            .args([&flag, &format!("--web.listen-address={peer_address}")])
            .stderr(Stdio::null())
            .spawn()
            .expect("node_exporter is installed"),
    );
    for address in [&exporter.address, &peer_address] {
        wait_for("an answer", || (curl(directory, address, "wonderland") == "200").then_some(()));
        assert_eq!(curl(directory, address, "Wonderland"), "401", "{address}");
    }

    let at = |name: &str| directory.join(name).display().to_string();
    let scrape = format!(
        "  scheme: https\n  basic_auth: {{username: prometheus, password: wonderland}}\n  tls_config: {{ca_file: {}, \
         cert_file: {}, key_file: {}}}\n",
        at("ca.crt"),
        at("client.crt"),
        at("client.key")
    );
    let prometheus = Prometheus::start(&exporter.address, &scrape);
    wait_for("a scrape", || {
        (prometheus.query("up * on() pstree_container_processes{name=\"web\"}") == [4.0]).then_some(())
    });
}
