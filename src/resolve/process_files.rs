//! What the resolver asks about one process beyond its `stat`. The kernel's side implements it; tests stand in for it.

use crate::model::process::{NsPids, SkipReason};

/// Files of single processes.
pub trait ProcessFiles {
    /// The bytes of `/proc/PID/cgroup`.
    ///
    /// # Errors
    /// The reason why the process has to be left out.
    fn cgroup(&mut self, pid: u32) -> Result<&[u8], SkipReason>;

    /// The pids of a process in its pid namespaces (`NSpid` in `proc_pid_status(5)`); `None` where they cannot be read.
    fn ns_pids(&mut self, pid: u32) -> Option<NsPids>;

    /// The inode number of the pid namespace (`pid_namespaces(7)`, `/proc/PID/ns/pid`). Readable for zombies, too.
    ///
    /// # Errors
    /// `Denied` where the kernel does not show it to us.
    fn pid_namespace(&mut self, pid: u32) -> Result<u64, SkipReason>;
}

/// What the kernel's task list has of a process, and a procfs only in further files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelFields {
    /// The id of its cgroup in the default hierarchy: the inode number of that directory.
    pub cgroup_id: u64,
    pub ns_pids: NsPids,
    /// Inode number.
    pub pid_namespace: u64,
}
