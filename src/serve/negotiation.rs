//! `Accept` and `Accept-Encoding` to what is sent (RFC 9110, sections 12.4 and 12.5). Pure.
//!
//! Nothing is ever refused: a scraper that names nothing we have gets the Prometheus text format.

use crate::export::rendered::Format;

/// Highest quality, in thousandths.
const FULL: u16 = 1000;

/// The format that a client likes best; among equals the first it names.
#[must_use]
pub fn format(accept: &str) -> Format {
    let mut best = (Format::Text, 0);
    for range in accept.split(',') {
        let mut parameters = range.split(';').map(str::trim);
        let media_type = parameters.next().unwrap_or_default();
        let mut quality = FULL;
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

/// Whether the client takes gzip: named, or by `*`, with a quality above 0.
#[must_use]
pub fn accepts_gzip(accept_encoding: &str) -> bool {
    let mut any = false;
    for coding in accept_encoding.split(',') {
        let mut parameters = coding.split(';').map(str::trim);
        let name = parameters.next().unwrap_or_default();
        let quality = parameters
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(FULL, |(_, value)| parse_quality(value.trim()));
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return quality > 0;
        }
        any |= name == "*" && quality > 0;
    }
    any
}

/// `0` to `1` with at most three decimals, in thousandths; 0 for what is none of these.
fn parse_quality(value: &str) -> u16 {
    match value.parse::<f32>() {
        Ok(quality) if (0.0..=1.0).contains(&quality) => (quality * f32::from(FULL)).round() as u16,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_real_scrapers_send() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(format(prometheus_2), Format::OpenMetrics);
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(format(prometheus_3), Format::OpenMetrics);
        assert_eq!(format("*/*"), Format::Text);
        assert_eq!(format("text/html,application/xhtml+xml,*/*;q=0.8"), Format::Text);
        assert_eq!(format(""), Format::Text);
    }

    #[test]
    fn qualities_decide_and_zero_excludes() {
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
    fn gzip() {
        assert!(accepts_gzip("gzip"));
        assert!(accepts_gzip("deflate, gzip;q=0.5"));
        assert!(accepts_gzip("*"));
        for none in ["", "identity", "gzip;q=0", "gzip;q=0.000, *", "br", "*;q=0"] {
            assert!(!accepts_gzip(none), "{none}");
        }
    }
}
