//! Reads the cgroup file systems.
//!
//! | module | content |
//! |---|---|
//! | [`pids`] | pids controller and freezer of a container |
//! | `control_files` | the files of a container, some of which stay open between collections |
//! | [`hierarchy`] | ids and paths of the cgroups of the default hierarchy (cgroup v2) |

mod control_files;
pub mod hierarchy;
pub mod pids;
