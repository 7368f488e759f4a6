//! Clients that send requests and do not read the responses, which wait in the exporter's memory.

use std::fs;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::support::certificates::{ANY_VERSION, Authority, TlsClient};
use crate::support::exposition::Exposition;
use crate::support::slow::raise_descriptors;
use crate::support::{Exporter, wait_for};
use crate::testkit::binaries::static_binary;
use crate::testkit::scratch::Scratch;
use crate::testkit::synthetic::{SyntheticContainers, processes};

/// The memory limit in the manifests in `deploy/`.
const MEMORY_LIMIT_KIB: u64 = 64 * 1024;
/// All connections but one.
const READERS: usize = 1_249;
const CONTAINERS: usize = 200;

fn exporter(more: &[&str]) -> Exporter {
    let mut command = std::process::Command::new(static_binary());
    command.args(["--no-docker"]).args(more).env_remove("DOCKER_HOST");
    Exporter::spawn(command)
}

/// The most resident memory that it ever had.
fn peak_memory_kib(exporter: &Exporter) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", exporter.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("the kernel reports it");
    line.split_whitespace().nth(1).expect("a number").parse().expect("KiB")
}

fn sockets(exporter: &Exporter) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", exporter.pid())).expect("it runs").flatten();
    let links = open.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    links.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// An exporter, with TLS or without, and the clients that connect to it.
struct Server<'a> {
    exporter: Exporter,
    authority: Option<&'a Authority>,
}

impl<'a> Server<'a> {
    fn start(scratch: &Scratch, authority: Option<&'a Authority>, timeout_scale: &str) -> Self {
        let mut flags = vec![format!("--debug.timeout-scale={timeout_scale}")];
        if let Some(authority) = authority {
            authority.issue(&["localhost"]).write(&scratch.0, "server");
            let rules = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
            let file = scratch.0.join("web.yml");
            fs::write(&file, rules).expect("a scratch file");
            flags.push(format!("--web.config.file={}", file.display()));
        }
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let server = Self { exporter: exporter(&flags), authority };
        wait_for("all containers are exported", || {
            let mut text = String::new();
            server.request("/metrics").read_to_string(&mut text).expect("an answer");
            let body =
                text.strip_prefix("HTTP/1.1 200 OK\r\n").and_then(|text| text.split_once("\r\n\r\n"))?.1;
            (processes(&Exposition::parse(body)) == 5.0 * CONTAINERS as f64).then_some(())
        });
        server
    }

    /// Sends a request and reads nothing.
    fn request(&self, path: &str) -> Box<dyn Read> {
        let mut socket = narrow(&self.exporter.address);
        if let Some(trusts) = self.authority {
            let client = TlsClient { trusts, identity: None, versions: ANY_VERSION };
            return Box::new(client.ask(socket, path, &[]).expect("TLS"));
        }
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(head.as_bytes()).expect("the request is accepted");
        Box::new(socket)
    }

    /// Connects clients that read one byte, which shows that the exporter made the response, and then no more.
    fn clients(&self, count: usize) -> Vec<Box<dyn Read>> {
        let paths = ["/", "/?sort=name", "/?sort=-pids", "/metrics", "/api/v1/containers"];
        let mut clients: Vec<_> =
            paths.into_iter().cycle().take(count).map(|path| self.request(path)).collect();
        for client in &mut clients {
            client.read_exact(&mut [0]).expect("the first byte");
        }
        clients
    }
}

#[test]
fn a_thousand_clients_that_never_read_cost_little_memory() {
    let scratch = Scratch::new("readers");
    let authority = Authority::new();
    let _containers = SyntheticContainers::start(CONTAINERS, 5);
    raise_descriptors();
    for authority in [None, Some(&authority)] {
        // No client is disconnected before the last one is connected.
        let server = Server::start(&scratch, authority, "1000");
        let exporter = &server.exporter;
        let before = (peak_memory_kib(exporter), sockets(exporter));
        let readers = server.clients(READERS);
        assert!(sockets(exporter) >= before.1 + READERS, "all are connected at the same time");
        let peak = peak_memory_kib(exporter);
        let tls = authority.is_some();
        println!("{READERS} clients, TLS {tls}: {} KiB before, {peak} KiB at most", before.0);
        assert!(peak < MEMORY_LIMIT_KIB, "{peak} KiB");
        drop(readers);
        wait_for("the clients are gone", || (sockets(exporter) <= before.1).then_some(()));
    }
}

#[test]
fn clients_that_never_read_are_disconnected() {
    let scratch = Scratch::new("deaf-readers");
    let authority = Authority::new();
    let _containers = SyntheticContainers::start(CONTAINERS, 5);
    for authority in [None, Some(&authority)] {
        let server = Server::start(&scratch, authority, "0.5");
        let before = sockets(&server.exporter);
        let readers = server.clients(20);
        wait_for("the exporter closes all of them", || (sockets(&server.exporter) <= before).then_some(()));
        drop(readers);
    }
}

/// A connection with small buffers: otherwise the kernel would take the whole response.
fn narrow(address: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("it can be set");
    let address: SocketAddr = address.parse().expect("an address");
    socket.connect(&address.into()).expect("the exporter listens");
    socket.into()
}

#[test]
fn a_client_that_reads_too_slowly_is_disconnected_before_the_end() {
    let exporter = exporter(&["--debug.timeout-scale=0.1"]);
    let _containers = SyntheticContainers::start(CONTAINERS, 5);
    wait_for("all containers are exported", || {
        (processes(&exporter.scrape()) == 5.0 * CONTAINERS as f64).then_some(())
    });
    let mut stream = narrow(&exporter.address);
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").expect("the request is accepted");
    let (mut buffer, mut response) = ([0; 4096], Vec::new());
    loop {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => response.extend_from_slice(&buffer[..read]),
            _ => break,
        }
        // The slow client of this test.
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let head_end = response.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&response[..head_end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.expect("a length").parse().expect("a number");
    assert!(response.len() < head_end + length, "it got all {length} bytes");
}
