//! Incidents and harmless workloads in real containers, observed by the real exporter, Prometheus and Alertmanager with
//! the shipped rules: `make incidents`. Prints the tables of `docs/alerts.md`. Fails if an incident does not fire its
//! alert, or if a harmless workload fires any alert.
//!
//! Two exporters observe the same containers, one with BPF and one without. Intervals and the durations in the rules are
//! divided by `FACTOR` (default: 5; 1 is real time and takes 20 minutes).

mod expressions;
mod stack;
#[path = "../support/mod.rs"]
mod support;
#[path = "../testkit/mod.rs"]
mod testkit;
mod workloads;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stack::{Alert, Stack};
use support::Exporter;
use testkit::cgroups::LimitedParent;
use testkit::engine::Engine;
use workloads::{BUILD, HARMLESS, Harmless, INCIDENTS, Incident};

/// The exporters, named by their source.
const INSTANCES: [&str; 2] = ["bpf", "proc"];

/// Only ends waiting for what does not come: on a busy machine, a storm is slower. How fast alerts fire is printed here and tested in `alerts/tests`.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let factor: u32 = std::env::var("FACTOR").map_or(5, |it| it.parse().expect("FACTOR is a whole number"));
    // Dropped after the engine, which removes the container below it.
    let _pod = LimitedParent::new(workloads::POD, workloads::POD_LIMIT);
    let engine = Engine::start(&[]);
    let interval = format!("--collection.interval={}ms", 5000 / factor);
    let exporters = INSTANCES.map(|source| {
        Exporter::start(&[&engine.flag(), &interval, &format!("--collection.source={source}")])
    });
    let targets = [0, 1].map(|i| (INSTANCES[i], exporters[i].address.as_str()));
    let mut stage = Stage { engine, stack: Stack::start(&targets, factor), factor, failures: Vec::new() };

    INCIDENTS.iter().for_each(|incident| incident.prepare(&stage.engine, factor));
    stage.stack.observe_until(Instant::now() + stage.scaled(75));
    stage.check_expressions(expressions::Phase::Quiet);

    let (long, short): (Vec<&Incident>, Vec<&Incident>) = INCIDENTS.iter().partition(|it| it.takes_minutes);
    let long: Vec<_> = long.into_iter().map(|incident| (incident, stage.begin(incident))).collect();

    println!("\n| workload | duration, s | alerts |\n|---|--:|---|");
    stage.play_harmless(&[BUILD], 150);
    stage.play_harmless(&HARMLESS, 300);

    println!("\n| incident | detected by | with kernel counters, s | without, s | other alerts |");
    println!("|---|---|--:|--:|---|");
    for incident in short {
        let begin = stage.begin(incident);
        stage.play(incident, begin);
        stage.end(incident);
    }
    long.iter().for_each(|&(incident, begin)| stage.play(incident, begin));
    // Some panels show only alerts that are firing.
    stage.check_expressions(expressions::Phase::AfterIncidents);
    long.iter().for_each(|(incident, _)| stage.end(incident));

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
    /// Seconds at the default intervals, converted to the time that they take here.
    fn scaled(&self, seconds: u32) -> Duration {
        Duration::from_secs(seconds.into()) / self.factor
    }

    fn begin(&mut self, incident: &Incident) -> Instant {
        self.stack.observe();
        incident.begin(&self.engine, self.factor);
        Instant::now()
    }

    /// Waits until the alert of an incident has fired for both exporters, and prints its row. What is uncertain is waited
    /// for two minutes more at the default intervals, unless the incident has lasted for longer anyway.
    fn play(&mut self, incident: &Incident, begin: Instant) {
        let end = Instant::now() + PATIENCE;
        let expected = INSTANCES.map(|instance| Alert {
            alert: incident.alert.into(),
            instance: instance.into(),
            name: Some(incident.container.into()),
        });
        let pause = self.scaled(3);
        let uncertain_for = self.scaled(if incident.takes_minutes { 0 } else { 120 });
        let (engine, stack) = (&self.engine, &mut self.stack);
        let act = incident.from_outside.map(|act| move |_| act(engine, incident.container));
        let (certain, uncertain): (Vec<_>, Vec<_>) =
            expected.iter().cloned().partition(|alert| incident.is_certain_with(&alert.instance));
        repeat_during(act, pause, || {
            stack.observe_until_seen(&certain, end);
            stack.observe_until_seen(&uncertain, Instant::now() + uncertain_for);
        });
        let times = expected.map(|alert| match self.stack.seen.get(&alert) {
            Some(at) => {
                let time = at.saturating_duration_since(begin) * self.factor;
                format!("{:.0}", time.as_secs_f64())
            }
            None if !incident.is_certain_with(&alert.instance) => "not detected".into(),
            None => {
                let failure = format!("{} was not detected with {}", incident.title, alert.instance);
                self.failures.push(failure);
                "**not detected**".into()
            }
        });
        let others = self.alerts(|alert, at| {
            alert.alert != incident.alert
                && alert.name.as_deref().map_or(at >= begin, |name| name == incident.container)
        });
        println!("| {} | {} | {} | {} | {others} |", incident.title, incident.alert, times[0], times[1]);
    }

    fn end(&self, incident: &Incident) {
        self.engine.docker(&["rm", "--force", "--volumes", incident.container]);
    }

    /// Plays harmless workloads at the same time, for some seconds at the default intervals, and prints their rows.
    fn play_harmless(&mut self, workloads: &[Harmless], seconds: u32) {
        let begin = Instant::now();
        workloads.iter().for_each(|workload| (workload.begin)(&self.engine, self.factor));
        let end = Instant::now() + self.scaled(seconds);
        let pause = self.scaled(20);
        let (engine, stack) = (&self.engine, &mut self.stack);
        let acts: Vec<_> = workloads.iter().filter_map(|workload| workload.from_outside).collect();
        repeat_during(Some(move |round| acts.iter().for_each(|act| act(engine, round))), pause, || {
            stack.observe_until(end);
        });
        let played = begin.elapsed().as_secs() * u64::from(self.factor);
        for workload in workloads {
            let alerts = self.alerts(|alert, _| {
                alert.name.as_deref().is_some_and(|name| name.starts_with(workload.prefix))
            });
            if alerts != "none" {
                self.failures.push(format!("{} fired {alerts}", workload.title));
            }
            println!("| {} | {played} | {alerts} |", workload.title);
        }
        let nameless = self.alerts(|alert, at| alert.name.is_none() && at >= begin);
        if nameless != "none" {
            self.failures.push(format!("the harmless workloads fired {nameless}"));
        }
        let logs = workloads
            .iter()
            .any(|workload| workload.prefix == "build")
            .then(|| self.engine.docker(&["logs", "build"]));
        if logs.is_some_and(|logs| !logs.contains("built")) {
            self.failures.push("the build finished nothing".into());
        }
        let all = self.engine.docker(&["ps", "--all", "--format={{.Names}}"]);
        let mine =
            all.lines().filter(|name| workloads.iter().any(|workload| name.starts_with(workload.prefix)));
        let mine: Vec<&str> = mine.collect();
        self.engine.docker(&[&["rm", "--force", "--volumes"][..], &mine].concat());
    }

    /// The names of the alerts for which `is_relevant`, each once; with the exporter if it fired for only one.
    fn alerts(&self, is_relevant: impl Fn(&Alert, Instant) -> bool) -> String {
        let seen = self.stack.seen.iter().filter(|&(alert, &at)| is_relevant(alert, at));
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

    /// Repeats the check until all expressions have the data that they must have.
    fn check_expressions(&mut self, phase: expressions::Phase) {
        let end = Instant::now() + PATIENCE;
        let wrong = loop {
            let wrong = expressions::check(&self.stack, self.factor, phase);
            if wrong.is_empty() || Instant::now() > end {
                break wrong;
            }
            self.stack.observe_until(Instant::now() + Duration::from_secs(1));
        };
        self.failures.extend(wrong);
    }
}

/// Repeats `act` with pauses until `main` returns. It gets the number of calls before.
fn repeat_during(act: Option<impl Fn(usize) + Send>, pause: Duration, main: impl FnOnce()) {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let actor = act.map(|act| {
            let is_done = &is_done;
            scope.spawn(move || {
                for round in 0.. {
                    if is_done.load(Ordering::Relaxed) {
                        break;
                    }
                    act(round);
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
