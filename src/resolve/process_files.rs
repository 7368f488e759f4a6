//! What the resolver asks about one process beyond its `stat`.

use crate::model::process::{NsPids, SkipReason};

/// What can be asked about one process beyond its `stat`. A trait, so that membership can be tested
/// without a procfs.
pub trait ProcessFiles {
    /// The bytes of `/proc/PID/cgroup`.
    ///
    /// # Errors
    /// The reason why the process has to be left out.
    fn cgroup(&mut self, pid: u32) -> Result<&[u8], SkipReason>;

    /// The pid in the innermost pid namespace of the process (`NSpid` in `proc_pid_status(5)`); `None`
    /// where that cannot be read.
    fn ns_pids(&mut self, pid: u32) -> Option<NsPids>;

    /// The inode number of the pid namespace (`pid_namespaces(7)`, `/proc/PID/ns/pid`). Readable for
    /// zombies, too.
    ///
    /// # Errors
    /// `Denied` where the kernel does not show it to us.
    fn pid_namespace(&mut self, pid: u32) -> Result<u64, SkipReason>;
}

/// What the kernel tells with a process, and a procfs only in further files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelFields {
    /// The id of its cgroup in the default hierarchy: the inode number of that directory.
    pub cgroup_id: u64,
    pub inner: NsPids,
    /// Inode number.
    pub pid_namespace: u64,
}
