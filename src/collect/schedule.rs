//! The periodic loop: collect, publish, wait. Only this module decides when a collection runs.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::collector::Collector;
use crate::model::collection::{CollectionStatus, NamesStatus};
use crate::model::container::Runtime;
use crate::model::snapshot::NamedSnapshot;
use crate::names::registry::Woken;

/// If a collection takes more than 1/`MAX_PART_OF_INTERVAL` of the interval, the interval is extended.
const MAX_PART_OF_INTERVAL: u32 = 2;
/// The interval stays extended, by at least a tenth, until a collection takes at most 1/`SHORT_PART_OF_INTERVAL` of it.
/// This hysteresis prevents the interval from changing with every collection.
const SHORT_PART_OF_INTERVAL: u32 = 3;

/// What the loop publishes.
#[derive(Debug)]
pub struct Collection {
    pub snapshot: NamedSnapshot,
    pub status: CollectionStatus,
    pub names: NamesStatus,
    /// Time at which the snapshot was collected.
    pub collected_at: Instant,
    /// Current time between collections.
    pub interval: Duration,
}

/// Runs collections at an interval, on the thread that calls it.
pub struct Schedule {
    collector: Collector,
    /// The value of the flag.
    interval: Duration,
    /// Start of the collection of the latest snapshot.
    collected_at: Option<Instant>,
}

impl Schedule {
    #[must_use]
    pub fn new(collector: Collector, interval: Duration) -> Self {
        Self { collector, interval, collected_at: None }
    }

    /// Collects once, and waits for names for a limited time.
    ///
    /// # Errors
    /// If the whole walk fails.
    pub fn once(mut self) -> Result<Collection, crate::observe::source::SourceError> {
        let collected_at = Instant::now();
        self.collector.collect()?;
        self.collector.wait_for_names();
        let (joined, names, _) = self.collector.join(false);
        Ok(Collection {
            snapshot: joined.map(|joined| joined.snapshot).unwrap_or_default(),
            status: self.collector.pipeline.status(),
            names,
            collected_at,
            interval: self.interval,
        })
    }

    /// Runs until the registry is told to stop.
    pub fn run(mut self, mut publish: impl FnMut(Collection)) {
        let mut interval = self.interval;
        let mut was_failing = false;
        let mut has_warned_of_paths = false;
        loop {
            let begun = Instant::now();
            let is_first = self.collected_at.is_none() && !was_failing;
            match self.collector.collect() {
                Err(error) => {
                    if !was_failing {
                        warn!(%error, "collection failed; the last snapshot is served until one succeeds");
                    }
                    was_failing = true;
                }
                Ok(()) => {
                    self.collected_at = Some(begun);
                    if was_failing {
                        info!("collections succeed again");
                    } else if is_first {
                        self.report_first();
                    }
                    was_failing = false;
                }
            }
            let has_relative_paths = self.collector.pipeline.status().has_relative_cgroup_paths;
            if has_relative_paths && !std::mem::replace(&mut has_warned_of_paths, has_relative_paths) {
                warn!(
                    "cgroup paths are relative to the exporter's own cgroup namespace, so the label id lacks its first \
                     part; mount the host's /sys/fs/cgroup and set --path.cgroupfs, or run this container with \
                     --cgroupns=host"
                );
            }
            interval = self.stretched(interval, begun.elapsed());
            // If the exporter was suspended or got no CPU time, missed collections are skipped.
            let next = (begun + interval).max(Instant::now());
            if !self.publish_until(next, interval, &mut publish) {
                return;
            }
        }
    }

    fn report_first(&self) {
        let Some(snapshot) = self.collector.latest() else { return };
        let processes = snapshot.processes.records.len();
        let by_runtime = snapshot.containers_by_runtime.iter();
        let containers: u64 =
            by_runtime.filter(|(runtime, _)| *runtime != Runtime::Systemd).map(|(_, count)| count).sum();
        if containers == 0 {
            info!(processes, "first collection done; no container is running");
        } else {
            info!(processes, containers, "first collection done");
        }
    }

    fn stretched(&self, last: Duration, took: Duration) -> Duration {
        let is_short = took.saturating_mul(SHORT_PART_OF_INTERVAL) <= self.interval;
        let least = if last > self.interval && !is_short { self.interval * 11 / 10 } else { self.interval };
        let interval = least.max(took.saturating_mul(MAX_PART_OF_INTERVAL));
        match (last > self.interval, interval > self.interval) {
            (false, true) => warn!(
                seconds = took.as_secs_f64(),
                "a collection takes more than half of --collection.interval; collecting less often"
            ),
            (true, false) => info!("collecting at --collection.interval again"),
            _ => {}
        }
        interval
    }

    /// Publishes now, and again without a new walk when a source of names goes up or down, or when a waiting container
    /// gets its name. Returns `false` on shutdown.
    fn publish_until(
        &mut self,
        next: Instant,
        interval: Duration,
        publish: &mut impl FnMut(Collection),
    ) -> bool {
        loop {
            let (joined, names, mut version) = self.collector.join(true);
            let mut next_deadline = None;
            // Before the first successful collection there is nothing to publish, and zeros would be wrong.
            if let (Some(joined), Some(collected_at)) = (joined, self.collected_at) {
                let now = self.collector.pipeline.monotonic(Instant::now());
                next_deadline =
                    joined.next_deadline.map(|deadline| Instant::now() + deadline.saturating_sub(now));
                publish(Collection {
                    snapshot: joined.snapshot,
                    status: self.collector.pipeline.status(),
                    names: names.clone(),
                    collected_at,
                    interval,
                });
            }
            loop {
                let deadline = next_deadline.map_or(next, |deadline: Instant| deadline.min(next));
                match self.collector.registry.wait(version, deadline) {
                    Woken::Stopping => return false,
                    Woken::Deadline if deadline >= next => return true,
                    Woken::Deadline => break,
                    Woken::Changed => {
                        let (_, new_status, new_version) = self.collector.registry.read();
                        version = new_version;
                        if next_deadline.is_some() || !new_status.has_same_apis_up(&names) {
                            break;
                        }
                    }
                }
            }
        }
    }
}
