//! HTTP of the real binary: formats, methods, slow and broken clients, readiness, shutdown.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};

use crate::support::exposition::Exposition;
use crate::support::fixture::{Fixture, Process};
use crate::support::http::{self, connect};
use crate::support::{Exporter, wait_for};

const PROMETHEUS_ACCEPT: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// Makes every timeout longer than the test, so that nothing in the test can end because of a timeout.
const NO_TIMEOUT: &str = "--debug.timeout-scale=1000";

fn serve(fixture: &Fixture, more: &[&str]) -> Exporter {
    let exporter = fixture.exporter(&[&["--no-docker"], more].concat());
    exporter.scrape();
    exporter
}

#[test]
fn formats_are_negotiated() {
    let fixture = Fixture::with_container();
    let exporter = serve(&fixture, &["--collection.interval=1h"]);
    let plain = exporter.get("/metrics", &[]);
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(!plain.text().contains("# EOF"));
    let openmetrics = exporter.get("/metrics", &[("Accept", PROMETHEUS_ACCEPT)]);
    assert_eq!(
        openmetrics.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(openmetrics.text().ends_with("# EOF\n"));
    assert_eq!(openmetrics.header("vary"), Some("Accept, Accept-Encoding"));
    // Both formats have the same samples.
    let samples = |text: &str| Exposition::parse(text).samples;
    assert_eq!(samples(&plain.text()), samples(&openmetrics.text()));
}

#[test]
fn gzip_is_the_same_text() {
    let fixture = Fixture::with_container();
    let exporter = serve(&fixture, &["--collection.interval=1h"]);
    let plain = exporter.get("/metrics", &[]);
    let packed = exporter.get("/metrics", &[("Accept-Encoding", "gzip")]);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
    assert!(
        exporter.get("/metrics", &[("Accept-Encoding", "gzip;q=0")]).header("content-encoding").is_none()
    );
}

#[test]
fn routes_and_methods() {
    let fixture = Fixture::with_container();
    let exporter = fixture.exporter(&["--no-docker", "--web.telemetry-path=/tree-metrics"]);
    wait_for("the other path", || (exporter.get("/tree-metrics", &[]).status == 200).then_some(()));
    assert_eq!(exporter.get("/tree-metrics?x=1", &[]).status, 200);
    assert_eq!(exporter.get("/metrics", &[]).status, 404);
    assert_eq!(exporter.get("/-/healthy", &[]).status, 200);
    assert_eq!(exporter.get("/-/ready", &[]).status, 200);
    let page = exporter.get("/", &[]);
    assert_eq!(page.status, 200);
    assert!(
        page.text().contains("href=\"/tree-metrics\"") && page.text().contains(env!("CARGO_PKG_VERSION"))
    );
    assert!(
        page.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none'"))
    );
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let refused = http::request(&exporter.address, method, "/tree-metrics", &[]);
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
}

#[test]
fn head_has_the_length_but_no_body() {
    let fixture = Fixture::with_container();
    let exporter = serve(&fixture, &["--collection.interval=1h"]);
    let length = exporter.get("/metrics", &[]).body.len().to_string();
    let head = http::request(&exporter.address, "HEAD", "/metrics", &[]);
    assert_eq!((head.status, head.header("content-length")), (200, Some(length.as_str())));
    assert!(head.body.is_empty());
}

#[test]
fn a_connection_serves_many_requests() {
    let fixture = Fixture::with_container();
    let exporter = serve(&fixture, &[]);
    let mut stream = connect(&exporter.address);
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3).as_slice()).unwrap();
    stream.write_all(b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 4, "{text}");
}

#[test]
fn a_client_that_never_completes_its_request_is_disconnected() {
    let fixture = Fixture::with_container();
    // Does not scrape, because a scrape could also time out.
    let exporter = fixture.exporter(&["--no-docker", "--debug.timeout-scale=0.02"]);
    let mut stream = connect(&exporter.address);
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the server closes before the test's own timeout");
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
}

#[test]
fn above_the_connection_limit_the_longest_idle_connection_is_evicted() {
    let fixture = Fixture::with_container();
    // Idle connections time out after 30 s; this test does not wait for that.
    let exporter = serve(&fixture, &["--web.max-connections=2", "--debug.timeout-scale=3"]);
    let mut held: Vec<_> = (0..2).map(|_| connect(&exporter.address)).collect();
    // Requests are sent in reverse order, so the connection that was opened last is idle for the longest time.
    for stream in held.iter_mut().rev() {
        stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("200"));
    }
    assert_eq!(exporter.get("/-/healthy", &[]).status, 200);
    let mut rest = Vec::new();
    held.pop().unwrap().read_to_end(&mut rest).expect("closed");
    let mut kept = held.pop().unwrap();
    kept.write_all(b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    assert!(http::read_to_end(kept).head.starts_with("HTTP/1.1 200"));
    exporter.log_until(&["level=warn", "--web.max-connections"]);
}

