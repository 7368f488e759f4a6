//! What it takes to print trees on a machine of 10,000 processes in 100 real containers, beside `ps`. All in one run,
//! medians, as ratios. Wants root, and the packages that `make test` installs.

#[path = "../tests/system/engine.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod engine;
#[path = "../tests/support/mod.rs"]
mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use engine::Engine;
use support::BINARY;

const CONTAINERS: usize = 100;
const PROCESSES_EACH: usize = 100;
const ROUNDS: usize = 15;

fn main() {
    let engine = Engine::start();
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
    let mut ps = Command::new("ps");
    ps.args(["-eo", "pid,ppid,comm"]);
    let mut all = [
        ("`ps -eo pid,ppid,comm`", ps),
        ("`tree shop-50`", tree(&["shop-50", &docker])),
        ("`tree shop-50 --args`", tree(&["shop-50", "--args", &docker])),
        ("`tree`, all 100 containers", tree(&[&docker])),
        ("`tree --no-docker`", tree(&["--no-docker"])),
    ];
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
    println!("| command | ms | in times of ps |\n|---|--:|--:|");
    for ((name, _), median) in all.iter().zip(&medians) {
        let ratio = median.as_secs_f64() / medians[0].as_secs_f64();
        println!("| {name} | {:.0} | {ratio:.2} |", median.as_secs_f64() * 1000.0);
    }
}
