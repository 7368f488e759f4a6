//! Incidents and benign loads on real containers, watched by the real exporter, Prometheus and Alertmanager with
//! the shipped rules: `make incidents`. Prints the table that the README shows; fails when an incident is not
//! caught in time by the alert meant for it, or when a benign load raises any.
//!
//! Two exporters look at the same containers, one with the kernel's counts and one without. Intervals and the
//! rules' durations are divided by `FACTOR` (5 by default; 1 is real time and takes 20 minutes).

#[allow(dead_code, reason = "shared with the system tests")]
#[path = "../system/engine.rs"]
mod engine;
mod expressions;
mod loads;
mod stack;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use engine::Engine;
use loads::{BENIGN, BUILD, Benign, INCIDENTS, Incident};
use stack::{Alert, Stack};
use support::Exporter;

/// The exporters by the source that they read from.
const INSTANCES: [&str; 2] = ["bpf", "proc"];

/// An operator hears of it within this, at the default intervals.
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let factor: u32 = std::env::var("FACTOR").map_or(5, |it| it.parse().expect("FACTOR is a whole number"));
    let engine = Engine::start();
    let interval = format!("--collection.interval={}ms", 5000 / factor);
    let exporters = INSTANCES.map(|source| {
        Exporter::start(&[&engine.flag(), &interval, &format!("--collection.source={source}")])
    });
    let targets = [0, 1].map(|i| (INSTANCES[i], exporters[i].address.as_str()));
    let mut stage = Stage { engine, stack: Stack::start(&targets, factor), factor, failures: Vec::new() };

    INCIDENTS.iter().for_each(|incident| incident.prepare(&stage.engine, factor));
    stage.stack.look_until(Instant::now() + stage.scaled(75));
    stage.check_expressions(expressions::Phase::Quiet);

    println!("\n| benign load | for, s | alerts |\n|---|--:|---|");
    stage.play_benign(&[BUILD], 150);
    stage.play_benign(&BENIGN, 300);

    println!("\n| incident | caught by | with the kernel's counts, s | without, s | other alerts |");
    println!("|---|---|--:|--:|---|");
    INCIDENTS.iter().for_each(|incident| stage.play(incident));
    stage.check_expressions(expressions::Phase::AfterIncidents);

    println!();
    stage.failures.iter().for_each(|failure| println!("FAILED: {failure}"));
    if stage.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Stage {
    engine: Engine,
    stack: Stack,
    factor: u32,
    failures: Vec<String>,
}

impl Stage {
    /// Seconds of an operator, as long as they take here.
    fn scaled(&self, seconds: u32) -> Duration {
        Duration::from_secs(seconds.into()) / self.factor
    }

    /// Plays an incident for as long as it may take to be caught, and prints its line.
    fn play(&mut self, incident: &Incident) {
        self.stack.look();
        incident.begin(&self.engine, self.factor);
        let begin = Instant::now();
        let end = begin + LIMIT / self.factor;
        let pause = self.scaled(3);
        let (engine, stack) = (&self.engine, &mut self.stack);
        let act = incident.from_outside.map(|act| move || act(engine, incident.container));
        meanwhile(act, pause, || stack.look_until(end));
        self.engine.docker(&["rm", "--force", "--volumes", incident.container]);

        let seen_at = |instance: &str| {
            let alert = Alert {
                alert: incident.alert.into(),
                instance: instance.into(),
                name: Some(incident.container.into()),
            };
            self.stack.seen.get(&alert).map(|at| at.saturating_duration_since(begin) * self.factor)
        };
        let times = INSTANCES.map(|instance| match seen_at(instance) {
            Some(time) if time <= LIMIT => format!("{:.0}", time.as_secs_f64()),
            _ => {
                let failure = format!("{} was not caught in {instance}", incident.title);
                self.failures.push(failure);
                "**missed**".into()
            }
        });
        let others = self.alerts(|alert, at| {
            alert.alert != incident.alert
                && alert.name.as_deref().map_or(at >= begin, |name| name == incident.container)
        });
        println!("| {} | {} | {} | {} | {others} |", incident.title, incident.alert, times[0], times[1]);
    }

    /// Plays benign loads side by side for some seconds of an operator, and prints their lines.
    fn play_benign(&mut self, loads: &[Benign], seconds: u32) {
        let begin = Instant::now();
        loads.iter().for_each(|load| (load.begin)(&self.engine, self.factor));
        let end = Instant::now() + self.scaled(seconds);
        let pause = self.scaled(20);
        let (engine, stack) = (&self.engine, &mut self.stack);
        let acts: Vec<_> = loads.iter().filter_map(|load| load.from_outside).collect();
        meanwhile(Some(move || acts.iter().for_each(|act| act(engine))), pause, || stack.look_until(end));
        let played = begin.elapsed().as_secs() * u64::from(self.factor);
        for load in loads {
            let alerts = self
                .alerts(|alert, _| alert.name.as_deref().is_some_and(|name| name.starts_with(load.prefix)));
            if alerts != "none" {
                self.failures.push(format!("{} raised {alerts}", load.title));
            }
            println!("| {} | {played} | {alerts} |", load.title);
        }
        let nameless = self.alerts(|alert, at| alert.name.is_none() && at >= begin);
        if nameless != "none" {
            self.failures.push(format!("the benign loads raised {nameless}"));
        }
        let logs =
            loads.iter().any(|load| load.prefix == "build").then(|| self.engine.docker(&["logs", "build"]));
        if logs.is_some_and(|logs| !logs.contains("built")) {
            self.failures.push("the build never built".into());
        }
        let all = self.engine.docker(&["ps", "--all", "--format={{.Names}}"]);
        let mine = all.lines().filter(|name| loads.iter().any(|load| name.starts_with(load.prefix)));
        let mine: Vec<&str> = mine.collect();
        self.engine.docker(&[&["rm", "--force", "--volumes"][..], &mine].concat());
    }

    /// The names of the alerts that `is_meant`, each once, with the exporter where only one of them raised it.
    fn alerts(&self, is_meant: impl Fn(&Alert, Instant) -> bool) -> String {
        let seen = self.stack.seen.iter().filter(|&(alert, &at)| is_meant(alert, at));
        let mut by_name = std::collections::BTreeMap::<&str, Vec<&str>>::new();
        for (alert, _) in seen {
            let instances = by_name.entry(&alert.alert).or_default();
            if !instances.contains(&alert.instance.as_str()) {
                instances.push(&alert.instance);
            }
        }
        let names: Vec<String> = by_name
            .iter()
            .map(|(name, instances)| match instances.as_slice() {
                [one] => format!("{name} ({one})"),
                _ => (*name).to_owned(),
            })
            .collect();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }

    fn check_expressions(&mut self, phase: expressions::Phase) {
        let wrong = expressions::check(&self.stack, self.factor, phase);
        self.failures.extend(wrong);
    }
}

/// Does something again and again, `pause` apart, until `main` is done.
fn meanwhile(act: Option<impl Fn() + Send>, pause: Duration, main: impl FnOnce()) {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let actor = act.map(|act| {
            let is_done = &is_done;
            scope.spawn(move || {
                while !is_done.load(Ordering::Relaxed) {
                    act();
                    std::thread::park_timeout(pause);
                }
            })
        });
        main();
        is_done.store(true, Ordering::Relaxed);
        if let Some(actor) = actor {
            actor.thread().unpark();
        }
    });
}
