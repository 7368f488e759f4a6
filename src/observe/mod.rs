//! Everything that reads from the kernel and converts bytes to records.
//!
//! | module | content |
//! |---|---|
//! | [`source`] | the two ways to list all processes, and why a walk fails |
//! | [`procfs`] | reads `/proc`: the walk, single files, the machine as a whole |
//! | [`bpf`] | the kernel's task list, and its counters of events |
//! | [`cgroupfs`] | the pids controller, the freezer, the directories of cgroup ids |

pub mod bpf;
pub mod cgroupfs;
pub mod procfs;
pub mod source;
