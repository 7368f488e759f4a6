//! A snapshot as scrapers receive it. Each format is encoded at most once and served from memory.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, TextEncoder};

use super::catalog::{CATALOG, Scope};
use super::collectors::{Collector, Collectors};
use super::openmetrics::{OPENMETRICS_FORMAT, OpenMetricsEncoder};
use super::{container_families, pod_families};
use crate::model::snapshot::NamedSnapshot;

/// An exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The media type of the response.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => OPENMETRICS_FORMAT,
        }
    }
}

/// A format, compressed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    pub format: Format,
    pub gzip: bool,
}

impl Encoding {
    const ALL: [Self; 4] = [
        Self { format: Format::Text, gzip: false },
        Self { format: Format::OpenMetrics, gzip: false },
        Self { format: Format::Text, gzip: true },
        Self { format: Format::OpenMetrics, gzip: true },
    ];

    fn index(self) -> usize {
        usize::from(self.format == Format::OpenMetrics) + 2 * usize::from(self.gzip)
    }
}

/// Number of collections for which a format is encoded in advance after a request. At the default interval of 5 s, this
/// is more than a minute.
const PREENCODED_COLLECTIONS: u8 = 15;

#[derive(Debug, Default)]
struct Slot {
    body: OnceLock<Bytes>,
    /// Number of further collections for which it is encoded in advance.
    preencoded: AtomicU8,
}

/// The result of one collection. Shared by all requests; replaced, never modified.
#[derive(Debug)]
pub struct RenderedSnapshot {
    pub snapshot: NamedSnapshot,
    /// The families that describe neither containers nor pods.
    families: Vec<MetricFamily>,
    /// Names of the labels `label_<name>` of Docker labels.
    docker_labels: Arc<[String]>,
    /// The enabled collectors.
    pub collectors: Collectors,
    slots: [Slot; Encoding::ALL.len()],
    /// Time at which the snapshot was collected.
    pub collected_at: Instant,
    /// Time until the next snapshot.
    pub interval: Duration,
}

impl RenderedSnapshot {
    /// A snapshot of which nothing is encoded yet. `docker_labels` are the names of the labels `label_<name>`, in the
    /// order of their values in the metadata.
    #[must_use]
    pub fn new(
        snapshot: NamedSnapshot,
        families: Vec<MetricFamily>,
        docker_labels: Arc<[String]>,
        collectors: Collectors,
        (collected_at, interval): (Instant, Duration),
    ) -> Self {
        let slots = Default::default();
        Self { snapshot, families, docker_labels, collectors, slots, collected_at, interval }
    }

    /// Encodes the formats that scrapers requested from earlier snapshots, so that they are ready for the next scrape.
    pub fn prepare_like(&self, last: &Self) {
        for encoding in Encoding::ALL {
            let left = last.slots[encoding.index()].preencoded.load(Ordering::Relaxed);
            if left > 0 {
                self.slots[encoding.index()].preencoded.store(left - 1, Ordering::Relaxed);
                self.encode(encoding);
            }
        }
    }

    /// The encoded metrics. The first request for a format encodes them.
    #[must_use]
    pub fn body(&self, encoding: Encoding) -> Bytes {
        self.slots[encoding.index()].preencoded.store(PREENCODED_COLLECTIONS, Ordering::Relaxed);
        self.encode(encoding)
    }

    /// The encoded metrics, if they exist already. Never waits for an encoder.
    #[must_use]
    pub fn encoded(&self, encoding: Encoding) -> Option<Bytes> {
        let slot = &self.slots[encoding.index()];
        slot.preencoded.store(PREENCODED_COLLECTIONS, Ordering::Relaxed);
        slot.body.get().cloned()
    }

