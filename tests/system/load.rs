//! Slow clients, rude clients and many clients, while somebody wants to scrape.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::inside::static_binary;
use crate::support::http::connect;
use crate::support::slow::SlowClients;
use crate::support::workload::Workload;
use crate::support::{Exporter, wait_for};

const SLOW: usize = 1_000;
const SCRAPES: usize = 60;

/// The binary that users run, and a host with something to show.
fn exporter(more: &[&str]) -> Exporter {
    let mut command = Command::new(static_binary());
    command.args(["--no-docker", "--collection.interval=1s"]).args(more).env_remove("DOCKER_HOST");
    Exporter::spawn(command)
}

/// `wrk` with so many connections; ends with the test.
struct Wrk(Child);

impl Wrk {
    fn start(address: &str, connections: usize) -> Self {
        let url = format!("http://{address}/metrics");
        let arguments = ["-t1".to_owned(), format!("-c{connections}"), "-d60s".to_owned(), url];
        Self(Command::new("wrk").args(arguments).stdout(Stdio::null()).spawn().expect("wrk is installed"))
    }
}

impl Drop for Wrk {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How long scrapes of somebody take who comes, asks, reads and goes; sorted.
fn scrape_times(exporter: &Exporter) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..SCRAPES)
        .map(|_| {
            std::thread::park_timeout(Duration::from_millis(100));
            let begun = Instant::now();
            assert_eq!(exporter.get("/metrics", &[]).status, 200);
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

fn collections(exporter: &Exporter) -> f64 {
    exporter.scrape().value("pstree_collections_total", &[]).expect("it counts them")
}

/// The bar for a well-behaved scraper, and that nobody makes the exporter walk.
fn assert_served(exporter: &Exporter) {
    let (begun, before) = (Instant::now(), collections(exporter));
    let times = scrape_times(exporter);
    let done = collections(exporter) - before;
    let expected = begun.elapsed().as_secs_f64();
    println!(
        "median {:?}, worst {:?}, {done} collections in {expected:.1} s",
        times[SCRAPES / 2],
        times[SCRAPES - 1]
    );
    assert!(times[SCRAPES / 2] < Duration::from_millis(50), "{times:?}");
    assert!(times[SCRAPES - 1] < Duration::from_secs(1), "{times:?}");
    assert!(done <= expected + 2.0, "{done} collections in {expected} s at one a second");
}

fn descriptors(exporter: &Exporter) -> usize {
    fs::read_dir(format!("/proc/{}/fd", exporter.pid())).expect("it runs").count()
}

fn assert_nothing_leaks(exporter: &Exporter, before: usize) {
    wait_for("its descriptors are closed", || (descriptors(exporter) <= before).then_some(()));
}

#[test]
fn a_thousand_slow_clients_and_two_hundred_fast_ones() {
    let exporter = exporter(&[]);
    let _crowd = Workload::start(&["fan", "1000"]);
    exporter.fresh_scrape();
    let before = descriptors(&exporter);
    {
        let _slow = SlowClients::start(&exporter.address, SLOW);
        let _fast = Wrk::start(&exporter.address, 200);
        wait_for("all are there", || (descriptors(&exporter) > before + SLOW + 190).then_some(()));
        assert_served(&exporter);
    }
    assert_nothing_leaks(&exporter, before);
}

#[test]
fn row_29_a_thousand_slow_connections() {
    let exporter = exporter(&["--web.max-connections=512"]);
    exporter.scrape();
    let before = descriptors(&exporter);
    {
        let _slow = SlowClients::start(&exporter.address, SLOW);
        wait_for("all places are taken", || (descriptors(&exporter) >= before + 512).then_some(()));
        let times = scrape_times(&exporter);
        println!("median {:?}, worst {:?}", times[SCRAPES / 2], times[SCRAPES - 1]);
        assert!(times[SCRAPES - 1] < Duration::from_secs(1), "{times:?}");
        // Those that gave way are closed a moment after their successors came.
        wait_for("no more than its places", || (descriptors(&exporter) <= before + 520).then_some(()));
    }
    assert_nothing_leaks(&exporter, before);
}

#[test]
fn row_29_rude_requests() {
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
        // It may be refused before all of it was sent.
        let _ = stream.write_all(format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{rest}\r\n").as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{what}: {answer:.80}");
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{what}: the rest is not taken for a request");
    }
    // Pipelined requests are answered in order, one by one.
    let mut stream = connect(&exporter.address);
    stream
        .write_all("GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000).as_bytes())
        .expect("they are taken");
    stream
        .write_all(b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("the last, too");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("text");
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 1_000);
    assert!(answers.rfind("HTTP/1.1 404") > answers.rfind("HTTP/1.1 200"));
    assert_nothing_leaks(&exporter, before);
}

#[test]
fn row_29_readers_that_stop_reading() {
    let exporter = exporter(&[]);
    let _crowd = Workload::start(&["fan", "1000"]);
    exporter.fresh_scrape();
    let before = descriptors(&exporter);
    let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500);
    let mut readers: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = connect(&exporter.address);
            stream.set_nonblocking(true).expect("it can be set");
            // As much as it takes; the answers fill every buffer between us.
            let _ = stream.write(request.as_bytes());
            stream
        })
        .collect();
    assert_served(&exporter);
    assert_nothing_leaks(&exporter, before);
    readers.clear();
}

#[test]
fn row_30_a_hundred_scrapes_at_once() {
    let exporter = exporter(&[]);
    let _crowd = Workload::start(&["fan", "1000"]);
    exporter.fresh_scrape();
    let before = descriptors(&exporter);
    {
        let _scrapers = Wrk::start(&exporter.address, 100);
        wait_for("all are there", || (descriptors(&exporter) >= before + 100).then_some(()));
        assert_served(&exporter);
    }
    assert_nothing_leaks(&exporter, before);
}
