//! What the program does after the flags are parsed: one file or folder for each command or mode.
//!
//! | module | command |
//! |---|---|
//! | `serve` | none: the exporter; `--once` |
//! | `check` | `--check` |
//! | `healthcheck` | `--healthcheck` |
//! | `tree` | `tree` |
//! | `live` | `tree --watch` |
//! | `roots` | `roots` |
//! | `collect_once` | shared by `tree` and `roots`: one collection without a running exporter |

pub mod check;
pub mod collect_once;
pub mod healthcheck;
pub mod live;
pub mod roots;
pub mod serve;
pub mod tree;
