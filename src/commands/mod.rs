//! One file or folder a command.

pub mod check;
pub mod collect_once;
pub mod healthcheck;
pub mod live;
pub mod roots;
pub mod serve;
pub mod tree;
