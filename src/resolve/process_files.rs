//! The files of one process that the resolver reads besides `stat`. `observe` implements the trait for procfs; tests
//! use fakes.

use crate::model::process::{NsPids, SkipReason};

/// Files of single processes.
pub trait ProcessFiles {
    /// The bytes of `/proc/PID/cgroup`.
    ///
    /// # Errors
    /// The reason why the process must be skipped.
    fn cgroup(&mut self, pid: u32) -> Result<&[u8], SkipReason>;

    /// The pids of a process in its pid namespaces (`NSpid` in `proc_pid_status(5)`); `None` if they cannot be read.
    fn ns_pids(&mut self, pid: u32) -> Option<NsPids>;

    /// The inode number of the pid namespace (`pid_namespaces(7)`, `/proc/PID/ns/pid`). Also readable for zombies.
    ///
    /// # Errors
    /// `Denied` if the kernel does not show it to the exporter.
    fn pid_namespace(&mut self, pid: u32) -> Result<u64, SkipReason>;
}

/// Fields that the kernel's task list contains, and that procfs has only in separate files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelFields {
    /// The id of its cgroup in the default hierarchy: the inode number of that directory.
    pub cgroup_id: u64,
    pub ns_pids: NsPids,
    /// Inode number.
    pub pid_namespace: u64,
}
