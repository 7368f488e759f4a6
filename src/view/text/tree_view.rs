//! Several trees below one another, of which only a part may be on the screen. Pure.

use std::ops::Range;

use crate::model::snapshot::NamedSnapshot;
use crate::model::user_names::Users;
use crate::view::rows::Row;
use crate::view::text::columns::{self, Style};
use crate::view::text::line::Line;
use crate::view::tree::Tree;

/// One container's part, or the host's.
#[derive(Debug)]
pub struct Section {
    /// One line; none where it stands elsewhere.
    pub heading: Option<Line>,
    pub tree: Tree,
    pub rows: Vec<Row>,
}

impl Section {
    /// The heading, the names of the columns and the rows.
    fn len(&self) -> usize {
        let header = usize::from(!self.rows.is_empty());
        usize::from(self.heading.is_some()) + header + self.rows.len()
    }

    /// Draws the lines in `range`, the names of the columns with the first row of them.
    fn draw(&self, range: Range<usize>, of: (&NamedSnapshot, &Users), style: &Style, out: &mut Vec<String>) {
        let mut above = 0;
        if let Some(heading) = &self.heading {
            above = 1;
            if range.start == 0 {
                out.push(heading.finish(style));
            }
        }
        if self.rows.is_empty() || range.end <= above {
            return;
        }
        let rows = range.start.saturating_sub(above + 1)..range.end.saturating_sub(above + 1);
        let mut lines = columns::draw(&self.tree, &self.rows, rows, of, style).into_iter();
        let header = lines.next();
        out.extend(header.filter(|_| range.start <= above));
        out.extend(lines);
    }
}

/// Sections with an empty line between them.
#[derive(Debug, Default)]
pub struct TreeView(pub Vec<Section>);

impl TreeView {
    /// Lines of the whole picture.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|section| section.len() + 1).sum::<usize>().saturating_sub(1)
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Draws the lines in `range`.
    #[must_use]
    pub fn draw(&self, range: Range<usize>, of: (&NamedSnapshot, &Users), style: &Style) -> Vec<String> {
        let mut lines = Vec::with_capacity(range.len());
        let mut start = 0;
        for section in &self.0 {
            let end = start + section.len();
            if start > 0 && range.contains(&(start - 1)) {
                lines.push(String::new());
            }
            let part = range.start.clamp(start, end) - start..range.end.clamp(start, end) - start;
            if !part.is_empty() {
                section.draw(part, of, style, &mut lines);
            }
            start = end + 1;
        }
        lines
    }
}
