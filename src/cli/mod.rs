//! Flags as typed, and what they resolve to.

pub mod config;
pub mod flags;
pub mod input_flags;
pub mod logging;
pub mod tree_flags;
pub mod values;
