//! Which lines of a long text are visible. Pure.

use std::ops::Range;

/// A scroll command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scroll {
    Up,
    Down,
    PageUp,
    PageDown,
    Top,
    Bottom,
}

/// The visible part, known by its first line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Viewport {
    top: usize,
}

impl Viewport {
    /// Scrolls in a text of `lines` lines of which `height` are visible.
    pub fn scroll(&mut self, scroll: Scroll, lines: usize, height: usize) {
        // One line of the previous page stays visible.
        let page = height.saturating_sub(1).max(1);
        self.top = match scroll {
            Scroll::Up => self.top.saturating_sub(1),
            Scroll::Down => self.top + 1,
            Scroll::PageUp => self.top.saturating_sub(page),
            Scroll::PageDown => self.top + page,
            Scroll::Top => 0,
            Scroll::Bottom => lines,
        };
        self.clamp(lines, height);
    }

    /// The visible lines. If the text became shorter, its last page.
    pub fn visible(&mut self, lines: usize, height: usize) -> Range<usize> {
        self.clamp(lines, height);
        self.top..lines.min(self.top + height)
    }

    fn clamp(&mut self, lines: usize, height: usize) {
        self.top = self.top.min(lines.saturating_sub(height));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_visible_lines_stay_within_the_text() {
        let mut viewport = Viewport::default();
        let mut after = |command, lines| {
            viewport.scroll(command, lines, 10);
            viewport.visible(lines, 10)
        };
        assert_eq!(after(Scroll::Up, 100), 0..10);
        assert_eq!(after(Scroll::Down, 100), 1..11);
        assert_eq!(after(Scroll::PageDown, 100), 10..20);
        assert_eq!(after(Scroll::Bottom, 100), 90..100);
        assert_eq!(after(Scroll::Down, 100), 90..100);
        assert_eq!(after(Scroll::PageUp, 100), 81..91);
        assert_eq!(after(Scroll::Down, 50), 40..50, "the text became shorter");
        assert_eq!(after(Scroll::Down, 5), 0..5, "the whole text fits");
        assert_eq!(after(Scroll::Top, 100), 0..10);
    }
}
