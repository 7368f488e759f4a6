//! A whole collection, from the walk to the encoded bytes, against the bare loop that nobody can do without:
//! `readdir` of /proc, then open, read and close of every `stat`. Real processes in real cgroups, so it
//! wants root and a cgroup hierarchy with the pids controller.
//!
//! Both run in turns in one process; medians and their ratio are printed, since machines differ and are
//! noisy. `cargo bench --bench collection -- PROCESSES CONTAINERS` runs one size.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pstree_exporter::collector::pipeline::Pipeline;
use pstree_exporter::collector::publisher::Publisher;
use pstree_exporter::config::{Bounds, CollectorConfig};
use pstree_exporter::metadata::{Directory, DockerStatus};
use pstree_exporter::metrics::own_process::OwnProcess;
use pstree_exporter::metrics::published::{Encoding, Format};

#[path = "../tests/support/workload.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod workload;

use workload::Workload;

const ROUNDS: usize = 15;
const GROUP: &str = "pstree-bench";

fn main() {
    let numbers: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let sizes = match numbers[..] {
        [processes, containers] => vec![(processes, containers)],
        _ => vec![(1_000, 10), (10_000, 100), (50_000, 500)],
    };
    println!(
        "| processes | containers | bare loop, µs a process | collection, µs a process | ratio | resident, MiB |"
    );
    println!("|--:|--:|--:|--:|--:|--:|");
    for (processes, containers) in sizes {
        measure(processes, containers);
    }
}

fn measure(processes: usize, containers: usize) {
    let _pid_max = PidMax::at_least(processes * 2 + 10_000);
    let groups = Groups::make();
    let spread = format!("{containers}");
    let each = format!("{}", processes / containers);
    let forest = Workload::start(&["spread", &groups.roots(), &spread, &each]);

    let mut collection = Collection::new();
    let mut bare = BareLoop::default();
    let (mut bare_times, mut times) = (Vec::new(), Vec::new());
    // The first round reads every cgroup and grows every buffer.
    collection.run();
    bare.run();
    for _ in 0..ROUNDS {
        bare_times.push(timed(|| bare.run()));
        times.push(timed(|| collection.run()));
    }
    assert!(
        bare.processes >= processes,
        "{} processes for {processes}",
        bare.processes
    );
    let per_process = |times: &mut Vec<Duration>| median(times).as_secs_f64() * 1e6 / bare.processes as f64;
    let (bare_cost, cost) = (per_process(&mut bare_times), per_process(&mut times));
    let resident = OwnProcess::read().resident_bytes.unwrap_or_default() as f64 / f64::from(1 << 20);
    println!(
        "| {} | {containers} | {bare_cost:.2} | {cost:.2} | {:.2} | {resident:.1} |",
        bare.processes,
        cost / bare_cost
    );
    drop(forest);
    groups.remove();
}

fn timed(run: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    run();
    begun.elapsed()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

struct Collection {
    pipeline: Pipeline,
    publisher: Publisher,
}

impl Collection {
    fn new() -> Self {
        let config = CollectorConfig {
            procfs: "/proc".into(),
            cgroupfs: "/sys/fs/cgroup".into(),
            interval: Duration::from_secs(5),
            bounds: Bounds::default(),
            container_name: None,
        };
        let pipeline = Pipeline::new(&config).expect("/proc can be read");
        Self {
            pipeline,
            publisher: Publisher::new(None, [("hidepid", false), ("pid_namespace", false)]),
        }
    }

    fn run(&mut self) {
        self.pipeline.collect().expect("/proc can be read");
        let names = (&Directory::new(), DockerStatus::default());
        let publication = self
            .publisher
            .publish(&self.pipeline, names, Duration::from_secs(5), false);
        black_box(publication.published.body(Encoding {
            format: Format::OpenMetrics,
            gzip: false,
        }));
    }
}

#[derive(Default)]
struct BareLoop {
    processes: usize,
    path: String,
    buffer: Vec<u8>,
}

impl BareLoop {
    fn run(&mut self) {
        self.buffer.resize(4096, 0);
        self.processes = 0;
        for entry in fs::read_dir("/proc").expect("/proc can be read").flatten() {
            let name = entry.file_name();
            let Some(pid) = name
                .to_str()
                .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
            else {
                continue;
            };
            self.path.clear();
            self.path.push_str("/proc/");
            self.path.push_str(pid);
            self.path.push_str("/stat");
            if let Ok(mut file) = File::open(&self.path) {
                black_box(file.read(&mut self.buffer).unwrap_or_default());
                self.processes += 1;
            }
        }
    }
}

/// Cgroups of our own, in every hierarchy that the exporter reads.
struct Groups(Vec<PathBuf>);

impl Groups {
    fn make() -> Self {
        let hierarchies = ["", "pids", "unified"].map(|name| Path::new("/sys/fs/cgroup").join(name));
        let is_v2 = hierarchies[0].join("cgroup.controllers").exists();
        let used = if is_v2 {
            &hierarchies[..1]
        } else {
            &hierarchies[1..]
        };
        let roots: Vec<_> = used
            .iter()
            .filter(|path| path.is_dir())
            .map(|path| path.join(GROUP))
            .collect();
        for root in &roots {
            fs::create_dir_all(root).expect("cgroups can be made: run as root");
        }
        Self(roots)
    }

    fn roots(&self) -> String {
        self.0
            .iter()
            .map(|root| root.display().to_string())
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Waits for the kernel to be done with the processes, which it kills at its own pace.
    fn remove(self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        for root in &self.0 {
            while let Err(error) = remove_tree(root) {
                assert!(Instant::now() < deadline, "{}: {error}", root.display());
                std::thread::yield_now();
            }
        }
    }
}

fn remove_tree(root: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(root)?.flatten() {
        if entry.file_type()?.is_dir() {
            fs::remove_dir(entry.path())?;
        }
    }
    fs::remove_dir(root)
}

/// Raises `kernel.pid_max` and puts it back.
struct PidMax(Option<String>);

impl PidMax {
    const PATH: &str = "/proc/sys/kernel/pid_max";

    fn at_least(wanted: usize) -> Self {
        let present = fs::read_to_string(Self::PATH).unwrap_or_default();
        if present
            .trim()
            .parse()
            .is_ok_and(|present: usize| present >= wanted)
        {
            return Self(None);
        }
        fs::write(Self::PATH, wanted.to_string()).expect("kernel.pid_max can be raised: run as root");
        Self(Some(present))
    }
}

impl Drop for PidMax {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = fs::write(Self::PATH, before);
        }
    }
}
