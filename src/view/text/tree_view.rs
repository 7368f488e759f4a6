//! Several trees below one another. Draws any range of lines, because a screen may show only a part of them.

use std::ops::Range;
use std::sync::Arc;

use crate::model::snapshot::{ContainerSummary, NamedSnapshot};
use crate::model::user_names::UserNames;
use crate::view::process_text;
use crate::view::rows::Row;
use crate::view::text::heading;
use crate::view::text::line::Line;
use crate::view::text::style::Style;
use crate::view::text::table;
use crate::view::tree::Tree;

/// What the heading of a tree describes.
#[derive(Debug)]
pub enum Title {
    Container(Box<ContainerSummary>),
    Host,
}

impl Title {
    /// The title of a container, or of the host without one.
    #[must_use]
    pub fn of(summary: Option<&ContainerSummary>) -> Self {
        summary.map_or(Self::Host, |summary| Self::Container(Box::new(summary.clone())))
    }
}

/// The tree of one container or of the host.
#[derive(Debug)]
pub struct Section {
    pub title: Title,
    /// The heading is shown elsewhere.
    pub hides_heading: bool,
    /// The lines of the table of commands.
    pub commands: Vec<Line>,
    pub tree: Tree,
    pub rows: Vec<Row>,
    pub users: Arc<UserNames>,
}

impl Section {
    /// Number of lines: heading, column titles and rows.
    fn len(&self) -> usize {
        let titles = usize::from(!self.rows.is_empty());
        usize::from(!self.hides_heading) + self.commands_len() + titles + self.rows.len()
    }

    /// Number of lines of the table of commands, with the empty line below it.
    fn commands_len(&self) -> usize {
        let gap = usize::from(!self.commands.is_empty() && !self.rows.is_empty());
        self.commands.len() + gap
    }

    /// The heading; `None` if the snapshot has no host.
    #[must_use]
    pub fn heading(&self, snapshot: &NamedSnapshot, style: &Style) -> Option<Line> {
        let usage = style.usage.then(|| process_text::usage(snapshot, &self.tree.usage()));
        match &self.title {
            Title::Container(summary) => Some(heading::container(summary, usage.as_deref())),
            Title::Host => {
                let host = snapshot.host.as_ref()?;
                Some(heading::host(host, snapshot.host_kernel_threads, usage.as_deref()))
            }
        }
    }

    /// Draws the lines in `range`.
    fn draw(&self, range: Range<usize>, snapshot: &NamedSnapshot, style: &Style, out: &mut Vec<String>) {
        let mut header_line = 0;
        if !self.hides_heading {
            header_line = 1;
            if range.start == 0 {
                out.push(self.heading(snapshot, style).unwrap_or_default().render(style));
            }
        }
        let commands = self.commands.iter().map(|line| line.render(style)).chain([String::new()]);
        for line in commands.take(self.commands_len()) {
            if range.contains(&header_line) {
                out.push(line);
            }
            header_line += 1;
        }
        if self.rows.is_empty() || range.end <= header_line {
            return;
        }
        let first_row = header_line + 1;
        let rows = range.start.saturating_sub(first_row)..range.end.saturating_sub(first_row);
        let mut lines = table::draw(&self.tree, &self.rows, rows, (snapshot, &self.users), style).into_iter();
        let header = lines.next();
        out.extend(header.filter(|_| range.start <= header_line));
        out.extend(lines);
    }
}

/// Sections, separated by empty lines.
#[derive(Debug, Default)]
pub struct TreeView(pub Vec<Section>);

impl TreeView {
    /// Number of lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|section| section.len() + 1).sum::<usize>().saturating_sub(1)
    }

    /// Whether there are no lines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Draws the lines in `range`. The snapshot gives the ages.
    #[must_use]
    pub fn draw(&self, range: Range<usize>, snapshot: &NamedSnapshot, style: &Style) -> Vec<String> {
        let mut lines = Vec::with_capacity(range.len());
        let mut start = 0;
        for section in &self.0 {
            let end = start + section.len();
            if start > 0 && range.contains(&(start - 1)) {
                lines.push(String::new());
            }
            let visible = range.start.clamp(start, end) - start..range.end.clamp(start, end) - start;
            if !visible.is_empty() {
                section.draw(visible, snapshot, style, &mut lines);
            }
            start = end + 1;
        }
        lines
    }
}
