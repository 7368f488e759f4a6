//! Trees as text for a terminal or a pipe.
//!
//! | module | content |
//! |---|---|
//! | `tree_view` | several trees below one another, each with its heading |
//! | [`heading`] | the line above a tree: name and numbers |
//! | [`busy_commands`] | the busiest commands of a container, with their events per second |
//! | `table` | the rows of a tree as a table with aligned columns |
//! | `branch_glyphs` | the lines that connect a process with its parent |
//! | `line` | one line: colour, width, ASCII |
//! | `style` | what the terminal supports and which columns are shown |

mod branch_glyphs;
pub mod busy_commands;
pub mod heading;
mod line;
mod style;
mod table;
mod tree_view;

pub(crate) use branch_glyphs::BranchGlyphs;

pub use line::{Line, TextRole};
pub use style::Style;
pub use tree_view::{Section, Title, TreeView};
