//! One file or folder a command.

pub mod check;
pub mod healthcheck;
pub mod live;
pub mod roots;
mod selected_containers;
pub mod serve;
pub mod tree;
