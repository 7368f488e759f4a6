//! Reads `/proc`.
//!
//! | module | content |
//! |---|---|
//! | [`walk`] | lists all processes, reads the files of single processes |
//! | [`parse`] | bytes of these files to values; no I/O |
//! | [`system`] | files of the system: limits, what is visible to the exporter |
//! | [`start_clock`] | the clock of start times |
//! | [`reader_pool`] | threads for reads that can block |
//! | [`cmdline`] | arguments of processes |
//! | [`passwd`] | user names of containers and of the host |

pub mod cmdline;
pub mod parse;
pub mod passwd;
pub mod reader_pool;
pub mod start_clock;
pub mod system;
pub mod walk;
