//! The periodic loop: collect, publish, wait. The only place that decides when.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::collect::pipeline::Pipeline;
use crate::collect::publisher::Publisher;
use crate::export::rendered::RenderedSnapshot;
use crate::names::registry::{Registry, Woken};

/// What the web serves: the latest publication. Reading it never waits for a collection.
#[derive(Debug, Default)]
pub struct LatestSnapshot {
    current: RwLock<Option<Arc<RenderedSnapshot>>>,
}

impl LatestSnapshot {
    /// `None` before the first collection.
    #[must_use]
    pub fn current(&self) -> Option<Arc<RenderedSnapshot>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on this is served, in the formats that scrapers asked the last one for.
    pub fn replace(&self, published: RenderedSnapshot) {
        if let Some(last) = self.current() {
            published.prepare_like(&last);
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(published));
    }
}

/// The loop's parts.
pub struct Collector {
    pub pipeline: Pipeline,
    pub publisher: Publisher,
    pub registry: Arc<Registry>,
    pub exposition: Arc<LatestSnapshot>,
    /// As the flag says.
    pub interval: Duration,
}

/// A collection may take this part of the interval before the interval is stretched.
const MAX_SHARE: u32 = 2;
/// It is stretched, if only by a tenth, until a collection takes no more than this part: one that comes and goes around
/// the other share is one trouble.
const CALM_SHARE: u32 = 3;

impl Collector {
    /// Collects once and returns the result, with the names that Docker gives by then.
    ///
    /// # Errors
    /// When the walk failed.
    pub fn once(&mut self) -> Result<RenderedSnapshot, crate::observe::source::SourceError> {
        self.pipeline.collect()?;
        let (directory, status, _) = self.registry.read();
        let publication = self.publisher.publish(&self.pipeline, (&directory, status), self.interval, false);
        Ok(publication.published)
    }

    /// Runs until the registry is told to stop.
    pub fn run(mut self) {
        let mut interval = self.interval;
        let mut was_failing = false;
        let mut warned_of_paths = false;
        let mut is_first = true;
        loop {
            let begun = Instant::now();
            match self.pipeline.collect() {
                Err(error) if !was_failing => {
                    warn!(%error, "collection failed; the last snapshot stays and grows old");
                    was_failing = true;
                }
                Err(_) => {}
                Ok(()) if was_failing => {
                    info!("collections succeed again");
                    was_failing = false;
                }
                Ok(()) if is_first => self.report_first(),
                Ok(()) => {}
            }
            is_first = false;
            if self.pipeline.resolver.has_foreign_cgroup_paths() && !warned_of_paths {
                warned_of_paths = true;
                warn!(
                    "cgroup paths lie outside our cgroup namespace, so the label id lacks its first part; run \
                     this container with --cgroupns=host"
                );
            }
            interval = self.stretched(interval, begun.elapsed());
            // After a stop or a starved while, no burst to catch up: the next one is a whole interval away.
            let next = (begun + interval).max(Instant::now());
            if !self.publish_until(next, interval) {
                return;
            }
        }
    }

    fn report_first(&self) {
        let processes = self.pipeline.frames.present().records.len();
        let containers = self.pipeline.walk.containers.len();
        if containers == 0 {
            info!(processes, "no container runs here yet; the host is shown");
        } else {
            info!(processes, containers, "first collection done");
        }
    }

    fn stretched(&self, last: Duration, took: Duration) -> Duration {
        let is_calm = took.saturating_mul(CALM_SHARE) <= self.interval;
        let least = if last > self.interval && !is_calm { self.interval * 11 / 10 } else { self.interval };
        let interval = least.max(took.saturating_mul(MAX_SHARE));
        match (last > self.interval, interval > self.interval) {
            (false, true) => warn!(
                seconds = took.as_secs_f64(),
                "a collection takes more than half of --collection.interval: collecting less often"
            ),
            (true, false) => info!("collecting at --collection.interval again"),
            _ => {}
        }
        interval
    }

    /// Publishes now, and again without a new walk where Docker comes, goes, or names a container that
    /// waits. Returns `false` at the end.
    fn publish_until(&mut self, next: Instant, interval: Duration) -> bool {
        loop {
            let (directory, status, mut version) = self.registry.read();
            let publication = self.publisher.publish(&self.pipeline, (&directory, status), interval, true);
            // Before the first success there are no numbers, and zeros would be false.
            if self.pipeline.taken.is_some() {
                self.exposition.replace(publication.published);
            }
            loop {
                let deadline = publication.next_deadline.map_or(next, |deadline| deadline.min(next));
                match self.registry.wait(version, deadline) {
                    Woken::Stopping => return false,
                    Woken::Deadline if deadline >= next => return true,
                    Woken::Deadline => break,
                    Woken::Changed => {
                        let (_, new_status, new_version) = self.registry.read();
                        version = new_version;
                        if publication.next_deadline.is_some() || new_status.up != status.up {
                            break;
                        }
                    }
                }
            }
        }
    }
}
