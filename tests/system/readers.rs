//! Clients that ask and do not read: what is made for them waits in the exporter's memory.

use std::fs;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::inside::static_binary;
use crate::secure::Scratch;
use crate::spread::{Spread, processes};
use crate::support::certificates::{ANY_VERSION, Authority, TlsClient};
use crate::support::exposition::Exposition;
use crate::support::slow::raise_descriptors;
use crate::support::{Exporter, wait_for};

/// What the manifests below `deploy/` allow.
const MEMORY_LIMIT_KIB: u64 = 64 * 1024;
/// All places but one.
const READERS: usize = 1_249;
const CONTAINERS: usize = 200;

fn exporter(more: &[&str]) -> Exporter {
    let mut command = std::process::Command::new(static_binary());
    command.arg("--no-docker").args(more).env_remove("DOCKER_HOST");
    Exporter::spawn(command)
}

fn memory_kib(exporter: &Exporter) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", exporter.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("always there");
    line.split_whitespace().nth(1).expect("a number").parse().expect("KiB")
}

#[test]
fn row_29_readers_that_never_read_cost_little_memory() {
    let scratch = Scratch::new("readers");
    let authority = Authority::new();
    authority.issue(&["localhost"]).write(&scratch.0, "server");
    let rules = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
    fs::write(scratch.0.join("web.yml"), rules).expect("a scratch file");
    let secure = format!("--web.config.file={}", scratch.0.join("web.yml").display());
    let _spread = Spread::start(CONTAINERS, 5);
    raise_descriptors();
    for flags in [vec![], vec![secure.as_str()]] {
        let exporter = exporter(&flags);
        let client = TlsClient { trusts: &authority, identity: None, versions: ANY_VERSION };
        let ask = |path: &str| -> Box<dyn Read> {
            let mut socket = narrow(&exporter.address);
            if !flags.is_empty() {
                return Box::new(client.ask(socket, path, &[]).expect("TLS"));
            }
            let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            socket.write_all(head.as_bytes()).expect("the request is taken");
            Box::new(socket)
        };
        wait_for("all containers are seen", || {
            let mut text = String::new();
            ask("/metrics").read_to_string(&mut text).expect("an answer");
            let body =
                text.strip_prefix("HTTP/1.1 200 OK\r\n").and_then(|text| text.split_once("\r\n\r\n"))?.1;
            (processes(&Exposition::parse(body)) == 5.0 * CONTAINERS as f64).then_some(())
        });
        let before = memory_kib(&exporter);
        let paths = ["/", "/?sort=name", "/?sort=-pids", "/metrics", "/api/v1/containers"];
        let readers: Vec<_> = paths.into_iter().cycle().take(READERS).map(ask).collect();
        // Until they are let go.
        let (mut most, end) = (before, Instant::now() + Duration::from_secs(12));
        while Instant::now() < end {
            most = most.max(memory_kib(&exporter));
            std::thread::park_timeout(Duration::from_millis(50));
        }
        println!("{READERS} readers, {flags:?}: {before} KiB before, {most} KiB at most");
        assert!(most < MEMORY_LIMIT_KIB, "{most} KiB");
        drop(readers);
    }
}

/// A connection that takes little at a time: else the kernel would take the whole answer.
fn narrow(address: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("it can be set");
    let address: SocketAddr = address.parse().expect("an address");
    socket.connect(&address.into()).expect("the exporter listens");
    socket.into()
}

/// Whoever takes a little now and then is let go, too.
#[test]
fn row_29_a_reader_that_is_never_done() {
    let exporter = exporter(&[]);
    let _spread = Spread::start(CONTAINERS, 5);
    wait_for("all containers are seen", || {
        (processes(&exporter.scrape()) == 5.0 * CONTAINERS as f64).then_some(())
    });
    let begun = Instant::now();
    let mut stream = narrow(&exporter.address);
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").expect("the request is taken");
    let mut buffer = [0; 512];
    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is never let go");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    assert!(begun.elapsed() > Duration::from_secs(20), "{:?}", begun.elapsed());
}
