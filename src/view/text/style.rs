//! What the terminal supports and which columns are shown.

/// How text is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Otherwise, only ASCII is used.
    pub unicode: bool,
    pub color: bool,
    /// Width of the terminal in columns; `None` for unlimited.
    pub width: Option<usize>,
    /// Show pids on the host in addition to those in the container.
    pub host_pids: bool,
    /// Show CPU and memory.
    pub usage: bool,
    /// Always show the column with `+` and `-`. Otherwise it is shown only if a row needs it.
    pub highlight_column: bool,
}
