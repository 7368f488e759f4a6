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

/// Converts the name of a container to a label value. A name that is too long ends with a checksum, so that two names
/// with the same beginning differ.
#[must_use]
pub fn name_label(raw: &str) -> String {
    let text = sanitize(raw.as_bytes());
    if truncate(&text) == text {
        return text.into_owned();
    }
    let mut checksum = flate2::Crc::new();
    checksum.update(raw.as_bytes());
    let end = format!("…{:08x}", checksum.sum());
    let kept = text.chars().take(MAX_LABEL_CHARS - end.chars().count());
    kept.chain(end.chars()).collect()
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
    fn long_names_with_the_same_beginning_differ() {
        let fits = "é".repeat(MAX_LABEL_CHARS);
        assert_eq!(name_label(&fits), fits);
        let [a, b] = ["a", "b"].map(|end| name_label(&(fits.clone() + end)));
        assert_ne!(a, b);
        assert_eq!([a.chars().count(), b.chars().count()], [MAX_LABEL_CHARS; 2]);
        assert!(a.starts_with(&"é".repeat(MAX_LABEL_CHARS - 9)), "{a}");
    }

    #[test]
    fn a_step_has_no_separator_and_is_never_empty() {
        assert_eq!(comm_text(b"a;b"), "a:b");
        assert_eq!(comm_text(b""), "?");
    }
}