#[test]
fn an_invalid_request_gets_status_400_or_a_closed_connection() {
    let fixture = Fixture::with_container();
    let exporter = serve(&fixture, &[]);
    let many_headers: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let huge = format!("Accept: {}\r\n", "a".repeat(100_000));
    for request in [
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{many_headers}\r\n"),
        format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{huge}\r\n"),
        "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc"
            .to_owned(),
    ] {
        let mut stream = connect(&exporter.address);
        // The server can reject the request before it has read everything.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let head = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
        assert!(
            head.is_empty() || head.starts_with("HTTP/1.1 4") || head == "HTTP/1.0 400",
            "{request:.40}: {head}"
        );
    }
    assert_eq!(exporter.get("/metrics", &[]).status, 200);
}

#[test]
fn not_ready_when_the_snapshot_is_old() {
    let fixture = Fixture::with_container();
    let exporter = serve(&fixture, &["--collection.interval=200ms"]);
    let hidden = fixture.path("proc-away");
    std::fs::create_dir(&hidden).unwrap();
    for pid in ["1", "10"] {
        std::fs::rename(fixture.path("proc").join(pid), hidden.join(pid)).unwrap();
    }
    let refused = wait_for("not ready", || {
        let response = exporter.get("/-/ready", &[]);
        (response.status == 503).then_some(response)
    });
    assert!(refused.text().contains("old"), "{}", refused.text());
    exporter.log_until(&["level=warn", "--path.procfs"]);
    // The last snapshot is kept, and the metrics report that the last collection failed.
    let metrics = exporter.scrape_until("the failure", |metrics| {
        let success = metrics.value("pstree_collector_success", &[("collector", "processes")]);
        (success == Some(0.0)).then(|| metrics.clone())
    });
    assert_eq!(metrics.sum("pstree_container_processes", &[]), 1.0);
    for pid in ["1", "10"] {
        std::fs::rename(hidden.join(pid), fixture.path("proc").join(pid)).unwrap();
    }
    wait_for("ready again", || (exporter.get("/-/ready", &[]).status == 200).then_some(()));
    exporter.log_until(&["level=info", "succeed"]);
}

#[test]
fn collections_that_fail_for_one_reason_are_logged_once_and_again_when_they_succeed() {
    let fixture = Fixture::with_container();
    let exporter = serve(&fixture, &["--collection.interval=100ms"]);
    let (proc, away) = (fixture.path("proc"), fixture.path("proc-away"));
    let last = |metrics: &Exposition| metrics.value("pstree_last_collection_timestamp_seconds", &[]);
    let mut log = Vec::new();
    for _ in 0..2 {
        let before = last(&exporter.scrape()).expect("always there");
        // Moves the processes, not the directory, because the exporter keeps the directory open.
        std::fs::create_dir(&away).unwrap();
        for pid in ["1", "10"] {
            std::fs::rename(proc.join(pid), away.join(pid)).unwrap();
        }
        wait_for("several failed collections", || {
            let now =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
            (now - last(&exporter.scrape())? > 1.0).then_some(())
        });
        for pid in ["1", "10"] {
            std::fs::rename(away.join(pid), proc.join(pid)).unwrap();
        }
        std::fs::remove_dir(&away).unwrap();
        exporter.scrape_until("a successful collection", |metrics| {
            (last(metrics) > Some(before + 1.0)).then_some(())
        });
        log.extend(exporter.log_until(&["level=info", "succeed"]));
    }
    log.extend(exporter.stop_and_log().1);
    // A failure names the flag to fix.
    let of_interest = |line: &String| {
        let is_failure = line.contains("level=warn") && line.contains("--path.procfs");
        if is_failure { Some("failure") } else { line.contains("succeed").then_some("success") }
    };
    let found: Vec<&str> = log.iter().filter_map(of_interest).collect();
    assert_eq!(found, ["failure", "success"].repeat(2), "{log:#?}");
}

#[test]
fn sigterm_lets_a_running_scrape_end() {
    let fixture = Fixture::with_container();
    // Enough containers for a response that is larger than the socket buffers.
    for pid in 1_000..3_000 {
        let cgroup = format!("0::/docker/{pid:064}\n");
        fixture.process(&Process {
            pid,
            parent: 1,
            comm: b"a-longer-name",
            cgroup: &cgroup,
            ..Process::default()
        });
    }
    let exporter = serve(&fixture, &["--collection.interval=1h", NO_TIMEOUT]);
    let whole = exporter.get("/metrics", &[]).body.len();
    let mut stream = connect(&exporter.address);
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut first = [0; 1000];
    stream.read_exact(&mut first).unwrap();
    exporter.signal(rustix::process::Signal::TERM);
    let mut rest = first.to_vec();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(http::parse(&rest).body.len(), whole, "the scrape was cut");
    assert_eq!(exporter.stop().code(), Some(0));
}

#[test]
fn sigint_closes_idle_connections() {
    let fixture = Fixture::with_container();
    let exporter = serve(&fixture, &[NO_TIMEOUT]);
    let idle = connect(&exporter.address);
    exporter.signal(rustix::process::Signal::INT);
    wait_for("the exporter stops listening", || {
        std::net::TcpStream::connect(&exporter.address).is_err().then_some(())
    });
    drop(idle);
    assert_eq!(exporter.stop().code(), Some(0));
}
