//! Measures the cost of kernel counters for a process that forks: a loop of fork, exit and wait in a small static
//! process, alternately with and without counters. Requires root.

mod support;

use std::process::{Command, Stdio};

use support::{median, timed, workload};

const ROUNDS: usize = 41;
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
            let thread = std::thread::spawn(|| pstree_exporter::observe::bpf::load::load(16_384));
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
}
