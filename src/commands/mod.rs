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
//! | `user_names` | shared by `tree` and the live view: user names of containers and the host |
//! | `selected_containers` | shared by `tree` and `roots`: one collection without a running exporter |

pub mod check;
pub mod healthcheck;
pub mod live;
pub mod roots;
mod selected_containers;
pub mod serve;
pub mod tree;
mod user_names;
