//! Exporters with a web configuration.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::certificates::{ANY_VERSION, Authority, TlsClient};
use super::exposition::Exposition;
use super::fixture::Fixture;
use super::{Exporter, wait_for};

/// The lowest cost of bcrypt, because tests use an unoptimized build.
pub const COST: u32 = 4;

pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

pub fn users(pairs: &[(&str, &str)]) -> String {
    let line = |(name, password): &(&str, &str)| {
        format!("  {name}: {}\n", bcrypt::hash(password, COST).expect("a hash"))
    };
    format!("basic_auth_users:\n{}", pairs.iter().map(line).collect::<String>())
}

/// Starts an exporter with this web configuration. File names are relative to the fixture.
pub fn serve(fixture: &Fixture, config: &str) -> Exporter {
    fixture.write("web.yml", config);
    let flag = format!("--web.config.file={}", fixture.path("web.yml").display());
    fixture.exporter(&["--no-docker", "--collection.interval=200ms", &flag])
}

pub fn status(exporter: &Exporter, headers: &[(&str, &str)]) -> u16 {
    exporter.get("/metrics", headers).status
}

/// Waits for the first collection.
pub fn wait_for_metrics(exporter: &Exporter, headers: &[(&str, &str)]) -> Exposition {
    wait_for("a first collection", || {
        let response = exporter.get("/metrics", headers);
        (response.status == 200).then(|| Exposition::parse(&response.text()))
    })
}

pub const SERVER: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

pub fn anybody<'a>(authority: &'a Authority) -> TlsClient<'a> {
    TlsClient { trusts: authority, identity: None, versions: ANY_VERSION }
}
