//! Slow clients, bad clients and many clients at once: scrapes are still answered, nothing leaks, and no request starts
//! a collection. `make bench` measures the duration of scrapes under this load.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::support::http::connect;
use crate::support::slow::SlowClients;
use crate::support::workload::Workload;
use crate::support::{Exporter, wait_for};
use crate::testkit::binaries::static_binary;
use crate::testkit::child::KillOnDrop;

const SLOW_CLIENTS: usize = 1_000;
const SCRAPES: usize = 20;

/// The binary that users run. It collects once, so every other collection would be caused by a request.
fn exporter(more: &[&str]) -> Exporter {
    let mut command = Command::new(static_binary());
    command.args(["--no-docker", "--collection.interval=1h"]).args(more).env_remove("DOCKER_HOST");
    Exporter::spawn(command)
}

/// Processes on the host, so that responses are not small.
fn processes() -> Workload {
    Workload::start(&["fan", "1000"])
}

/// `wrk` with this number of connections.
fn wrk(address: &str, connections: usize) -> KillOnDrop {
    let url = format!("http://{address}/metrics");
    let arguments = ["-t1".to_owned(), format!("-c{connections}"), "-d600s".to_owned(), url];
    KillOnDrop(Command::new("wrk").args(arguments).stdout(Stdio::null()).spawn().expect("wrk is installed"))
}

/// Every scrape on a new connection is answered from the first collection.
fn assert_answered(exporter: &Exporter) {
    for _ in 0..SCRAPES {
        assert_eq!(exporter.scrape().value("pstree_collections_total", &[]), Some(1.0));
    }
}

fn descriptors(exporter: &Exporter) -> usize {
    fs::read_dir(format!("/proc/{}/fd", exporter.pid())).expect("it runs").count()
}

fn assert_nothing_leaks(exporter: &Exporter, before: usize) {
    wait_for("its descriptors are closed", || (descriptors(exporter) <= before).then_some(()));
}

#[test]
fn scrapes_are_answered_beside_a_thousand_slow_and_two_hundred_fast_clients() {
    let _processes = processes();
    let exporter = exporter(&[]);
    exporter.scrape();
    let before = descriptors(&exporter);
    {
        let _slow = SlowClients::start(&exporter.address, SLOW_CLIENTS);
        let _fast = wrk(&exporter.address, 200);
        wait_for("all are connected", || {
            (descriptors(&exporter) > before + SLOW_CLIENTS + 190).then_some(())
        });
        assert_answered(&exporter);
    }
    assert_nothing_leaks(&exporter, before);
}

#[test]
fn scrapes_are_answered_when_slow_clients_use_all_connections() {
    let exporter = exporter(&["--web.max-connections=512"]);
    exporter.scrape();
    let before = descriptors(&exporter);
    {
        let _slow = SlowClients::start(&exporter.address, SLOW_CLIENTS);
        wait_for("all connections are used", || (descriptors(&exporter) >= before + 512).then_some(()));
        assert_answered(&exporter);
        // An evicted connection is closed shortly after its successor was accepted.
        wait_for("no more than the limit", || (descriptors(&exporter) <= before + 520).then_some(()));
    }
    assert_nothing_leaks(&exporter, before);
}

#[test]
fn scrapes_are_answered_beside_a_hundred_scrapers() {
    let _processes = processes();
    let exporter = exporter(&[]);
    exporter.scrape();
    let before = descriptors(&exporter);
    {
        let _scrapers = wrk(&exporter.address, 100);
        wait_for("all are connected", || (descriptors(&exporter) >= before + 100).then_some(()));
        assert_answered(&exporter);
    }
    assert_nothing_leaks(&exporter, before);
}

#[test]
fn scrapes_are_answered_beside_clients_that_stop_reading() {
    let _processes = processes();
    let exporter = exporter(&["--debug.timeout-scale=0.2"]);
    exporter.scrape();
    let before = descriptors(&exporter);
    let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500);
    let readers: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = connect(&exporter.address);
            stream.set_nonblocking(true).expect("it can be set");
            // As much as the socket accepts; the responses fill all buffers.
            let _ = stream.write(request.as_bytes());
            stream
        })
        .collect();
    assert_answered(&exporter);
    // The exporter closes them, not the clients.
    assert_nothing_leaks(&exporter, before);
    drop(readers);
}

#[test]
fn malformed_requests_are_rejected_and_pipelined_ones_are_answered_in_order() {
    let exporter = exporter(&[]);
    exporter.scrape();
    let before = descriptors(&exporter);
    let headers: String = (0..101).map(|n| format!("X-{n}: y\r\n")).collect();
    let huge = format!("Accept: {}\r\n", "text/plain,".repeat(10_000));
    let body = "Content-Length: 4\r\n\r\nGET ";
    let both = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    for (what, rest) in
        [("101 headers", &*headers), ("a huge Accept", &huge), ("a body", body), ("both lengths", both)]
    {
        let mut stream = connect(&exporter.address);
        // The exporter can reject it before all of it was sent.
        let _ = stream.write_all(format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{rest}\r\n").as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{what}: {answer:.80}");
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{what}: the rest is not taken as a request");
    }
    let mut stream = connect(&exporter.address);
    stream
        .write_all("GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000).as_bytes())
        .expect("they are accepted");
    stream
        .write_all(b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("the last one, too");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("text");
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 1_000);
    let last = |status: &str| answers.rfind(status).expect("an answer with this status");
    assert!(last("HTTP/1.1 404") > last("HTTP/1.1 200"));
    assert_nothing_leaks(&exporter, before);
}
