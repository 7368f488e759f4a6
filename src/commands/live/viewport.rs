//! Which lines of a long picture are on the screen. Pure.

use std::ops::Range;

/// How somebody moves through a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Up,
    Down,
    PageUp,
    PageDown,
    Top,
    Bottom,
}

/// The first line on the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Viewport {
    top: usize,
}

impl Viewport {
    /// Moves within `lines` of which `height` are seen.
    pub fn go(&mut self, to: Move, lines: usize, height: usize) {
        // One line of the last page stays in sight.
        let page = height.saturating_sub(1).max(1);
        self.top = match to {
            Move::Up => self.top.saturating_sub(1),
            Move::Down => self.top + 1,
            Move::PageUp => self.top.saturating_sub(page),
            Move::PageDown => self.top + page,
            Move::Top => 0,
            Move::Bottom => lines,
        };
        self.fit(lines, height);
    }

    /// What is seen now; a picture that has become shorter is moved down.
    pub fn visible(&mut self, lines: usize, height: usize) -> Range<usize> {
        self.fit(lines, height);
        self.top..lines.min(self.top + height)
    }

    fn fit(&mut self, lines: usize, height: usize) {
        self.top = self.top.min(lines.saturating_sub(height));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_leaves_the_picture() {
        let mut viewport = Viewport::default();
        let mut after = |to, lines| {
            viewport.go(to, lines, 10);
            viewport.visible(lines, 10)
        };
        assert_eq!(after(Move::Up, 100), 0..10);
        assert_eq!(after(Move::Down, 100), 1..11);
        assert_eq!(after(Move::PageDown, 100), 10..20);
        assert_eq!(after(Move::Bottom, 100), 90..100);
        assert_eq!(after(Move::Down, 100), 90..100);
        assert_eq!(after(Move::PageUp, 100), 81..91);
        assert_eq!(after(Move::Down, 50), 40..50, "it has become shorter");
        assert_eq!(after(Move::Down, 5), 0..5, "all of it fits");
        assert_eq!(after(Move::Top, 100), 0..10);
    }
}
