//! One line: coloured pieces, cut to the width of the terminal, in ASCII where that is all there is.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::view::text::columns::Style;

/// What a piece of text is, and so how it is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRole {
    Plain,
    /// What holds the rest together.
    Dim,
    Title,
    Command,
    Count,
    Good,
    Warn,
    Bad,
    /// The process that was asked for.
    Selected,
}

impl TextRole {
    /// "Select Graphic Rendition" of ECMA-48, in the eight colours that every theme has.
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

/// Columns that a text takes on a terminal.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// Pieces in order. Texts are printable already.
#[derive(Clone, Debug, Default)]
pub struct Line {
    text: String,
    /// Where each piece ends in the text.
    pieces: Vec<(usize, TextRole)>,
}

impl Line {
    /// A line of one piece.
    #[must_use]
    pub fn of(text: &str, paint: TextRole) -> Self {
        Self { text: text.to_owned(), pieces: vec![(text.len(), paint)] }
    }

    pub fn push(&mut self, text: &str, paint: TextRole) {
        self.text.push_str(text);
        self.pieces.push((self.text.len(), paint));
    }

    /// A cell of this width and a space, flush left. Nothing for a width of 0.
    pub fn left(&mut self, text: &str, columns: usize, paint: TextRole) {
        if columns > 0 {
            self.push(text, paint);
            self.pad(columns + 1 - width(text).min(columns));
        }
    }

    /// The same, flush right.
    pub fn right(&mut self, text: &str, columns: usize, paint: TextRole) {
        if columns > 0 {
            self.pad(columns - width(text).min(columns));
            self.push(text, paint);
            self.pad(1);
        }
    }

    fn pad(&mut self, columns: usize) {
        self.text.extend(std::iter::repeat_n(' ', columns));
        self.pieces.push((self.text.len(), TextRole::Plain));
    }

    pub fn append(&mut self, other: Self) {
        let start = self.text.len();
        self.text.push_str(&other.text);
        self.pieces.extend(other.pieces.into_iter().map(|(end, paint)| (start + end, paint)));
    }

    /// The line as it is printed, without its end.
    #[must_use]
    pub fn finish(&self, style: &Style) -> String {
        // One question mark for each character beyond ASCII, where that is all the terminal knows.
        let shown = |c: char| if style.unicode || c.is_ascii() { c } else { '?' };
        // They ask for another width of what stands before them, and not every terminal grants it.
        let is_selector = |c: char| ('\u{fe00}'..='\u{fe0f}').contains(&c);
        let columns = |c: char| shown(c).width().unwrap_or(0);
        let most = style.width.unwrap_or(usize::MAX);
        let is_cut = self.text.chars().filter(|&c| !is_selector(c)).map(columns).sum::<usize>() > most;
        // The sign of the cut wants its place.
        let mut room = if is_cut { most.saturating_sub(1) } else { most };
        let mut out = String::with_capacity(self.text.len() + 16);
        let mut start = 0;
        for &(end, paint) in &self.pieces {
            let piece = &self.text[start..end];
            start = end;
            let code = paint.code().filter(|_| style.color && !piece.is_empty());
            out.push_str(code.unwrap_or_default());
            let mut is_full = false;
            for c in piece.chars().filter(|&c| !is_selector(c)) {
                is_full = columns(c) > room;
                if is_full {
                    break;
                }
                room -= columns(c);
                out.push(shown(c));
            }
            if code.is_some() {
                out.push_str(RESET);
            }
            if is_full {
                break;
            }
        }
        if is_cut && most > 0 {
            out.push(if style.unicode { '…' } else { '>' });
        }
        out
    }
}
