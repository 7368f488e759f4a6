//! Everything that asks the kernel: bytes become records here.
//!
//! | module | content |
//! |---|---|
//! | [`source`] | the two ways to list all processes, and why a walk fails |
//! | [`procfs`] | reads `/proc`: the walk, single files, the machine as a whole |
//! | [`bpf`] | the kernel's own list of processes, and its counters of events |
//! | [`cgroupfs`] | the pids controller, the freezer, the directories behind cgroup ids |

pub mod bpf;
pub mod cgroupfs;
pub mod procfs;
pub mod source;
