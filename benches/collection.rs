//! Measures a complete collection, from the list of processes to the encoded bytes, with both sources, relative to the
//! minimum work with `/proc`: `readdir`, then open, read and close every `stat`. Uses real processes in real cgroups,
//! so it requires root and a cgroup hierarchy with the pids controller.
//!
//! All variants run alternately in one process. Prints medians and their ratios, because absolute times differ between
//! machines. `cargo bench --bench collection -- PROCESSES CONTAINERS` measures one size.

mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pstree_exporter::collect::collector::Collector;
use pstree_exporter::collect::config::{Bounds, CollectorConfig, SourceFlag};
use pstree_exporter::collect::pipeline::Pipeline;
use pstree_exporter::export::collectors::Collectors;
use pstree_exporter::export::rendered::{Encoding, Format};
use pstree_exporter::export::renderer::Renderer;
use pstree_exporter::model::collection::NamesStatus;
use pstree_exporter::model::container_metadata::ContainerMetadata;
use pstree_exporter::names::known_names::KnownNames;
use pstree_exporter::names::registry::Names;
use support::{BareLoop, Forest, median, timed};

const ROUNDS: usize = 15;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let sizes = match numbers[..] {
        [processes, containers] => vec![(processes, containers)],
        _ => vec![(1_000, 10), (10_000, 100), (50_000, 500)],
    };
    println!("Microseconds a process:\n");
    println!(
        "| processes | containers | bare loop | `/proc` | BPF | `/proc` / loop | `/proc` / BPF | BPF with names / without |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|");
    for (processes, containers) in sizes {
        measure(processes, containers);
    }
}

fn measure(processes: usize, containers: usize) {
    let _forest = Forest::grow(processes, containers);
    let mut by_proc = Collection::new(SourceFlag::Proc);
    let mut by_bpf = Collection::new(SourceFlag::Bpf);
    let mut named = Collection::new(SourceFlag::Bpf);
    named.name_all();
    let mut bare = BareLoop::default();
    let mut times = [const { Vec::new() }; 4];
    // The first rounds are not counted: they read every cgroup and allocate all buffers.
    for round in 0..ROUNDS + 2 {
        let of_round =
            [timed(|| bare.run()), timed(|| by_proc.run()), timed(|| by_bpf.run()), timed(|| named.run())];
        for (times, time) in times.iter_mut().zip(of_round).filter(|_| round >= 2) {
            times.push(time);
        }
    }
    assert!(bare.processes >= processes, "{} processes for {processes}", bare.processes);
    let stages = by_bpf.stages();
    let per_process = |times: &mut Vec<Duration>| median(times).as_secs_f64() * 1e6 / bare.processes as f64;
    let [bare_cost, proc_cost, bpf_cost, named_cost] = times.each_mut().map(per_process);
    println!(
        "| {} | {containers} | {bare_cost:.2} | {proc_cost:.2} | {bpf_cost:.2} | {:.2} | {:.1} | {:.3} |",
        bare.processes,
        proc_cost / bare_cost,
        proc_cost / bpf_cost,
        named_cost / bpf_cost
    );
    for (stage, seconds) in stages {
        eprintln!("  BPF, {stage}: {:.2}", seconds * 1e6 / bare.processes as f64);
    }
}

struct Collection {
    collector: Collector,
    renderer: Renderer,
    /// The names of all containers, and the state of the join; `None` without names.
    names: Option<(Names, KnownNames)>,
    /// Seconds of each stage, by round.
    stages: [Vec<f64>; 4],
}

impl Collection {
    fn new(source: SourceFlag) -> Self {
        let config = CollectorConfig {
            procfs: "/proc".into(),
            cgroupfs: "/sys/fs/cgroup".into(),
            interval: Duration::from_secs(5),
            source,
            bounds: Bounds::default(),
            usage: false,
            units: false,
            container_name: None,
        };
        // On a separate thread, because it drops the thread's capabilities.
        let mut pipeline = std::thread::scope(|scope| {
            #[allow(clippy::disallowed_methods, reason = "no exporter runs here")]
            let thread = scope.spawn(|| Pipeline::new(&config));
            thread.join().expect("no panic").expect("the source is possible: run as root")
        });
        // As many as the exporter keeps open.
        pipeline.keep_control_files_open(1_200);
        Self {
            collector: Collector::new(pipeline, Arc::default()),
            renderer: Renderer::new(
                Vec::new(),
                Collectors::default(),
                [("hidepid", false), ("pid_namespace", false)],
            ),
            names: None,
            stages: Default::default(),
        }
    }

    /// Gives every container a name, as an engine does.
    fn name_all(&mut self) {
        self.collector.collect().expect("/proc can be read");
        let snapshot = self.collector.latest().expect("a snapshot");
        let named = snapshot.containers.iter().enumerate().map(|(index, state)| {
            let metadata = ContainerMetadata {
                name: format!("shop-web-{index}"),
                image: "registry.example.com/shop/web:1.27".to_owned(),
                compose_project: "shop".to_owned(),
                compose_service: "web".to_owned(),
                ..ContainerMetadata::default()
            };
            (state.container.container_id.to_string(), Arc::new(metadata))
        });
        self.names = Some((Names::of_engine(named.collect()), KnownNames::default()));
    }

    fn run(&mut self) {
        let begun = Instant::now();
        self.collector.collect().expect("/proc can be read");
        let snapshot = match &mut self.names {
            None => self.collector.named().expect("a snapshot"),
            Some((names, known)) => {
                known.join(self.collector.latest().expect("a snapshot"), names, None).snapshot
            }
        };
        let status = self.collector.pipeline.status();
        let at = (begun, Duration::from_secs(5));
        let rendered = self.renderer.render(snapshot, &status, &NamesStatus::default(), None, at);
        let collected = begun.elapsed().as_secs_f64();
        black_box(rendered.body(Encoding { format: Format::OpenMetrics, gzip: false }));
        let events = status.events.map_or(0.0, |events| events.run.duration);
        let pids = status.pids.map_or(0.0, |pids| pids.duration);
        let whole = begun.elapsed().as_secs_f64();
        let stages = [status.processes.duration - events, events, pids, whole - collected];
        self.stages.iter_mut().zip(stages).for_each(|(of_stage, seconds)| of_stage.push(seconds));
    }

    /// The median of each stage, in seconds.
    fn stages(&mut self) -> [(&'static str, f64); 4] {
        let names = ["walk and forest", "event counters", "pids files", "encoding"];
        let [walk, events, pids, encoding] = self.stages.each_mut().map(|seconds| {
            seconds.sort_by(f64::total_cmp);
            seconds[seconds.len() / 2]
        });
        std::array::from_fn(|index| (names[index], [walk, events, pids, encoding][index]))
    }
}
