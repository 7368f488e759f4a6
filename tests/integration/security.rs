//! `--web.config.file`: TLS, users, headers and limits, tested with the real binary.

use std::fs;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use crate::support::certificates::{Authority, TlsClient};
use crate::support::exposition::Exposition;
use crate::support::fixture::Fixture;
use crate::support::secured::{SERVER, anybody, basic, serve, status, users, wait_for_metrics};
use crate::support::{BINARY, Exporter, wait_for};
use tokio_rustls::rustls::version;

#[test]
fn a_server_with_a_certificate_speaks_tls_only() {
    let fixture = Fixture::with_container();
    let authority = Authority::new();
    authority.issue(&["localhost"]).write(&fixture.path(""), "server");
    let exporter = serve(&fixture, SERVER);
    let get = |path: &str| anybody(&authority).get(&exporter.address, path, &[]).expect("TLS");
    wait_for("a first collection", || (get("/metrics").status == 200).then_some(()));
    assert_eq!(get("/-/healthy").status, 200);
    let stranger = Authority::new();
    anybody(&stranger).get(&exporter.address, "/", &[]).expect_err("another authority is not trusted");
    // A client without TLS gets no HTTP response.
    let mut plain = crate::support::http::connect(&exporter.address);
    std::io::Write::write_all(&mut plain, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let mut heard = Vec::new();
    let _ = std::io::Read::read_to_end(&mut plain, &mut heard);
    assert!(!heard.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&heard));
}

#[test]
fn tls_versions_below_the_minimum_are_rejected() {
    let fixture = Fixture::with_container();
    let authority = Authority::new();
    authority.issue(&["localhost"]).write(&fixture.path(""), "server");
    let exporter = serve(&fixture, &format!("{SERVER}  min_version: TLS13\n"));
    let with =
        |versions| TlsClient { versions, ..anybody(&authority) }.get(&exporter.address, "/-/healthy", &[]);
    assert_eq!(with(const { &[&version::TLS13] }).expect("the newer one").status, 200);
    with(const { &[&version::TLS12] }).expect_err("the older one");
}

#[test]
fn client_certificates_are_verified_as_configured() {
    let fixture = Fixture::with_container();
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue(&["localhost"]).write(&fixture.path(""), "server");
    fixture.write("ca.crt", &authority.certificate);
    let (scraper, other) = (authority.issue(&["prometheus.example"]), authority.issue(&["other.example"]));
    let numbered = authority.issue(&["10.0.0.7"]);
    let forged = stranger.issue(&["prometheus.example"]);
    let verify = "  client_ca_file: ca.crt\n  client_auth_type: ";
    let is_served = |exporter: &Exporter, identity| {
        let client = TlsClient { identity, ..anybody(&authority) };
        client.get(&exporter.address, "/-/healthy", &[]).is_ok_and(|response| response.status == 200)
    };

    let exporter = serve(&fixture, &format!("{SERVER}{verify}RequireAndVerifyClientCert\n"));
    let served = |identity| is_served(&exporter, identity);
    assert_eq!([served(Some(&scraper)), served(Some(&forged)), served(None)], [true, false, false]);

    let exporter = serve(&fixture, &format!("{SERVER}{verify}VerifyClientCertIfGiven\n"));
    let served = |identity| is_served(&exporter, identity);
    assert_eq!([served(Some(&scraper)), served(Some(&forged)), served(None)], [true, false, true]);

    let exporter = serve(&fixture, &format!("{SERVER}  client_auth_type: RequireAnyClientCert\n"));
    let served = |identity| is_served(&exporter, identity);
    assert_eq!([served(Some(&scraper)), served(Some(&forged)), served(None)], [true, true, false]);

    let names = "  client_allowed_sans: [prometheus.example, 10.0.0.7]\n";
    let exporter = serve(&fixture, &format!("{SERVER}{verify}RequireAndVerifyClientCert\n{names}"));
    let served = |identity| is_served(&exporter, identity);
    assert_eq!([served(Some(&scraper)), served(Some(&numbered)), served(Some(&other))], [true, true, false]);
}

