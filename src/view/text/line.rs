//! One line of text: coloured pieces, truncated to the width of the terminal, in ASCII if required.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::view::text::style::Style;

/// The role of a piece of text, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRole {
    Plain,
    /// Secondary text, such as branch glyphs and column titles.
    Dim,
    Title,
    Command,
    Count,
    Good,
    Warn,
    Bad,
    /// The process that the user selected.
    Selected,
}

impl TextRole {
    /// "Select Graphic Rendition" of ECMA-48, limited to the eight colours that every theme has.
    fn code(self) -> Option<&'static str> {
        Some(match self {
            Self::Plain | Self::Command => return None,
            Self::Dim => "\x1b[2m",
            Self::Title => "\x1b[1m",
            Self::Count => "\x1b[36m",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[1;31m",
            Self::Selected => "\x1b[1;7m",
        })
    }
}

const RESET: &str = "\x1b[0m";

/// Width of a text on a terminal, in columns.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Pieces of text in order. The text must be printable; use [`crate::model::text::sanitize`] for untrusted text.
#[derive(Clone, Debug, Default)]
pub struct Line {
    text: String,
    /// The end of each piece in the text.
    pieces: Vec<(usize, TextRole)>,
}

impl Line {
    /// A line of one piece.
    #[must_use]
    pub fn of(text: &str, role: TextRole) -> Self {
        Self { text: text.to_owned(), pieces: vec![(text.len(), role)] }
    }

    /// Appends a piece.
    pub fn push(&mut self, text: &str, role: TextRole) {
        self.text.push_str(text);
        self.pieces.push((self.text.len(), role));
    }

    /// Appends a left-aligned cell of this width and a space; nothing if the width is 0.
    pub(crate) fn push_left(&mut self, text: &str, columns: usize, role: TextRole) {
        if columns > 0 {
            self.push(text, role);
            self.pad(columns + 1 - width(text).min(columns));
        }
    }

    /// Appends a right-aligned cell of this width and a space; nothing if the width is 0.
    pub(crate) fn push_right(&mut self, text: &str, columns: usize, role: TextRole) {
        if columns > 0 {
            self.pad(columns - width(text).min(columns));
            self.push(text, role);
            self.pad(1);
        }
    }

    fn pad(&mut self, columns: usize) {
        self.text.extend(std::iter::repeat_n(' ', columns));
        self.pieces.push((self.text.len(), TextRole::Plain));
    }

    pub(crate) fn append(&mut self, other: Self) {
        let start = self.text.len();
        self.text.push_str(&other.text);
        self.pieces.extend(other.pieces.into_iter().map(|(end, role)| (start + end, role)));
    }

    /// The line as it is printed, without a line feed.
    #[must_use]
    pub fn render(&self, style: &Style) -> String {
        // In ASCII, one question mark replaces each other character.
        let displayed = |c: char| if style.unicode || c.is_ascii() { c } else { '?' };
        // Variation selectors change the width of the character before them on some terminals only, so they are
        // removed.
        let is_variation_selector = |c: char| ('\u{fe00}'..='\u{fe0f}').contains(&c);
        let columns = |c: char| displayed(c).width().unwrap_or(0);
        let max_columns = style.width.unwrap_or(usize::MAX);
        let total_columns =
            self.text.chars().filter(|&c| !is_variation_selector(c)).map(columns).sum::<usize>();
        let is_truncated = total_columns > max_columns;
        // The last column is reserved for the sign that the line is truncated.
        let mut remaining = if is_truncated { max_columns.saturating_sub(1) } else { max_columns };
        let mut out = String::with_capacity(self.text.len() + 16);
        let mut start = 0;
        for &(end, role) in &self.pieces {
            let piece = &self.text[start..end];
            start = end;
            let code = role.code().filter(|_| style.color && !piece.is_empty());
            out.push_str(code.unwrap_or_default());
            let mut is_full = false;
            for c in piece.chars().filter(|&c| !is_variation_selector(c)) {
                is_full = columns(c) > remaining;
                if is_full {
                    break;
                }
                remaining -= columns(c);
                out.push(displayed(c));
            }
            if code.is_some() {
                out.push_str(RESET);
            }
            if is_full {
                break;
            }
        }
        if is_truncated && max_columns > 0 {
            out.push(if style.unicode { '…' } else { '>' });
        }
        out
    }
}
