//! From a process to the container that it belongs to.
//!
//! | module | content |
//! |---|---|
//! | [`resolver`] | decides for each process |
//! | [`attribution`] | a cgroup path to a container, for every runtime |
//! | [`cgroup_file`] | the bytes of `/proc/PID/cgroup` |
//! | [`cgroup_owners`] | a cgroup id to a container |
//! | [`process_cache`] | what is remembered of each process |
//! | [`event_attribution`] | the kernel's event counts to containers |
//! | [`process_files`] | what is asked of the kernel, as a trait |

pub mod attribution;
pub mod cgroup_file;
pub mod cgroup_owners;
pub mod event_attribution;
pub mod process_cache;
pub mod process_files;
pub mod resolver;
