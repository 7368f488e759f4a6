//! The lines that connect a process with its parent.

use crate::view::rows::Row;
use crate::view::text::columns::Style;

/// Columns of one level.
const LEVEL: usize = 2;
/// Levels that are drawn where no terminal bounds the width. What is deeper shows its depth as a number, so
/// that the text of a chain does not grow with the square of its length.
const MAX_LEVELS: usize = 64;
const MIN_LEVELS: usize = 8;

/// Follows the rows from top to bottom.
#[derive(Debug)]
pub struct Branches {
    /// For each level above the present row, whether more siblings follow there.
    open: Vec<bool>,
    row_is_last: bool,
    depth: u32,
    most: usize,
    glyphs: Glyphs,
}

#[derive(Debug)]
struct Glyphs {
    child: &'static str,
    last: &'static str,
    line: &'static str,
    more: &'static str,
}

const UNICODE: Glyphs = Glyphs { child: "├─", last: "└─", line: "│ ", more: "⋯" };
const ASCII: Glyphs = Glyphs { child: "|-", last: "`-", line: "| ", more: "..." };

impl Branches {
    /// At most half of the line is left to branches.
    #[must_use]
    pub fn new(style: &Style) -> Self {
        let most = style.width.map_or(MAX_LEVELS, |width| (width / 2 / LEVEL).clamp(MIN_LEVELS, MAX_LEVELS));
        let glyphs = if style.unicode { UNICODE } else { ASCII };
        Self { open: Vec::new(), row_is_last: false, depth: 0, most, glyphs }
    }

    /// Goes on to the next row.
    pub fn enter(&mut self, row: &Row) {
        // Roots hang on nothing, so levels begin below them.
        let above = row.depth.saturating_sub(1) as usize;
        self.open.truncate(above);
        self.open.push(!row.is_last);
        self.row_is_last = row.is_last;
        self.depth = row.depth;
    }

    /// What stands before the command.
    #[must_use]
    pub fn text(&self) -> String {
        let levels = self.depth.saturating_sub(1) as usize;
        let Some(above) = levels.checked_sub(1) else { return String::new() };
        let mut text = String::with_capacity(3 * LEVEL * levels.min(self.most));
        let mut from = 1;
        if levels > self.most {
            // The depth, and the levels next to the process.
            from = 1 + levels - self.most / 2;
            text = format!("{}{:<6}", self.glyphs.more, self.depth);
        }
        for level in from..=above {
            text.push_str(if self.open.get(level) == Some(&true) { self.glyphs.line } else { "  " });
        }
        text.push_str(if self.row_is_last { self.glyphs.last } else { self.glyphs.child });
        text
    }
}
