//! Encoder of the OpenMetrics 1.0.0 text format (<https://prometheus.io/docs/specs/om/open_metrics_spec/>), which the
//! prometheus crate does not have.

use std::io::Write;

use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{Encoder, Error, Result};

use super::catalog::Kind;
use super::container_families::type_name;

/// Encodes gauges and counters. Other types cause an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenMetricsEncoder;

/// Media type of the format.
pub const OPENMETRICS_FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const COUNTER_SUFFIX: &str = "_total";
/// Units that a name can end with ("Metric Naming and Namespaces": a unit must be a suffix).
const UNITS: [&str; 2] = ["seconds", "bytes"];

impl Encoder for OpenMetricsEncoder {
    fn encode<W: Write>(&self, families: &[MetricFamily], writer: &mut W) -> Result<()> {
        for family in families {
            encode_family(family, writer)?;
        }
        writer.write_all(b"# EOF\n")?;
        Ok(())
    }

    fn format_type(&self) -> &str {
        OPENMETRICS_FORMAT
    }
}

/// Writes `# TYPE`, `# UNIT` and `# HELP`. The name of a counter family lacks the suffix `_total` of its samples.
///
/// # Errors
/// The errors of the writer.
pub fn write_header<W: Write>(writer: &mut W, name: &str, kind: Kind, help: &str) -> std::io::Result<()> {
    let name = if kind == Kind::Counter { name.strip_suffix(COUNTER_SUFFIX).unwrap_or(name) } else { name };
    writeln!(writer, "# TYPE {name} {}", type_name(kind))?;
    let has_unit = |unit: &str| name.strip_suffix(unit).is_some_and(|it| it.ends_with('_'));
    if let Some(unit) = UNITS.iter().find(|unit| has_unit(unit)) {
        writeln!(writer, "# UNIT {name} {unit}")?;
    }
    if !help.is_empty() {
        write!(writer, "# HELP {name} ")?;
        write_escaped(writer, help)?;
        writer.write_all(b"\n")?;
    }
    Ok(())
}

fn encode_family<W: Write>(family: &MetricFamily, writer: &mut W) -> Result<()> {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::GAUGE => Kind::Gauge,
        other => {
            return Err(Error::Msg(format!("{}: {other:?} is not supported", family.name())));
        }
    };
    write_header(writer, family.name(), kind, family.help())?;
    let name = match kind {
        Kind::Counter => family.name().strip_suffix(COUNTER_SUFFIX).unwrap_or(family.name()),
        Kind::Gauge | Kind::Histogram => family.name(),
    };
    let suffix = if kind == Kind::Counter { COUNTER_SUFFIX } else { "" };
    for metric in family.get_metric() {
        writer.write_all(name.as_bytes())?;
        writer.write_all(suffix.as_bytes())?;
        let mut separator = b'{';
        for label in metric.get_label() {
            writer.write_all(&[separator])?;
            writer.write_all(label.name().as_bytes())?;
            writer.write_all(b"=\"")?;
            write_escaped(writer, label.value())?;
            writer.write_all(b"\"")?;
            separator = b',';
        }
        if separator == b',' {
            writer.write_all(b"}")?;
        }
        let value = match family.get_field_type() {
            MetricType::COUNTER => metric.get_counter().get_value(),
            _ => metric.get_gauge().get_value(),
        };
        writer.write_all(b" ")?;
        write_value(writer, value)?;
        writer.write_all(b"\n")?;
    }
    Ok(())
}

fn write_value<W: Write>(writer: &mut W, value: f64) -> std::io::Result<()> {
    if value.is_infinite() {
        writer.write_all(if value > 0.0 { b"+Inf" } else { b"-Inf" })
    } else {
        write!(writer, "{value}")
    }
}

/// Escapes `\`, `"` and line feed for label values and HELP (ABNF: `escaped-string`).
///
/// # Errors
/// The errors of the writer.
pub fn write_escaped<W: Write>(writer: &mut W, text: &str) -> std::io::Result<()> {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| matches!(b, b'\\' | b'"' | b'\n')) {
        writer.write_all(&rest[..at])?;
        writer.write_all(match rest[at] {
            b'\\' => b"\\\\",
            b'"' => b"\\\"",
            _ => b"\\n",
        })?;
        rest = &rest[at + 1..];
    }
    writer.write_all(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::core::Collector as _;
    use prometheus::{CounterVec, Gauge, Histogram, HistogramOpts, Opts};

    fn encode(families: &[MetricFamily]) -> Result<String> {
        let mut out = Vec::new();
        OpenMetricsEncoder.encode(families, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn counter_families_have_no_suffix_and_units_are_declared() {
        let counter = CounterVec::new(Opts::new("starts_total", "A \"quoted\" \\ help."), &["id"]).unwrap();
        counter.with_label_values(&["a\\b\"c\nd"]).inc_by(2.0);
        let gauge = Gauge::with_opts(Opts::new("age_seconds", "How old.")).unwrap();
        gauge.set(0.5);
        let families: Vec<_> = counter.collect().into_iter().chain(gauge.collect()).collect();
        assert_eq!(
            encode(&families).unwrap(),
            "# TYPE starts counter\n\
             # HELP starts A \\\"quoted\\\" \\\\ help.\n\
             starts_total{id=\"a\\\\b\\\"c\\nd\"} 2\n\
             # TYPE age_seconds gauge\n\
             # UNIT age_seconds seconds\n\
             # HELP age_seconds How old.\n\
             age_seconds 0.5\n\
             # EOF\n"
        );
    }

    #[test]
    fn infinite_values_and_nan() {
        let gauge = Gauge::with_opts(Opts::new("g", "G.")).unwrap();
        for (value, text) in [(f64::INFINITY, "+Inf"), (f64::NEG_INFINITY, "-Inf"), (f64::NAN, "NaN")] {
            gauge.set(value);
            assert_eq!(
                encode(&gauge.collect()).unwrap(),
                format!("# TYPE g gauge\n# HELP g G.\ng {text}\n# EOF\n")
            );
        }
    }

    #[test]
    fn an_unsupported_type_is_an_error() {
        let histogram = Histogram::with_opts(HistogramOpts::new("h", "Some help.")).unwrap();
        assert!(encode(&histogram.collect()).unwrap_err().to_string().contains("HISTOGRAM"));
    }
}
