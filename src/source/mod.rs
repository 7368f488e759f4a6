//! Where processes come from.
//!
//! [`proc`] walks a procfs; [`parse`] turns its bytes into records and does no I/O. A source fed by the kernel
//! itself has its place beside them: it would fill the same [`crate::model::Snapshot`].

pub mod parse;
pub mod proc;
pub mod system;

use crate::model::SkipReason;
use parse::InnerPid;

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
    fn inner_pid(&mut self, pid: u32) -> Option<InnerPid>;

    /// The inode number of the pid namespace (`pid_namespaces(7)`, `/proc/PID/ns/pid`). Readable for
    /// zombies, too.
    ///
    /// # Errors
    /// `Denied` where the kernel does not show it to us.
    fn pid_namespace(&mut self, pid: u32) -> Result<u64, SkipReason>;
}

/// A whole walk failed. One process that cannot be read is no such error: see
/// [`crate::model::SkipReason`].
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot read {path}: {source}; {remedy}")]
    Unreadable { path: String, source: std::io::Error, remedy: &'static str },
    #[error(
        "no process is to be seen in {path}; is it a procfs? Give --path.procfs the directory that has \
         the numbered ones"
    )]
    NoProcesses { path: String },
}
