//! What `--web.config.file` may contain, and what happens when it changes.

use std::fs;

use crate::support::certificates::{Authority, TlsClient};
use crate::support::exposition::Exposition;
use crate::support::fixture::Fixture;
use crate::support::http::request;
use crate::support::secured::{SERVER, anybody, basic, serve, users, wait_for_metrics};
use crate::support::{Exporter, wait_for};

const FAILURES: &str = "pstree_web_config_reload_failures_total";
const IS_GOOD: &str = "pstree_web_config_last_reload_successful";

fn with_certificate() -> (Fixture, Authority) {
    let (fixture, authority) = (Fixture::with_container(), Authority::new());
    authority.issue(&["localhost"]).write(&fixture.path(""), "server");
    (fixture, authority)
}

/// Waits until the exporter logs that it rejects the file, with a message that contains `parts`.
fn rejected(exporter: &Exporter, parts: &[&str]) {
    exporter.log_until(&[&["level=warn", "--web.config.file"], parts].concat());
}

/// Waits until the exporter logs that it uses the current file.
fn reloaded(exporter: &Exporter) {
    exporter.log_until(&["level=info", "web.yml"]);
}

fn through_tls(exporter: &Exporter, authority: &Authority, headers: &[(&str, &str)]) -> Option<Exposition> {
    let response = anybody(authority).get(&exporter.address, "/metrics", headers).ok()?;
    (response.status == 200).then(|| Exposition::parse(&response.text()))
}

#[test]
fn a_truncated_file_removes_no_protection() {
    let (fixture, authority) = with_certificate();
    fixture.write("ca.crt", &authority.certificate);
    let scraper = authority.issue(&["prometheus.example"]);
    let certificates = format!(
        "{SERVER}  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: \
         [prometheus.example]\n"
    );
    let whole = certificates.clone() + &users(&[("alice", "wonderland")]);
    let exporter = serve(&fixture, &whole);
    let (right, wrong) = (basic("alice", "wonderland"), basic("alice", ""));
    let client = TlsClient { identity: Some(&scraper), ..anybody(&authority) };
    let ask = |header: &str| client.get(&exporter.address, "/metrics", &[("Authorization", header)]);
    let metrics = || {
        let response = ask(&right).ok().filter(|response| response.status == 200)?;
        Some(Exposition::parse(&response.text()))
    };
    wait_for("a first collection", metrics);
    let cuts = [("", "tls_server_config"), (SERVER, "client_auth_type"), (&certificates, "basic_auth_users")];
    for (number, (cut, lost)) in cuts.into_iter().enumerate() {
        fixture.write("web.yml", cut);
        rejected(&exporter, &[lost, "restart"]);
        wait_for("it is counted", || {
            let found = metrics().expect("served as before");
            let counted = (found.value(FAILURES, &[]), found.value(IS_GOOD, &[]));
            (counted == (Some(number as f64 + 1.0), Some(0.0))).then_some(())
        });
        assert_eq!(ask(&wrong).expect("TLS").status, 401);
        anybody(&authority).get(&exporter.address, "/metrics", &[]).expect_err("a certificate is wanted");
    }
    fixture.write("web.yml", &whole);
    reloaded(&exporter);
    wait_for("it is good", || metrics().filter(|found| found.value(IS_GOOD, &[]) == Some(1.0)));
    // A rate limit is not such a protection: it can be added and removed.
    fixture.write("web.yml", whole.clone() + "rate_limit: {interval: 1ms, burst: 1000}\n");
    reloaded(&exporter);
    fixture.write("web.yml", &whole);
    reloaded(&exporter);
}

#[test]
fn a_file_that_was_missing_is_used_when_it_appears() {
    let (fixture, authority) = with_certificate();
    let exporter = serve(&fixture, SERVER);
    wait_for("a first collection", || through_tls(&exporter, &authority, &[]));
    // The configuration is written before the certificate that it names, and is not changed again.
    let renewed = Authority::new();
    fixture.write("web.yml", SERVER.replace("server.", "renewed."));
    rejected(&exporter, &["renewed.crt"]);
    let scrape = || through_tls(&exporter, &authority, &[]).expect("served as before");
    let collections =
        |found: &Exposition| found.value("pstree_collections_total", &[]).expect("always there");
    // A collection exports the failures that were counted before it.
    let first =
        wait_for("the failure", || Some(scrape()).filter(|found| found.value(FAILURES, &[]) == Some(1.0)));
    // The same failure counts once, even if the files are read repeatedly.
    wait_for("more collections and reloads", || {
        let found = scrape();
        assert_eq!(found.value(FAILURES, &[]), Some(1.0));
        (collections(&found) >= collections(&first) + 15.0).then_some(())
    });
    renewed.issue(&["localhost"]).write(&fixture.path(""), "renewed");
    let good = wait_for("the new certificate", || {
        through_tls(&exporter, &renewed, &[]).filter(|found| found.value(IS_GOOD, &[]) == Some(1.0))
    });
    // The certificate may have been read before its key existed.
    let failures = good.value(FAILURES, &[]).expect("always there");
    assert!((1.0..=2.0).contains(&failures), "{failures}");
}

