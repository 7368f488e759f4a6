//! Reads the cgroup file systems.

pub mod hierarchy;
pub mod pids;
