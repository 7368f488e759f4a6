//! Checks text that is shown to users and scrapers.

/// Maximum length of a label value other than `id`.
pub const MOST_CHARS: usize = 128;

/// Whether a character can control a terminal, end a line or reorder the text around it: Unicode's category Cc, the
/// line separators, and the property `Bidi_Control`.
pub fn is_harmful(c: char) -> bool {
    let point = u32::from(c);
    let is_control = point < 0x20 || (0x7f..0xa0).contains(&point);
    let is_separator = point == 0x2028 || point == 0x2029;
    let is_bidi = matches!(point, 0x61c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069);
    is_control || is_separator || is_bidi
}

pub fn assert_harmless(text: &str) {
    assert!(!text.chars().any(is_harmful), "must not be shown: {text:?}");
}

/// Checks a label value from untrusted text.
pub fn assert_label(text: &str) {
    assert_harmless(text);
    assert!(text.chars().count() <= MOST_CHARS, "too long: {text:?}");
}

/// Checks an error or message of one line.
pub fn assert_one_line(message: &str) {
    assert!(!message.trim().is_empty(), "says nothing");
    assert!(!message.contains(['\n', '\r']), "more than a line: {message:?}");
}
