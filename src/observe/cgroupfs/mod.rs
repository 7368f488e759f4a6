//! Reads the cgroup file systems.
//!
//! | module | content |
//! |---|---|
//! | [`pids`] | pids controller and freezer of a container, pids controller of a pod |
//! | `ancestors` | pids limits of the cgroups above containers, read once per collection |
//! | `control_files` | the files of a cgroup, some of which stay open between collections |
//! | [`hierarchy`] | ids and paths of the cgroups of a hierarchy |
//! | [`memory`] | the memory limit of a process |
//! | [`namespace_root`] | complete paths for an exporter in its own cgroup namespace |

mod ancestors;
mod control_files;
pub mod hierarchy;
pub mod memory;
pub mod namespace_root;
pub mod pids;
