//! Sets up the terminal like the live view and panics, for a test that the terminal is restored.

use std::sync::Arc;

use pstree_exporter::commands::live::screen::Screen;

fn main() {
    let _screen = Screen::enter(Arc::default()).expect("a terminal");
    panic!("on purpose");
}
