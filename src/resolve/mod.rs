//! From a process to the container that it belongs to.

pub mod attribution;
pub mod cgroup_file;
pub mod cgroup_owners;
pub mod event_attribution;
pub mod process_cache;
pub mod process_files;
pub mod resolver;
