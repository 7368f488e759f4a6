//! The lines that connect a process with its parent.

use crate::view::rows::Row;
use crate::view::text::style::Style;

/// Width of one level in columns.
const LEVEL_WIDTH: usize = 2;
/// Levels that are drawn if the width is unlimited. A deeper row shows its depth as a number, so that the size of the
/// text does not grow with the square of the depth.
const MAX_LEVELS: usize = 64;
const MIN_LEVELS: usize = 8;

/// The glyphs before the command of each row. Visits the rows from top to bottom.
#[derive(Debug)]
pub(crate) struct BranchGlyphs {
    /// For each level of the current row, whether another sibling follows there.
    open: Vec<bool>,
    is_last: bool,
    depth: u32,
    max_levels: usize,
    glyphs: GlyphSet,
}

#[derive(Debug)]
struct GlyphSet {
    child: &'static str,
    last_child: &'static str,
    line: &'static str,
    omitted: &'static str,
}

const UNICODE: GlyphSet = GlyphSet { child: "├─", last_child: "└─", line: "│ ", omitted: "⋯" };
const ASCII: GlyphSet = GlyphSet { child: "|-", last_child: "`-", line: "| ", omitted: "..." };

impl BranchGlyphs {
    /// Uses at most half of the width for the glyphs.
    pub(crate) fn new(style: &Style) -> Self {
        let max_levels =
            style.width.map_or(MAX_LEVELS, |width| (width / 2 / LEVEL_WIDTH).clamp(MIN_LEVELS, MAX_LEVELS));
        let glyphs = if style.unicode { UNICODE } else { ASCII };
        Self { open: Vec::new(), is_last: false, depth: 0, max_levels, glyphs }
    }

    /// Goes to the next row.
    pub(crate) fn advance(&mut self, row: &Row) {
        // Roots have no branch, so the levels start below them.
        let ancestors = row.depth.saturating_sub(1) as usize;
        self.open.truncate(ancestors);
        self.open.push(!row.is_last);
        self.is_last = row.is_last;
        self.depth = row.depth;
    }

    /// The glyphs of the current row.
    pub(crate) fn text(&self) -> String {
        let levels = self.depth.saturating_sub(1) as usize;
        let Some(last_line) = levels.checked_sub(1) else { return String::new() };
        let mut text = String::with_capacity(3 * LEVEL_WIDTH * levels.min(self.max_levels));
        let mut first_line = 1;
        if levels > self.max_levels {
            // The depth, and the levels closest to the process.
            first_line = 1 + levels - self.max_levels / 2;
            text = format!("{}{:<6}", self.glyphs.omitted, self.depth);
        }
        for level in first_line..=last_line {
            text.push_str(if self.open.get(level) == Some(&true) { self.glyphs.line } else { "  " });
        }
        text.push_str(if self.is_last { self.glyphs.last_child } else { self.glyphs.child });
        text
    }
}
