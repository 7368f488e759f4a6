//! Measures the cost of kernel counters for a process that forks: a loop of fork, exit and wait in a small static
//! process, alternately with and without counters. The difference is often smaller than that of two runs, so the time
//! that the kernel spends in each program is measured, too. Requires root.

mod support;

use std::fs;
use std::process::{Command, Stdio};

use support::{median, timed, workload};

const ROUNDS: usize = 41;
/// Whether the kernel measures the run time of BPF programs (Documentation/admin-guide/sysctl/kernel.rst).
const STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";
const FORKS: &str = "4000";

fn main() {
    let fork = || {
        let mut command = Command::new(workload::binary());
        let status = command.args(["once", "forks", FORKS]).stdout(Stdio::null()).status();
        assert!(status.expect("the workload runs").success());
    };
    fork();
    let (mut off, mut on) = (Vec::new(), Vec::new());
    for round in 0..2 * ROUNDS {
        if round % 2 == 0 {
            off.push(timed(fork));
        } else {
            // On a separate thread, because it drops the thread's capabilities.
            #[allow(clippy::disallowed_methods, reason = "no exporter runs here")]
            let thread = std::thread::spawn(|| pstree_exporter::observe::bpf::load::load(16_384, true));
            let counting = thread.join().expect("no panic").expect("BPF works here: run as root");
            on.push(timed(fork));
            drop(counting);
        }
    }
    let (off, on) = (median(&mut off).as_secs_f64(), median(&mut on).as_secs_f64());
    let forks: f64 = FORKS.parse().expect("a number");
    println!(
        "Fork, exit and wait: {:.2} µs, with counters on {:.2} µs, ratio {:.3}.",
        off * 1e6 / forks,
        on * 1e6 / forks,
        on / off
    );
    let in_programs = time_in_programs(fork) / forks;
    println!(
        "The programs run for {:.2} µs of it, ratio {:.4}.",
        in_programs * 1e6,
        in_programs * forks / off
    );
}

/// The seconds that all programs run during `work`.
fn time_in_programs(work: impl Fn()) -> f64 {
    let before = fs::read_to_string(STATS).expect("a file of the kernel");
    fs::write(STATS, "1").expect("root may write it");
    #[allow(clippy::disallowed_methods, reason = "no exporter runs here")]
    let thread = std::thread::spawn(|| pstree_exporter::observe::bpf::load::load(16_384, true));
    let counting = thread.join().expect("no panic").expect("BPF works here");
    work();
    let files = fs::read_dir("/proc/self/fdinfo").expect("a procfs").flatten();
    let programs = files.filter_map(|file| {
        let info = fs::read_to_string(file.path()).ok()?;
        let number =
            |key: &str| info.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
        // A program has several file descriptors.
        Some((number("prog_id:")?, number("run_time_ns:")?))
    });
    let programs: std::collections::BTreeMap<u64, u64> = programs.collect();
    drop(counting);
    fs::write(STATS, before.trim()).expect("root may write it");
    programs.values().sum::<u64>() as f64 / 1e9
}