    /// Encodes the metrics of some collectors. The result is not kept.
    #[must_use]
    pub fn body_of(&self, encoding: Encoding, collectors: Collectors) -> Bytes {
        if encoding.gzip {
            return compress(|writer| self.write(encoding.format, collectors, writer));
        }
        let mut out = Vec::with_capacity(64 * 1024);
        // Writing to a vector cannot fail.
        let _ = self.write(encoding.format, collectors, &mut out);
        out.shrink_to_fit();
        out.into()
    }

    fn encode(&self, encoding: Encoding) -> Bytes {
        let plain = &self.slots[Encoding { gzip: false, ..encoding }.index()].body;
        let encode = || match (encoding.gzip, plain.get()) {
            (true, Some(body)) => compress(|writer| writer.write_all(body)),
            // A body of thousands of containers has megabytes, so it is not also kept uncompressed.
            (true, None) | (false, _) => self.body_of(encoding, self.collectors),
        };
        self.slots[encoding.index()].body.get_or_init(encode).clone()
    }

    fn write<W: Write>(&self, format: Format, collectors: Collectors, writer: &mut W) -> io::Result<()> {
        container_families::write(writer, format, &self.snapshot, &self.docker_labels, collectors)?;
        if collectors.has(Collector::Pods) {
            pod_families::write(writer, format, &self.snapshot)?;
        }
        let of_exporter;
        let families = if collectors.has(Collector::Processes) {
            &self.families
        } else {
            of_exporter = self.families.iter().filter(|it| is_of_exporter(it.name())).cloned().collect();
            &of_exporter
        };
        let others = match format {
            Format::Text => TextEncoder::new().encode(families, writer),
            Format::OpenMetrics => OpenMetricsEncoder.encode(families, writer),
        };
        // Only the writer can fail: all families are gauges or counters, and every family has a sample.
        others.map_err(io::Error::other)
    }
}

fn is_of_exporter(name: &str) -> bool {
    CATALOG.iter().any(|family| family.name == name && family.scope == Scope::Exporter)
}

/// Uses the fastest level. The body consists mostly of repeated names, so it still shrinks by a factor of 20.
fn compress(write: impl FnOnce(&mut GzEncoder<Vec<u8>>) -> io::Result<()>) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(64 * 1024), Compression::fast());
    // Writing to a vector cannot fail.
    let _ = write(&mut encoder);
    encoder.finish().unwrap_or_default().into()
}

/// The latest snapshot, which the server serves. Reading it never waits for a collection.
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

    /// Replaces the served snapshot, encoded in the formats that scrapers requested before.
    pub fn replace(&self, rendered: RenderedSnapshot) {
        if let Some(last) = self.current() {
            rendered.prepare_like(&last);
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(rendered));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::core::Collector as _;
    use prometheus::{Gauge, Opts};

    fn rendered() -> RenderedSnapshot {
        let families = Gauge::with_opts(Opts::new("g", "Some help.")).unwrap().collect();
        let at = (Instant::now(), Duration::ZERO);
        RenderedSnapshot::new(NamedSnapshot::default(), families, Arc::from([]), Collectors::default(), at)
    }

    #[test]
    fn a_requested_format_is_ready_in_the_next_snapshots_and_no_other() {
        let first = rendered();
        let openmetrics = Encoding { format: Format::OpenMetrics, gzip: false };
        assert_eq!(first.encoded(openmetrics), None);
        let text = first.body(openmetrics);
        assert!(text.ends_with(b"# EOF\n"));
        assert_eq!(first.body(openmetrics).as_ptr(), text.as_ptr(), "encoded twice");

        let second = rendered();
        second.prepare_like(&first);
        let is_ready: Vec<bool> = second.slots.iter().map(|slot| slot.body.get().is_some()).collect();
        assert_eq!(is_ready, [false, true, false, false]);
        // Encoding in advance stops if no further request arrives.
        let last = (0..PREENCODED_COLLECTIONS).fold(second, |last, _| {
            let next = rendered();
            next.prepare_like(&last);
            next
        });
        assert!(last.slots.iter().all(|slot| slot.body.get().is_none()));
    }
}
