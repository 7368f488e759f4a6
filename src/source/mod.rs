//! Where processes come from.
//!
//! [`proc`] walks a procfs; [`parse`] turns its bytes into records. [`bpf`] has the kernel list them in one
//! pass; [`kernel`] turns those bytes into the same records. What the pass does not tell, and what is asked
//! outside a walk, is read from the procfs either way.

pub mod bpf;
pub mod choice;
pub mod kernel;
pub mod parse;
pub mod proc;
pub mod system;

use std::io;

use rustix::io::Errno;

use crate::model::{ProcessRecord, SkipReason, Skipped};
use bpf::BpfSource;
use parse::InnerPid;
use proc::{ProcFiles, ProcSource};

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

/// What the kernel tells with a process, and a procfs only in further files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Details {
    /// The id of its cgroup in the default hierarchy: the inode number of that directory.
    pub cgroup_id: u64,
    pub inner: InnerPid,
    /// Inode number.
    pub pid_namespace: u64,
}

/// A whole walk failed. One process that cannot be read is no such error: see
/// [`crate::model::SkipReason`].
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot read {path}: {source}; {remedy}")]
    Unreadable { path: String, source: io::Error, remedy: &'static str },
    #[error(
        "no process is to be seen in {path}; is it a procfs? Give --path.procfs the directory that has \
         the numbered ones"
    )]
    NoProcesses { path: String },
    /// The kernel's own list.
    #[error("cannot list the processes through BPF: {0}")]
    Iterator(io::Error),
    #[error("--collection.source=bpf: {0}; or give --collection.source=auto to do without")]
    NoBpf(String),
}

impl SourceError {
    /// Whether we have run out of something, so that any other way would fail, too, and this one may work
    /// again.
    #[must_use]
    pub fn is_exhaustion(&self) -> bool {
        match self {
            Self::Unreadable { source, .. } | Self::Iterator(source) => {
                Errno::from_io_error(source).is_some_and(is_exhaustion)
            }
            Self::NoProcesses { .. } | Self::NoBpf(_) => false,
        }
    }
}

/// Out of descriptors or memory.
fn is_exhaustion(errno: Errno) -> bool {
    matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOMEM)
}

/// One of the two ways to list all processes.
pub enum Source {
    Proc(ProcSource),
    Bpf(BpfSource),
}

impl Source {
    /// The files of single processes.
    pub fn files(&mut self) -> &mut ProcFiles {
        match self {
            Self::Proc(source) => source.files(),
            Self::Bpf(source) => source.files(),
        }
    }

    /// Shows every process to `visit`, with the details where they come for free. It may ask for more at
    /// once, while the pid is still its own, or leave the process out by a reason. Returns what was left
    /// out.
    ///
    /// # Errors
    /// Only where nothing can be listed at all; what concerns one process costs that process only.
    pub fn walk(
        &mut self,
        mut visit: impl FnMut(ProcessRecord, Option<&Details>, &mut ProcFiles) -> Result<(), SkipReason>,
    ) -> Result<Skipped, SourceError> {
        match self {
            Self::Proc(source) => source.walk(|record, files| visit(record, None, files)),
            Self::Bpf(source) => source.walk(visit),
        }
    }

    /// Whether the kernel lists the processes.
    #[must_use]
    pub fn is_bpf(&self) -> bool {
        matches!(self, Self::Bpf(_))
    }

    /// From now on by the procfs, which always works.
    ///
    /// # Errors
    /// When the procfs cannot be opened anew.
    pub fn fall_back(&mut self) -> Result<(), SourceError> {
        if let Self::Bpf(source) = self {
            *self = Self::Proc(source.reopen_proc()?);
        }
        Ok(())
    }
}