#[test]
fn configurations_of_other_exporters_are_accepted() {
    let (fixture, authority) = with_certificate();
    fixture.write("other.crt", "no certificate");
    for more in [
        "  client_auth_type: VerifyClientCertIfGiven\n",
        "  client_auth_type: NoClientCert\n",
        "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n",
        "  cipher_suites:\n  - TLS_RSA_WITH_AES_128_CBC_SHA\n  - TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305\n",
        "  curve_preferences: [CurveP521]\n  min_version: TLS10\n",
        "  cipher_suites:\n  curve_preferences:\n  client_allowed_sans:\nhttp_server_config:\n  headers:\n",
        "http_server_config:\nbasic_auth_users:\nrate_limit:\n  burst: 5\n",
    ] {
        let exporter = serve(&fixture, &format!("{SERVER}{more}"));
        wait_for(more, || through_tls(&exporter, &authority, &[]));
    }
    let inline = format!(
        "tls_server_config:\n  cert: ignored\n  cert_file: server.crt\n  key: |\n{}",
        fs::read_to_string(fixture.path("server.key"))
            .expect("a key")
            .lines()
            .map(|line| format!("    {line}\n"))
            .collect::<String>()
    );
    let exporter = serve(&fixture, &inline);
    wait_for("a named file takes precedence over inline text", || through_tls(&exporter, &authority, &[]));
    for nothing in ["tls_server_config: {}\n", "tls_server_config:\n  min_version: TLS13\n"] {
        let exporter = serve(&fixture, nothing);
        wait_for_metrics(&exporter, &[]);
    }
}

#[test]
fn a_self_signed_client_certificate_is_accepted_while_it_is_valid() {
    let (fixture, authority) = with_certificate();
    let (own, old, stranger) = (Authority::new(), Authority::expired(), Authority::new());
    fixture.write("clients.crt", format!("{}{}", own.certificate, old.certificate));
    let exporter = serve(
        &fixture,
        &format!("{SERVER}  client_ca_file: clients.crt\n  client_auth_type: RequireAndVerifyClientCert\n"),
    );
    let is_served = |identity: &Authority| {
        let client = TlsClient { identity: Some(&identity.identity()), ..anybody(&authority) };
        client.get(&exporter.address, "/-/healthy", &[]).is_ok_and(|response| response.status == 200)
    };
    assert_eq!([is_served(&own), is_served(&old), is_served(&stranger)], [true, false, false]);
}

#[test]
fn a_client_that_tls_rejects_is_logged_once() {
    let (fixture, authority) = with_certificate();
    fixture.write("ca.crt", &authority.certificate);
    let exporter = serve(
        &fixture,
        &format!("{SERVER}  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"),
    );
    // A client that only connects, as a port scan does, is not logged.
    drop(crate::support::http::connect(&exporter.address));
    let forged = Authority::new().issue(&["prometheus.example"]);
    let client = TlsClient { identity: Some(&forged), ..anybody(&authority) };
    for _ in 0..5 {
        client.get(&exporter.address, "/metrics", &[]).expect_err("an authority that is not trusted");
    }
    let scraper = authority.issue(&["prometheus.example"]);
    let client = TlsClient { identity: Some(&scraper), ..anybody(&authority) };
    assert_eq!(client.get(&exporter.address, "/-/healthy", &[]).expect("TLS").status, 200);
    let (_, log) = exporter.stop_and_log();
    let rejections: Vec<_> = log.iter().filter(|line| line.contains("tls_server_config")).collect();
    let [line] = rejections[..] else { panic!("not one line: {log:#?}") };
    assert!(line.contains("level=warn") && line.contains("127.0.0.1:"), "{line}");
}

#[test]
fn all_addresses_are_those_of_both_families() {
    let fixture = Fixture::with_container();
    for address in [":0", "[::]:0", "localhost:0"] {
        let exporter = fixture.exporter(&["--no-docker", &format!("--web.listen-address={address}")]);
        // The address that every test exporter has follows.
        let first = exporter.address.split(',').next().expect("an address");
        let port = first.rsplit(':').next().expect("a port");
        let response = request(&format!("127.0.0.1:{port}"), "GET", "/-/healthy", &[]);
        assert_eq!(response.status, 200, "{address}");
    }
}
