//! Makes text that a container chooses safe for label values, terminals and pages.

use std::borrow::Cow;

/// Maximum length of a label value in characters.
pub const MAX_LABEL_CHARS: usize = 128;

/// Replaces a character that must not be displayed.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Returns valid UTF-8 without control characters. Each invalid byte and each C0, DEL, C1, line separator or
/// bidirectional control character is replaced with U+FFFD.
#[must_use]
pub fn sanitize(raw: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(raw) {
        Cow::Borrowed(text) if !text.contains(is_unsafe) => Cow::Borrowed(text),
        text => Cow::Owned(text.chars().map(|c| if is_unsafe(c) { REPLACEMENT } else { c }).collect()),
    }
}

/// Whether a character can control a terminal or reorder the text around it.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // line and paragraph separator; invisible and bidirectional marks, embeddings and isolates
            '\u{2028}' | '\u{2029}' | '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Truncates to [`MAX_LABEL_CHARS`] characters. The last character of truncated text is `…`.
#[must_use]
pub fn truncate(text: &str) -> Cow<'_, str> {
    // Text with fewer bytes than the limit also has fewer characters.
    if text.len() <= MAX_LABEL_CHARS || text.chars().nth(MAX_LABEL_CHARS).is_none() {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(MAX_LABEL_CHARS - 1).collect();
    Cow::Owned(kept + "…")
}

/// Converts untrusted text to a label value: [`sanitize`], then [`truncate`].
#[must_use]
pub fn label_value(raw: &str) -> String {
    let text = sanitize(raw.as_bytes());
    truncate(&text).into_owned()
}

/// Converts a command to a component of a node path. It is made printable, `;` (the separator) is replaced with `:`,
/// and an empty name with `?`, so that every component is visible.
#[must_use]
pub fn comm_text(raw: &[u8]) -> Cow<'_, str> {
    if raw.is_empty() {
        return Cow::Borrowed("?");
    }
    let text = sanitize(raw);
    if text.contains(';') { Cow::Owned(text.replace(';', ":")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidi_characters_never_pass() {
        assert_eq!(sanitize(b"plain name"), "plain name");
        assert_eq!(sanitize("naïve ✓".as_bytes()), "naïve ✓");
        assert_eq!(sanitize(b"a\nb\x1b[31m\x7f"), "a\u{fffd}b\u{fffd}[31m\u{fffd}");
        assert_eq!(sanitize("\u{85}\u{202e}x\u{2066}".as_bytes()), "\u{fffd}\u{fffd}x\u{fffd}");
        assert_eq!(sanitize(b"\xff"), "\u{fffd}");
    }

    #[test]
    fn cut_counts_characters_not_bytes() {
        let fits = "é".repeat(MAX_LABEL_CHARS);
        assert_eq!(truncate(&fits), fits);
        let long = "é".repeat(MAX_LABEL_CHARS + 1);
        let shown = truncate(&long);
        assert_eq!(shown.chars().count(), MAX_LABEL_CHARS);
        assert!(shown.ends_with('…'));
    }

    #[test]
    fn a_step_has_no_separator_and_is_never_empty() {
        assert_eq!(comm_text(b"a;b"), "a:b");
        assert_eq!(comm_text(b""), "?");
    }
}
