//! The command line: flags as typed, and the configuration that they resolve to.
//!
//! | file | content |
//! |---|---|
//! | `flags` | the flags of the exporter, and parsing |
//! | `collector_flags` | the flags `--[no-]collector.NAME` |
//! | `input_flags` | flags that all commands share: where to read from |
//! | `tree_flags` | the commands `tree` and `roots` |
//! | `flag_values` | parsers of single values |
//! | `flag_error` | errors of flags |
//! | `config` | the resolved configuration |
//! | `logging` | log output |

mod collector_flags;
pub mod config;
mod flag_error;
mod flag_values;
pub mod flags;
mod input_flags;
pub mod logging;
mod tree_flags;

pub use flag_error::FlagError;
