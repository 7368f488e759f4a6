//! Reads the cgroup file systems.
//!
//! | module | content |
//! |---|---|
//! | [`pids`] | pids controller and freezer of a container |
//! | [`hierarchy`] | ids and paths of the cgroups of the default hierarchy (cgroup v2) |

pub mod hierarchy;
pub mod pids;
