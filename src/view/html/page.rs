//! What all pages have in common. Pages are complete documents that also work without scripts.
//!
//! Text from containers is printable and goes through `escape`. The Content-Security-Policy allows a browser to load
//! and run only the assets of the exporter itself.

use std::collections::HashSet;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::snapshot::{ContainerSummary, NamedSnapshot};
use crate::view::select::NotFound;

pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub const STYLE: &str = include_str!("page.css");
pub const SCRIPT: &str = include_str!("page.js");
pub const ICON: &str = include_str!("icon.svg");

/// Escapes all characters of a path segment that are not "unreserved" (RFC 3986).
const PATH_SEGMENT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The parts of a page that do not depend on its content.
#[derive(Clone, Copy, Debug)]
pub struct PageContext<'a> {
    pub telemetry_path: &'a str,
    /// Interval between collections in seconds.
    pub interval: f64,
    /// The snapshot is older than it should be, so the page shows a warning.
    pub is_stale: bool,
}

/// A complete page around its main part.
pub(crate) fn page(title: &str, main: &str, snapshot: &NamedSnapshot, context: &PageContext<'_>) -> String {
    let title = escape(title);
    let metrics = escape(context.telemetry_path);
    let version = env!("CARGO_PKG_VERSION");
    let revision = crate::REVISION;
    let interval = context.interval.max(1.0);
    let stale = match context.is_stale {
        true => {
            "<p class=\"alarm\" role=\"alert\">This snapshot is outdated: collections fail or take too long. The log has the reason.</p>\n"
        }
        false => "",
    };
    let collected_at = time_of_day(snapshot.collected_at);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} - pstree-exporter</title>\n\
         <link rel=\"icon\" href=\"/assets/icon.svg\" type=\"image/svg+xml\">\n\
         <link rel=\"stylesheet\" href=\"/assets/page.css?{revision}\">\n\
         <script src=\"/assets/page.js?{revision}\" defer></script>\n\
         <noscript><meta http-equiv=\"refresh\" content=\"{refresh}\"></noscript>\n\
         </head>\n<body data-interval=\"{interval}\">\n\
         <header><nav><a href=\"/\" class=\"home\">pstree-exporter</a></nav>\
         <p id=\"live\">as of {collected_at} UTC</p></header>\n\
         <main id=\"main\">\n{stale}{main}</main>\n\
         <footer><a href=\"{metrics}\">Metrics</a> <a href=\"/api/v1/containers\">JSON</a> \
         <a href=\"/-/ready\">Ready</a> <a href=\"/-/healthy\">Healthy</a> \
         <span>Version {version}, revision {revision}</span></footer>\n</body>\n</html>\n",
        refresh = interval.ceil(),
    )
}

/// The time of day of a Unix time in seconds, in UTC.
fn time_of_day(unix: f64) -> String {
    let seconds = unix.max(0.0) as u64 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The path of a container's page: by name, or by id if several containers have the name.
#[must_use]
pub(crate) fn path_of(summary: &ContainerSummary, duplicate_names: &HashSet<&str>) -> String {
    let is_duplicate = duplicate_names.contains(&*summary.name);
    let key = if is_duplicate { &summary.container.id } else { &summary.name };
    format!("/containers/{}", utf8_percent_encode(key, &PATH_SEGMENT))
}

/// The names that more than one container has.
#[must_use]
pub(crate) fn duplicate_names(snapshot: &NamedSnapshot) -> HashSet<&str> {
    let mut seen = HashSet::new();
    snapshot.containers.iter().map(|summary| &*summary.name).filter(|name| !seen.insert(*name)).collect()
}

/// The page for a selector of no container or of several, with links to those that may be meant.
#[must_use]
pub fn not_found(error: &NotFound, snapshot: &NamedSnapshot, context: &PageContext<'_>) -> String {
    let title = if error.is_ambiguous() { "Several containers" } else { "Not found" };
    let mut main = format!("<h1>{title}</h1>\n<p>{}</p>\n", escape(&error.to_string()));
    for name in error.nearest() {
        let path = utf8_percent_encode(name, &PATH_SEGMENT);
        main.push_str(&format!("<p><a href=\"/containers/{path}\">{}</a></p>\n", escape(name)));
    }
    main.push_str("<p><a href=\"/\">All containers</a></p>\n");
    page(title, &main, snapshot, context)
}

/// Escapes text for elements and quoted attributes.
#[must_use]
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_break_out_of_elements_attributes_and_paths() {
        let context = PageContext { telemetry_path: "/\"><script>", interval: 5.0, is_stale: false };
        let error = NotFound::Unknown {
            selector: "<script>alert(1)</script>".into(),
            nearest: vec!["a\"b/../c".into()],
        };
        let page = not_found(&error, &NamedSnapshot::default(), &context);
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("href=\"/&quot;&gt;&lt;script&gt;\""));
        assert!(page.contains("href=\"/containers/a%22b%2F..%2Fc\""));
    }
}