#[test]
fn a_broken_certificate_is_rejected_and_counted_and_the_old_one_stays() {
    let fixture = Fixture::with_container();
    let (old, new) = (Authority::new(), Authority::new());
    old.issue(&["localhost"]).write(&fixture.path(""), "server");
    let exporter = serve(&fixture, SERVER);
    let metrics = |authority: &Authority| -> Option<Exposition> {
        let response = anybody(authority).get(&exporter.address, "/metrics", &[]).ok()?;
        (response.status == 200).then(|| Exposition::parse(&response.text()))
    };
    let value = |metrics: &Exposition, family: &str| metrics.value(family, &[]);
    let good = wait_for("a first collection", || metrics(&old));
    assert_eq!(value(&good, "pstree_web_config_last_reload_successful"), Some(1.0));
    assert_eq!(value(&good, "pstree_web_config_reload_failures_total"), Some(0.0));

    fixture.write("server.crt", "-----BEGIN CERTIFICATE-----\nnonsense\n");
    let bad = wait_for("the failure", || {
        metrics(&old).filter(|it| value(it, "pstree_web_config_reload_failures_total") == Some(1.0))
    });
    assert_eq!(value(&bad, "pstree_web_config_last_reload_successful"), Some(0.0));
    exporter.log_until(&["level=warn", "--web.config.file", "cert"]);

    new.issue(&["localhost"]).write(&fixture.path(""), "server");
    let fixed = wait_for("the new certificate", || {
        metrics(&new).filter(|it| value(it, "pstree_web_config_last_reload_successful") == Some(1.0))
    });
    assert!(value(&fixed, "pstree_web_config_reload_failures_total") >= Some(1.0));
    assert!(metrics(&old).is_none(), "the old one is gone");
}

#[test]
fn requests_need_a_user_and_the_right_password() {
    let fixture = Fixture::with_container();
    let exporter = serve(&fixture, &users(&[("alice", "wonder:land"), ("bob", "")]));
    let right = basic("alice", "wonder:land");
    wait_for_metrics(&exporter, &[("Authorization", &right)]);
    let refused = exporter.get("/metrics", &[]);
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").is_some_and(|it| it.starts_with("Basic realm=")));
    assert!(!refused.text().contains("pstree_"));
    for path in ["/", "/api/v1/containers", "/-/healthy", "/-/ready", "/nothing"] {
        assert_eq!(exporter.get(path, &[]).status, 401, "{path}");
    }
    for (name, password) in
        [("alice", "wonder"), ("alice", ""), ("Alice", "wonder:land"), ("bob", "x"), ("", "")]
    {
        assert_eq!(status(&exporter, &[("Authorization", &basic(name, password))]), 401, "{name}:{password}");
    }
    assert_eq!(status(&exporter, &[("Authorization", &basic("bob", ""))]), 200);
    assert_eq!(status(&exporter, &[("Authorization", "Bearer abc")]), 401);

    // A user who was removed from the file is rejected, although the password is cached.
    fixture.write("web.yml", users(&[("bob", "")]));
    wait_for("alice is out", || (status(&exporter, &[("Authorization", &right)]) == 401).then_some(()));
    assert_eq!(status(&exporter, &[("Authorization", &basic("bob", ""))]), 200);
}

#[test]
fn a_scraper_is_served_during_a_flood_of_wrong_passwords() {
    let fixture = Fixture::with_container();
    let exporter = serve(&fixture, &users(&[("alice", "wonderland")]));
    let right = basic("alice", "wonderland");
    wait_for_metrics(&exporter, &[("Authorization", &right)]);
    let address = exporter.address.clone();
    std::thread::scope(|scope| {
        for client in 0..32 {
            let address = &address;
            scope.spawn(move || {
                for attempt in 0..10 {
                    let wrong = basic(
                        if attempt % 2 == 0 { "alice" } else { "mallory" },
                        &format!("{client}-{attempt}"),
                    );
                    let response = crate::support::http::request(
                        address,
                        "GET",
                        "/metrics",
                        &[("Authorization", &wrong)],
                    );
                    assert!([401, 503].contains(&response.status), "{}", response.status);
                }
            });
        }
        for _ in 0..20 {
            assert_eq!(status(&exporter, &[("Authorization", &right)]), 200);
        }
    });
}

#[test]
fn headers_and_rate_limits_are_those_of_the_file() {
    let fixture = Fixture::with_container();
    let exporter = serve(
        &fixture,
        "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: \
         max-age=60\nrate_limit:\n  interval: 1h\n  burst: 3\n",
    );
    let first = exporter.get("/-/healthy", &[]);
    assert_eq!(first.status, 200);
    assert_eq!(first.header("x-frame-options"), Some("deny"));
    assert_eq!(first.header("strict-transport-security"), Some("max-age=60"));
    assert_eq!([0, 1, 2].map(|_| exporter.get("/-/healthy", &[]).status), [200, 200, 429]);
    assert_eq!(exporter.get("/-/healthy", &[]).header("retry-after"), Some("1"));
}

