//! Reads `/proc`.
//!
//! | module | content |
//! |---|---|
//! | [`walk`] | lists all processes, reads the files of single processes |
//! | [`parse`] | bytes of these files to values; no I/O |
//! | [`system`] | files of the system: limits, what is visible to the exporter |
//! | [`start_clock`] | the clock of start times |
//! | [`cmdline`] | arguments of processes, read on separate threads because a read can block |
//! | [`passwd`] | user names |

pub mod cmdline;
pub mod parse;
pub mod passwd;
pub mod start_clock;
pub mod system;
pub mod walk;
