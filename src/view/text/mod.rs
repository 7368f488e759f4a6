//! Trees as text.

pub mod branch_glyphs;
pub mod columns;
pub mod heading;
pub mod line;
pub mod tree_view;
