//! Takes the terminal over as the live view does, and panics: for a test of what is left of the terminal.

use std::sync::Arc;

use pstree_exporter::commands::live::screen::Screen;

fn main() {
    let _screen = Screen::enter(Arc::default()).expect("a terminal");
    panic!("on purpose");
}
