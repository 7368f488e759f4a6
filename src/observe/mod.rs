//! Everything that asks the kernel.

pub mod bpf;
pub mod cgroupfs;
pub mod procfs;
pub mod source;
