//! A whole collection, from the walk to the encoded bytes, against the bare loop that nobody can do without:
//! `readdir` of /proc, then open, read and close of every `stat`. Real processes in real cgroups, so it
//! wants root and a cgroup hierarchy with the pids controller.
//!
//! Both run in turns in one process; medians and their ratio are printed, since machines differ and are
//! noisy. `cargo bench --bench collection -- PROCESSES CONTAINERS` runs one size.

mod support;

use std::hint::black_box;
use std::time::Duration;

use pstree_exporter::collector::pipeline::Pipeline;
use pstree_exporter::collector::publisher::Publisher;
use pstree_exporter::config::{Bounds, CollectorConfig};
use pstree_exporter::metadata::{Directory, DockerStatus};
use pstree_exporter::metrics::own_process::OwnProcess;
use pstree_exporter::metrics::published::{Encoding, Format};

use support::{BareLoop, Forest, median, timed};

const ROUNDS: usize = 15;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
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
    let _forest = Forest::grow(processes, containers);
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
    assert!(bare.processes >= processes, "{} processes for {processes}", bare.processes);
    let per_process = |times: &mut Vec<Duration>| median(times).as_secs_f64() * 1e6 / bare.processes as f64;
    let (bare_cost, cost) = (per_process(&mut bare_times), per_process(&mut times));
    let resident = OwnProcess::read().resident_bytes.unwrap_or_default() as f64 / f64::from(1 << 20);
    println!(
        "| {} | {containers} | {bare_cost:.2} | {cost:.2} | {:.2} | {resident:.1} |",
        bare.processes,
        cost / bare_cost
    );
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
        Self { pipeline, publisher: Publisher::new(None, [("hidepid", false), ("pid_namespace", false)]) }
    }

    fn run(&mut self) {
        self.pipeline.collect().expect("/proc can be read");
        let names = (&Directory::new(), DockerStatus::default());
        let publication = self.publisher.publish(&self.pipeline, names, Duration::from_secs(5), false);
        black_box(publication.published.body(Encoding { format: Format::OpenMetrics, gzip: false }));
    }
}
