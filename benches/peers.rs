//! Measures the cost of one scrape of other exporters on the same processes, the memory of each source, and the
//! requests per second compared with nginx. Prints ratios of medians of one run. Requires root and the packages of
//! `tests/install-packages bench`.

mod support;

#[path = "../tests/support/http.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests use all of it")]
mod http;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{BareLoop, Forest, median, timed};

const PROCESSES: usize = 10_000;
const CONTAINERS: usize = 100;
const ROUNDS: usize = 5;

fn main() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
    fs::create_dir_all(&scratch).expect("a scratch directory");
    let _forest = Forest::grow(PROCESSES, CONTAINERS);
    let ours = Server::ours(&[]);
    ours.get();

    println!(
        "One scrape at {PROCESSES} processes in {CONTAINERS} containers, in times of the bare loop over stat:\n"
    );
    println!("| exporter | times the loop |");
    println!("|---|--:|");
    let mut bare = BareLoop::default();
    for peer in [Server::process_exporter(&scratch), Server::node_exporter()] {
        peer.get();
        let (mut loops, mut scrapes) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            loops.push(timed(|| bare.run()));
            scrapes.push(timed(|| drop(peer.get())));
        }
        println!(
            "| {} | {:.1} |",
            peer.name,
            median(&mut scrapes).as_secs_f64() / median(&mut loops).as_secs_f64()
        );
    }

    println!("\nMemory with them, MiB:\n\n| source | resident | maps in the kernel |\n|---|--:|--:|");
    for source in ["proc", "bpf"] {
        let [resident, maps] = memory(source).map(|bytes| bytes / f64::from(1 << 20));
        println!("| {source} | {resident:.1} | {maps:.1} |");
    }

    let text = ours.get();
    let nginx = Server::nginx(&scratch, &text);
    let (mut own_rates, mut nginx_rates) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        own_rates.push(requests_per_second(&ours));
        nginx_rates.push(requests_per_second(&nginx));
    }
    let difference = ours.get().len().abs_diff(text.len());
    assert!(difference < text.len() / 100, "the exposition changed by {difference} bytes meanwhile");
    let middle = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let (own_rate, nginx_rate) = (middle(&mut own_rates), middle(&mut nginx_rates));
    println!(
        "\nRequests a second for the same {} KiB, one thread against one worker: {own_rate:.0} and {nginx_rate:.0} of nginx, ratio {:.2}.",
        text.len() / 1024,
        own_rate / nginx_rate
    );
}

/// Memory in bytes after some collections: resident, and used by BPF maps in the kernel (`memlock` in their fdinfo).
fn memory(source: &str) -> [f64; 2] {
    let server = Server::ours(&[&format!("--collection.source={source}"), "--collection.interval=1s"]);
    let value = |family: &str| -> f64 {
        let text = String::from_utf8(server.get()).expect("an exposition");
        let line = text.lines().find_map(|line| line.strip_prefix(family)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {family}"))
    };
    while value("pstree_collections_total") < 8.0 {
        std::thread::park_timeout(Duration::from_millis(500));
    }
    let descriptors = fs::read_dir(format!("/proc/{}/fdinfo", server.child.id())).expect("it runs");
    let maps = descriptors.flatten().filter_map(|descriptor| {
        let text = fs::read_to_string(descriptor.path()).ok()?;
        text.contains("map_type:").then_some(())?;
        text.lines().find_map(|line| line.strip_prefix("memlock:"))?.trim().parse::<f64>().ok()
    });
    [value("process_resident_memory_bytes"), maps.sum::<f64>() + 0.0]
}

/// A server that is stopped when dropped.
struct Server {
    name: &'static str,
    child: Child,
    address: String,
    path: &'static str,
}

impl Server {
    fn start(name: &'static str, mut command: Command, address: String, path: &'static str) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}; run make packages"));
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < deadline, "{name} does not listen");
            std::thread::yield_now();
        }
        Self { name, child, address, path }
    }

    fn get(&self) -> Vec<u8> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let response = http::request(&self.address, "GET", self.path, &[]);
            if response.status == 200 {
                return response.body;
            }
            // pstree-exporter returns 503 before its first collection.
            assert!(Instant::now() < deadline, "{} answers {}", self.name, response.status);
        }
    }

    /// Uses the release profile. Collects at the default interval while it serves.
    fn ours(flags: &[&str]) -> Self {
        let address = free_address();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pstree-exporter"));
        command.args(["--no-docker", &format!("--web.listen-address={address}")]).args(flags);
        Self::start("pstree-exporter", command, address, "/metrics")
    }

    /// Groups all processes by command.
    fn process_exporter(scratch: &Path) -> Self {
        let address = free_address();
        let config = scratch.join("process-exporter.yml");
        fs::write(&config, "process_names:\n- name: \"{{.Comm}}\"\n  cmdline: ['.+']\n")
            .expect("a scratch file");
        let mut command = Command::new("prometheus-process-exporter");
        command
            .arg(format!("--config.path={}", config.display()))
            .arg(format!("--web.listen-address={address}"));
        Self::start("process-exporter", command, address, "/metrics")
    }

    fn node_exporter() -> Self {
        let address = free_address();
        let mut command = Command::new("prometheus-node-exporter");
        command.args(["--collector.disable-defaults", "--collector.processes"]);
        command.arg(format!("--web.listen-address={address}"));
        Self::start("node_exporter, processes collector", command, address, "/metrics")
    }

    fn nginx(scratch: &Path, text: &[u8]) -> Self {
        let address = free_address();
        let root: PathBuf = scratch.join("www");
        fs::create_dir_all(&root).expect("a scratch directory");
        fs::write(root.join("metrics"), text).expect("a scratch file");
        let config = scratch.join("nginx.conf");
        let (scratch, root) = (scratch.display(), root.display());
        let text = format!(
            "worker_processes 1; daemon off; user root; pid {scratch}/nginx.pid; error_log {scratch}/nginx.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type text/plain;\n\
             server {{ listen {address}; root {root}; }} }}\n"
        );
        fs::write(&config, text).expect("a scratch file");
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&config);
        Self::start("nginx", command, address, "/metrics")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).expect("a pid");
        // The nginx master stops its worker only on SIGTERM.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

fn requests_per_second(server: &Server) -> f64 {
    let url = format!("http://{}{}", server.address, server.path);
    let output =
        Command::new("wrk").args(["-t1", "-c16", "-d3s", &url]).output().expect("wrk: run make packages");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    line.and_then(|rate| rate.trim().parse().ok()).unwrap_or_else(|| panic!("wrk says {text}"))
}
