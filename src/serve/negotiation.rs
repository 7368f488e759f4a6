//! Selects the format and compression of the metrics by `Accept` and `Accept-Encoding` (RFC 9110, sections 12.4 and
//! 12.5). Pure.
//!
//! No request is rejected: a scraper that accepts no supported format gets the Prometheus text format.

use crate::export::rendered::Format;

/// The highest quality, in thousandths.
const MAX_QUALITY: u16 = 1000;

/// The format with the highest quality; of several, the first one.
#[must_use]
pub fn format(accept: &str) -> Format {
    let mut best = (Format::Text, 0);
    for range in accept.split(',') {
        let mut parameters = range.split(';').map(str::trim);
        let media_type = parameters.next().unwrap_or_default();
        let mut quality = MAX_QUALITY;
        let mut version = None;
        for parameter in parameters {
            let Some((name, value)) = parameter.split_once('=') else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            match name.trim() {
                name if name.eq_ignore_ascii_case("q") => quality = parse_quality(value),
                name if name.eq_ignore_ascii_case("version") => version = Some(value),
                _ => {}
            }
        }
        if let Some(format) = format_of(media_type, version)
            && quality > best.1
        {
            best = (format, quality);
        }
    }
    best.0
}

fn format_of(media_type: &str, version: Option<&str>) -> Option<Format> {
    let is = |name: &str| media_type.eq_ignore_ascii_case(name);
    if is("application/openmetrics-text") {
        matches!(version, None | Some("1.0.0" | "0.0.1")).then_some(Format::OpenMetrics)
    } else if is("text/plain") {
        matches!(version, None | Some("0.0.4")).then_some(Format::Text)
    } else {
        (is("*/*") || is("text/*")).then_some(Format::Text)
    }
}

/// Whether the client accepts gzip, by name or by `*`, with a quality above 0.
#[must_use]
pub fn accepts_gzip(accept_encoding: &str) -> bool {
    let mut any = false;
    for coding in accept_encoding.split(',') {
        let mut parameters = coding.split(';').map(str::trim);
        let name = parameters.next().unwrap_or_default();
        let quality = parameters
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(MAX_QUALITY, |(_, value)| parse_quality(value.trim()));
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return quality > 0;
        }
        any |= name == "*" && quality > 0;
    }
    any
}

/// A quality from `0` to `1`, in thousandths; 0 if it is not a quality.
fn parse_quality(value: &str) -> u16 {
    match value.parse::<f32>() {
        Ok(quality) if (0.0..=1.0).contains(&quality) => (quality * f32::from(MAX_QUALITY)).round() as u16,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_real_scrapers() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(format(prometheus_2), Format::OpenMetrics);
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(format(prometheus_3), Format::OpenMetrics);
        assert_eq!(format("*/*"), Format::Text);
        assert_eq!(format("text/html,application/xhtml+xml,*/*;q=0.8"), Format::Text);
        assert_eq!(format(""), Format::Text);
    }

    #[test]
    fn the_highest_quality_wins_and_zero_excludes() {
        assert_eq!(format("text/plain;q=0.4, application/openmetrics-text;q=0.5"), Format::OpenMetrics);
        assert_eq!(format("text/plain;q=0.5, application/openmetrics-text;q=0.4"), Format::Text);
        assert_eq!(format("application/openmetrics-text;q=0"), Format::Text);
        assert_eq!(format("application/openmetrics-text; Q=\"0.9\"; charset=utf-8"), Format::OpenMetrics);
        assert_eq!(format("application/openmetrics-text;q=nan"), Format::Text);
        assert_eq!(format("application/openmetrics-text;q=-1"), Format::Text);
        assert_eq!(format("application/openmetrics-text;version=2.0.0"), Format::Text);
        assert_eq!(format("APPLICATION/OpenMetrics-Text"), Format::OpenMetrics);
        assert_eq!(format(";;;,=,q=1;;"), Format::Text);
    }

    #[test]
    fn gzip_is_accepted_by_name_or_wildcard() {
        assert!(accepts_gzip("gzip"));
        assert!(accepts_gzip("deflate, gzip;q=0.5"));
        assert!(accepts_gzip("*"));
        for none in ["", "identity", "gzip;q=0", "gzip;q=0.000, *", "br", "*;q=0"] {
            assert!(!accepts_gzip(none), "{none}");
        }
    }
}
