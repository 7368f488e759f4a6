//! Finds the container of each process.
//!
//! | module | content |
//! |---|---|
//! | [`resolver`] | finds the container of each process |
//! | [`cgroup_path`] | maps a cgroup path to a container, for every runtime |
//! | `cgroup_formats` | the path formats of all runtimes |
//! | [`systemd_unit`] | maps a cgroup path to a systemd unit |
//! | [`cgroup_file`] | parses `/proc/PID/cgroup` |
//! | [`cgroup_owners`] | maps a cgroup id to a container |
//! | [`process_cache`] | per-process state kept between collections |
//! | [`event_attribution`] | attributes the kernel's event counts to containers |
//! | [`process_files`] | trait for reading the files of single processes |

pub mod cgroup_file;
mod cgroup_formats;
pub mod cgroup_owners;
pub mod cgroup_path;
pub mod event_attribution;
pub mod process_cache;
pub mod process_files;
pub mod resolver;
pub mod systemd_unit;
