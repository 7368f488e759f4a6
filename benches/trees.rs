//! Measures the time to print trees of 10,000 processes in 100 real containers, and of 10,000 in one container, compared
//! with `ps`, and the CPU time of an update of the live view, compared with a collection of the exporter. Prints ratios of
//! one run. Requires root and the packages that `make test` installs.

#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/testkit/mod.rs"]
mod testkit;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{BINARY, Exporter, wait_for};
use testkit::engine::Engine;

const CONTAINERS: usize = 100;
const PROCESSES_EACH: usize = 100;
const ROUNDS: usize = 15;

fn main() {
    let engine = Engine::start(&[]);
    let children = (PROCESSES_EACH - 1).to_string();
    for number in 0..CONTAINERS {
        engine.run_workload(&format!("shop-{number}"), &[], &["fan", &children]);
    }
    let docker = engine.flag();
    let tree = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.arg("tree").args(arguments);
        command
    };
    println!("| command | ms | relative to ps |\n|---|--:|--:|");
    print_times(&mut [
        ("`ps -eo pid,ppid,comm`", ps()),
        ("`tree shop-50`", tree(&["shop-50", &docker])),
        ("`tree shop-50 --args`", tree(&["shop-50", "--args", &docker])),
        ("`tree`, all 100 containers", tree(&[&docker])),
        ("`tree --no-docker`", tree(&["--no-docker"])),
    ]);
    let exporter = Exporter::start(&[&docker, "--collection.interval=1s", "--collection.source=proc"]);
    println!(
        "\n| every second, from `/proc` | CPU ms per second | relative to the exporter |\n|---|--:|--:|"
    );
    let (mut frames, mut collections) = (Vec::new(), Vec::new());
    for arguments in ["--watch 1 shop-50", "--watch 1"] {
        let view = Live::start(&format!("{BINARY} tree {arguments} {docker}"));
        frames.clear();
        collections.clear();
        for _ in 0..CPU_ROUNDS {
            let before = (cpu_seconds(view.pid), cpu_seconds(exporter.pid()));
            std::thread::park_timeout(CPU_SPAN);
            frames.push(cpu_seconds(view.pid) - before.0);
            collections.push(cpu_seconds(exporter.pid()) - before.1);
        }
        let middle = |seconds: &mut Vec<f64>| {
            seconds.sort_by(f64::total_cmp);
            1000.0 * seconds[seconds.len() / 2] / CPU_SPAN.as_secs_f64()
        };
        let (frame, collection) = (middle(&mut frames), middle(&mut collections));
        println!(
            "| exporter | {collection:.0} | 1 |\n| `tree {arguments}` | {frame:.0} | {:.2} |",
            frame / collection
        );
    }
    drop(exporter);
    let names: Vec<String> = (0..CONTAINERS).map(|number| format!("shop-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    engine.docker(&[&["rm", "--force"], &names[..]].concat());
    let children = (CONTAINERS * PROCESSES_EACH - 1).to_string();
    engine.run_workload("crowd", &["--pids-limit=-1"], &["fan", &children]);
    println!("\n| 10,000 processes in one container | ms | relative to ps |\n|---|--:|--:|");
    print_times(&mut [
        ("`ps -eo pid,ppid,comm`", ps()),
        ("`tree crowd`", tree(&["crowd", &docker])),
        ("`tree crowd --no-fold`", tree(&["crowd", "--no-fold", &docker])),
    ]);
}

fn ps() -> Command {
    let mut ps = Command::new("ps");
    ps.args(["-eo", "pid,ppid,comm"]);
    ps
}

/// Runs the commands alternately and prints their medians, also relative to the first.
fn print_times(all: &mut [(&str, Command)]) {
    let mut times = vec![Vec::new(); all.len()];
    for _ in 0..ROUNDS {
        for ((_, command), times) in all.iter_mut().zip(&mut times) {
            let begun = Instant::now();
            let status = command.stdout(Stdio::null()).status().expect("it runs");
            times.push(begun.elapsed());
            assert!(status.success());
        }
    }
    let medians: Vec<Duration> = times
        .iter_mut()
        .map(|times| {
            times.sort_unstable();
            times[times.len() / 2]
        })
        .collect();
    for ((name, _), median) in all.iter().zip(&medians) {
        let ratio = median.as_secs_f64() / medians[0].as_secs_f64();
        println!("| {name} | {:.0} | {ratio:.2} |", median.as_secs_f64() * 1000.0);
    }
}

const CPU_ROUNDS: usize = 5;
const CPU_SPAN: Duration = Duration::from_secs(5);

/// A live view in its own terminal.
struct Live {
    terminal: Child,
    pid: u32,
}

impl Live {
    fn start(command: &str) -> Self {
        let terminal = Command::new("script")
            .args(["-qefc", &format!("stty rows 50 cols 120; exec {command}"), "/dev/null"])
            .env("TERM", "xterm")
            .stdout(Stdio::null())
            .spawn()
            .expect("script is installed");
        let children = format!("/proc/{0}/task/{0}/children", terminal.id());
        let pid = wait_for("the live view", || {
            let pid: u32 =
                std::fs::read_to_string(&children).ok()?.split_whitespace().next()?.parse().ok()?;
            std::fs::read_to_string(format!("/proc/{pid}/comm"))
                .ok()?
                .starts_with("pstree-exporter")
                .then_some(pid)
        });
        // The first collection reads more than later ones.
        std::thread::park_timeout(CPU_SPAN);
        Self { terminal, pid }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.terminal.kill();
        let _ = self.terminal.wait();
    }
}

/// User and system CPU time used so far.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}
