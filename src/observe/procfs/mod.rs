//! Reads `/proc`.

pub mod cmdline;
pub mod parse;
pub mod system;
pub mod walk;
