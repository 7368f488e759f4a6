//! What a collection leaves for the scrapers: its families, and each format at most once encoded.

use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, TextEncoder};

use crate::export::openmetrics::{OPENMETRICS_FORMAT, OpenMetricsEncoder};
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
    /// The media type to answer with.
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

/// Collections for which a format stays wanted: at the usual 5 s, more than a minute between two scrapes.
const KEPT_READY: u8 = 15;

#[derive(Debug, Default)]
struct Slot {
    body: OnceLock<Bytes>,
    /// For how many more collections it is made ready, since somebody asked for it.
    kept_ready: AtomicU8,
}

/// One collection's result. Shared with all requests; replaced, never changed.
#[derive(Debug)]
pub struct RenderedSnapshot {
    families: Vec<MetricFamily>,
    slots: [Slot; Encoding::ALL.len()],
    /// The processes behind the families.
    pub snapshot: NamedSnapshot,
    /// When the snapshot was taken.
    pub collected_at: Instant,
    /// Time to the next one.
    pub interval: Duration,
}

impl RenderedSnapshot {
    /// Nothing is encoded yet.
    #[must_use]
    pub fn new(
        families: Vec<MetricFamily>,
        snapshot: NamedSnapshot,
        collected_at: Instant,
        interval: Duration,
    ) -> Self {
        Self { families, slots: Default::default(), snapshot, collected_at, interval }
    }

    /// Encodes what scrapers of the last ones asked for, so that they find it ready.
    pub fn prepare_like(&self, last: &Self) {
        for encoding in Encoding::ALL {
            let left = last.slots[encoding.index()].kept_ready.load(Ordering::Relaxed);
            if left > 0 {
                self.slots[encoding.index()].kept_ready.store(left - 1, Ordering::Relaxed);
                self.encode(encoding);
            }
        }
    }

    /// The exposition, if it is encoded already. Never waits for an encoder.
    #[must_use]
    pub fn encoded(&self, encoding: Encoding) -> Option<Bytes> {
        let slot = &self.slots[encoding.index()];
        slot.kept_ready.store(KEPT_READY, Ordering::Relaxed);
        slot.body.get().cloned()
    }

    /// The exposition, encoded by the first who asks for it.
    #[must_use]
    pub fn body(&self, encoding: Encoding) -> Bytes {
        self.slots[encoding.index()].kept_ready.store(KEPT_READY, Ordering::Relaxed);
        self.encode(encoding)
    }

    fn encode(&self, encoding: Encoding) -> Bytes {
        let encode = || match encoding.gzip {
            true => compress(&self.encode(Encoding { gzip: false, ..encoding })),
            false => encode(&self.families, encoding.format),
        };
        self.slots[encoding.index()].body.get_or_init(encode).clone()
    }
}

fn encode(families: &[MetricFamily], format: Format) -> Bytes {
    let mut out = Vec::with_capacity(64 * 1024);
    let result = match format {
        Format::Text => TextEncoder::new().encode(families, &mut out),
        Format::OpenMetrics => OpenMetricsEncoder.encode(families, &mut out),
    };
    // Families come from the catalog, which has gauges and counters only, and none without a sample.
    debug_assert!(result.is_ok(), "{result:?}");
    out.shrink_to_fit();
    out.into()
}

/// The fastest level: the body is mostly repeated names, and shrinks by a factor of 20 all the same.
fn compress(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::core::Collector as _;
    use prometheus::{Gauge, Opts};

    #[test]
    fn what_was_asked_for_is_ready_the_next_time_and_nothing_else() {
        let families = || Gauge::with_opts(Opts::new("g", "Some help.")).unwrap().collect();
        let first =
            RenderedSnapshot::new(families(), NamedSnapshot::default(), Instant::now(), Duration::ZERO);
        let openmetrics = Encoding { format: Format::OpenMetrics, gzip: false };
        let text = first.body(openmetrics);
        assert!(text.ends_with(b"# EOF\n"));
        assert_eq!(first.body(openmetrics).as_ptr(), text.as_ptr(), "encoded twice");

        let second =
            RenderedSnapshot::new(families(), NamedSnapshot::default(), Instant::now(), Duration::ZERO);
        second.prepare_like(&first);
        let is_ready: Vec<bool> = second.slots.iter().map(|slot| slot.body.get().is_some()).collect();
        assert_eq!(is_ready, [false, true, false, false]);
        // And not for ever, when nobody comes back.
        let last = (0..KEPT_READY).fold(second, |last, _| {
            let next =
                RenderedSnapshot::new(families(), NamedSnapshot::default(), Instant::now(), Duration::ZERO);
            next.prepare_like(&last);
            next
        });
        assert!(last.slots.iter().all(|slot| slot.body.get().is_none()));
    }
}
