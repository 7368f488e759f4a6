//! What may be shown to people and scrapers.

/// The longest label value that is not an `id`.
pub const MOST_CHARS: usize = 128;

/// Characters that steer a terminal, end a line or reorder the text around them: Unicode's category Cc, the line
/// separators, and its property `Bidi_Control`.
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

/// A label value that somebody chose.
pub fn assert_label(text: &str) {
    assert_harmless(text);
    assert!(text.chars().count() <= MOST_CHARS, "too long: {text:?}");
}

/// An error or a message of one line.
pub fn assert_one_line(message: &str) {
    assert!(!message.trim().is_empty(), "says nothing");
    assert!(!message.contains(['\n', '\r']), "more than a line: {message:?}");
}
