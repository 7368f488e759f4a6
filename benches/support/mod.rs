//! Shared by the benchmarks: real processes in real cgroups, and the loop that reads every stat file.
#![allow(dead_code, unreachable_pub, reason = "each benchmark uses its part")]

#[path = "../../tests/support/workload.rs"]
pub mod workload;

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use workload::Workload;

const GROUP: &str = "pstree-bench";

pub fn timed(run: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    run();
    begun.elapsed()
}

pub fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Processes in containers, which are removed when this is dropped.
pub struct Forest {
    workload: Option<Workload>,
    groups: Groups,
    /// Number of other processes on the machine.
    others: usize,
    _pid_max: PidMax,
}

impl Forest {
    /// Starts processes, distributed evenly over the containers.
    pub fn grow(processes: usize, containers: usize) -> Self {
        let pid_max = PidMax::at_least(processes * 2 + 10_000);
        let groups = Groups::make();
        let others = count_processes();
        let (count, each) = (containers.to_string(), (processes / containers).to_string());
        let workload = Workload::start(&["spread", &groups.roots(), &count, &each]);
        Self { workload: Some(workload), groups, others, _pid_max: pid_max }
    }
}

impl Drop for Forest {
    fn drop(&mut self) {
        drop(self.workload.take());
        self.groups.remove();
        // Waits until init has reaped their zombies, which would otherwise affect the next measurement.
        let deadline = Instant::now() + Duration::from_secs(120);
        while count_processes() > self.others + 100 {
            assert!(Instant::now() < deadline, "nobody reaps the processes of the benchmark");
            std::thread::yield_now();
        }
    }
}

fn count_processes() -> usize {
    let mut bare = BareLoop::default();
    bare.run();
    bare.processes
}

/// The minimum work with `/proc`: reading every `stat` file.
#[derive(Default)]
pub struct BareLoop {
    pub processes: usize,
    path: String,
    buffer: Vec<u8>,
}

impl BareLoop {
    pub fn run(&mut self) {
        self.buffer.resize(4096, 0);
        self.processes = 0;
        for entry in fs::read_dir("/proc").expect("/proc can be read").flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit())) else {
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

/// Cgroups for the benchmark, in every hierarchy that the exporter reads.
struct Groups(Vec<PathBuf>);

impl Groups {
    fn make() -> Self {
        let hierarchies = ["", "pids", "unified"].map(|name| Path::new("/sys/fs/cgroup").join(name));
        let is_v2 = hierarchies[0].join("cgroup.controllers").exists();
        let used = if is_v2 { &hierarchies[..1] } else { &hierarchies[1..] };
        let roots: Vec<_> = used.iter().filter(|path| path.is_dir()).map(|path| path.join(GROUP)).collect();
        for root in &roots {
            fs::create_dir_all(root).expect("cgroups can be made: run as root");
        }
        Self(roots)
    }

    fn roots(&self) -> String {
        self.0.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(",")
    }

    /// Waits until the kernel has killed the processes, which is asynchronous.
    fn remove(&self) {
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

/// Raises `kernel.pid_max` and restores it when dropped.
struct PidMax(Option<String>);

impl PidMax {
    const PATH: &str = "/proc/sys/kernel/pid_max";

    fn at_least(wanted: usize) -> Self {
        let present = fs::read_to_string(Self::PATH).unwrap_or_default();
        if present.trim().parse().is_ok_and(|present: usize| present >= wanted) {
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