#[test]
fn an_invalid_configuration_is_reported_with_file_and_line() {
    let fixture = Fixture::with_container();
    let refused = |config: &str, mentions: &[&str]| {
        fixture.write("web.yml", config);
        let output = Command::new(BINARY)
            .args(fixture.flags())
            .args(["--no-docker", "--log.level=error", "--web.listen-address=127.0.0.1:0"])
            .arg(format!("--web.config.file={}", fixture.path("web.yml").display()))
            .output()
            .expect("it runs");
        let line = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), line.lines().count()), (Some(1), 1), "{config:?}: {line}");
        for mention in [&["--web.config.file", "web.yml"], mentions].concat() {
            assert!(line.contains(mention), "{config:?} gave {line:?}, which lacks {mention:?}");
        }
    };
    refused("tls_server_config:\n  cert_file: server.crt\n  keyfile: server.key\n", &["line 3", "keyfile"]);
    refused(SERVER, &["cert_file", "server.crt", "No such file"]);
    fixture.write("server.crt", "broken");
    refused(SERVER, &["cert_file", "server.crt", "PEM"]);
    refused("tls_server_config:\n  key_file: x\n", &["cert", "missing"]);
    refused("basic_auth_users:\n  alice: secret\n", &["alice", "bcrypt", "htpasswd"]);
    refused("rate_limit:\n  interval: often\n  burst: 1\n", &["rate_limit", "1s"]);
    refused("http_server_config:\n  headers:\n    X-Frame-Options: maybe\n", &["x-frame-options", "deny"]);
    Authority::new().issue(&["localhost"]).write(&fixture.path(""), "server");
    refused(
        &format!("{SERVER}  client_ca_file: ca.crt\n"),
        &["client_auth_type", "RequireAndVerifyClientCert"],
    );
    refused(&format!("{SERVER}  min_version: TLS13\n  max_version: TLS12\n"), &["min_version"]);
    refused(&format!("{SERVER}  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n"), &["cipher_suites"]);
    refused(&format!("{SERVER}  curve_preferences: [P1]\n"), &["curve_preferences", "X25519"]);
    fs::remove_file(fixture.path("web.yml")).expect("it was there");
    let output = Command::new(BINARY)
        .args(["--web.config.file=/nonexistent.yml", "--no-docker", "--log.level=error"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent.yml"));
}

#[test]
fn sockets_from_systemd_are_used() {
    let fixture = Fixture::with_container();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    // As in sd_listen_fds(3): file descriptors from 3 on, for the process with this pid.
    let script = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"";
    let mut child = Command::new("bash")
        .args(["-c", script, "bash", BINARY, "--web.systemd-socket", "--no-docker", "--log.level=error"])
        .args(fixture.flags())
        .stdin(OwnedFd::from(listener))
        .stderr(Stdio::null())
        .spawn()
        .expect("bash is there");
    wait_for("an answer", || {
        (crate::support::http::request(&address, "GET", "/metrics", &[]).status == 200).then_some(())
    });
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let alone =
        Command::new(BINARY).args(["--web.systemd-socket", "--no-docker", "--log.level=error"]).output();
    let alone = alone.expect("it runs");
    assert_eq!(alone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&alone.stderr).contains(".socket unit"));
}

#[test]
fn a_health_check_succeeds_without_certificate_and_password() {
    let fixture = Fixture::with_container();
    let authority = Authority::new();
    authority.issue(&["localhost"]).write(&fixture.path(""), "server");
    fixture.write("ca.crt", &authority.certificate);
    let config = |file: &str| format!("--web.config.file={}", fixture.path(file).display());
    let is_healthy = |exporter: &Exporter, config: &str| {
        let address = format!("--web.listen-address={}", exporter.address);
        let output = Command::new(BINARY)
            .args(["--healthcheck", &address, config, "--debug.timeout-scale=10"])
            .output()
            .expect("it runs");
        output.status.success()
    };
    let verify = "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n";
    let both = ["  max_version: TLS12\n", ""].map(|version| format!("{SERVER}{verify}{version}"));
    let rules =
        [users(&[("alice", "secret")]), SERVER.to_owned(), SERVER.to_owned() + &users(&[("bob", "x")])];
    for rules in rules.iter().chain(&both) {
        let exporter = serve(&fixture, rules);
        assert!(is_healthy(&exporter, &config("web.yml")), "{rules}");
    }
    // A TLS alert counts as an answer, even without --web.config.file.
    let exporter = serve(&fixture, SERVER);
    assert!(is_healthy(&exporter, "--no-docker"));
    // Plain HTTP instead of TLS means that another server answers.
    fixture.write("tls.yml", SERVER);
    let exporter = serve(&fixture, "{}");
    assert!(!is_healthy(&exporter, &config("tls.yml")));
}
