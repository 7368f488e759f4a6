//! `Accept` and `Accept-Encoding`: any input is accepted, and well-formed headers are interpreted according to the RFC.

use std::collections::BTreeSet;

use pstree_exporter::export::rendered::Format;
use pstree_exporter::serve::negotiation::{accepts_gzip, format};

/// Separates the two headers.
const SEPARATOR: char = '\n';

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (accept, encoding) = text.split_once(SEPARATOR).unwrap_or((&text, &text));
    let (chosen, gzip) = (format(accept), accepts_gzip(encoding));
    if let Some(ranges) = elements(accept) {
        assert_eq!(chosen, expected_format(&ranges), "Accept: {accept}");
    }
    let is_said_once = |codings: &Vec<Element>| {
        let mut names = BTreeSet::new();
        codings.iter().all(|coding| names.insert(&coding.name))
    };
    if let Some(codings) = elements(encoding).filter(is_said_once) {
        assert_eq!(gzip, expected_gzip(&codings), "Accept-Encoding: {encoding}");
    }
}

/// One element of a list.
struct Element {
    /// The name in lower case.
    name: String,
    version: Option<String>,
    /// In thousandths.
    quality: u32,
}

/// Parses a list according to RFC 9110, sections 5.6 and 12.4.2. `None` if it is malformed, has duplicates or quotes
/// separators, which no client sends.
fn elements(header: &str) -> Option<Vec<Element>> {
    let trimmed = |text: &str| text.trim_matches([' ', '\t']).to_owned();
    let mut elements: Vec<Element> = Vec::new();
    for element in header.split(',') {
        let mut parts = element.split(';').map(trimmed);
        let name = parts.next()?.to_ascii_lowercase();
        if !name.split('/').all(is_token) || name.matches('/').count() > 1 {
            return None;
        }
        let mut element = Element { name, version: None, quality: 1000 };
        let mut seen = Vec::new();
        for part in parts {
            let (key, value) = part.split_once('=')?;
            let key = key.to_ascii_lowercase();
            let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let value = unquoted.unwrap_or(value);
            if !is_token(&key) || !is_token(value) || seen.contains(&key) {
                return None;
            }
            match &*key {
                "q" => element.quality = quality(value)?,
                "version" => element.version = Some(value.to_owned()),
                _ => {}
            }
            seen.push(key);
        }
        elements.push(element);
    }
    Some(elements)
}

fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

/// `0` or `1` with up to three decimals.
fn quality(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_well_formed =
        ["0", "1"].contains(&whole) && decimals.len() <= 3 && decimals.bytes().all(|it| it.is_ascii_digit());
    let thousandths = format!("{whole}{decimals:0<3}").parse().ok()?;
    (is_well_formed && thousandths <= 1000).then_some(thousandths)
}

/// The format with the highest quality, the first one if equal. Quality 0 excludes a format. The default is the text
/// format.
fn expected_format(ranges: &[Element]) -> Format {
    let ours = |range: &Element| {
        let version = range.version.as_deref();
        match &*range.name {
            "application/openmetrics-text" if [None, Some("1.0.0"), Some("0.0.1")].contains(&version) => {
                Some(Format::OpenMetrics)
            }
            "text/plain" if [None, Some("0.0.4")].contains(&version) => Some(Format::Text),
            "text/*" | "*/*" => Some(Format::Text),
            _ => None,
        }
    };
    let wanted = ranges.iter().filter(|range| range.quality > 0);
    let wanted: Vec<_> = wanted.filter_map(|range| Some((range.quality, ours(range)?))).collect();
    let best = wanted.iter().map(|(quality, _)| *quality).max();
    wanted.iter().find(|(quality, _)| Some(*quality) == best).map_or(Format::Text, |(_, format)| *format)
}

/// The quality by name takes precedence over `*`.
fn expected_gzip(codings: &[Element]) -> bool {
    let quality = |names: &[&str]| codings.iter().find(|it| names.contains(&&*it.name)).map(|it| it.quality);
    quality(&["gzip", "x-gzip"]).or_else(|| quality(&["*"])).is_some_and(|quality| quality > 0)
}
