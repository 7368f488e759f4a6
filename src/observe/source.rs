//! The source of processes: a walk over a procfs, or the kernel's task list with BPF.

use std::io;

use rustix::io::Errno;

use super::bpf::task_list::BpfSource;
use super::procfs::walk::{ProcFiles, ProcSource};
use crate::model::process::{ProcessRecord, SkipReason, Skipped};
use crate::resolve::process_files::KernelFields;

/// The whole walk failed. A single process that cannot be read causes a [`SkipReason`] instead.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot read {path}: {source}; {remedy}")]
    Unreadable { path: String, source: io::Error, remedy: &'static str },
    #[error(
        "{path} shows no process; set --path.procfs to a mounted procfs, the directory that contains the numbered ones"
    )]
    NoProcesses { path: String },
    /// The kernel's task list.
    #[error("cannot list processes with BPF: {0}")]
    Iterator(io::Error),
    #[error("--collection.source=bpf: {0}; use --collection.source=auto to fall back to /proc")]
    NoBpf(String),
}

impl SourceError {
    /// Whether file descriptors or memory are exhausted. Another source would also fail, and this one may recover.
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

/// Whether the error means that file descriptors or memory are exhausted.
pub(crate) fn is_exhaustion(errno: Errno) -> bool {
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

    /// Calls `visit` with every process, and with the kernel's fields if the source has them. `visit` can read more
    /// files while the pid is still valid, or return a reason to skip the process. Returns how many processes were
    /// skipped.
    ///
    /// # Errors
    /// If processes cannot be listed at all. An error of a single process only skips that process.
    pub fn walk(
        &mut self,
        mut visit: impl FnMut(ProcessRecord, Option<&KernelFields>, &mut ProcFiles) -> Result<(), SkipReason>,
    ) -> Result<Skipped, SourceError> {
        self.files().begin();
        match self {
            Self::Proc(source) => source.walk(|record, files| visit(record, None, files)),
            Self::Bpf(source) => source.walk(visit),
        }
    }

    /// Whether the source is the kernel's task list.
    #[must_use]
    pub fn is_bpf(&self) -> bool {
        matches!(self, Self::Bpf(_))
    }

    /// Switches to the procfs.
    ///
    /// # Errors
    /// If the procfs cannot be opened.
    pub fn fall_back(&mut self) -> Result<(), SourceError> {
        if let Self::Bpf(source) = self {
            *self = Self::Proc(source.reopen_proc()?);
        }
        Ok(())
    }
}
