//! Where processes come from: the walk over a procfs, or the kernel's own list by BPF.

use std::io;

use rustix::io::Errno;

use super::bpf::task_list::BpfSource;
use super::procfs::walk::{ProcFiles, ProcSource};
use crate::model::process::{ProcessRecord, SkipReason, Skipped};
use crate::resolve::process_files::KernelFields;

/// A walk failed as a whole. A single process that cannot be read is a [`SkipReason`].
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot read {path}: {source}; {remedy}")]
    Unreadable { path: String, source: io::Error, remedy: &'static str },
    #[error(
        "{path} shows no process; set --path.procfs to a mounted procfs, the directory that contains the numbered ones"
    )]
    NoProcesses { path: String },
    /// The kernel's own list.
    #[error("cannot list processes by BPF: {0}")]
    Iterator(io::Error),
    #[error("--collection.source=bpf: {0}; use --collection.source=auto to fall back to /proc")]
    NoBpf(String),
}

impl SourceError {
    /// Whether descriptors or memory have run out: another source would fail, too, and this one may work again.
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

    /// Shows every process to `visit`, with the kernel's fields where the list has them. `visit` may read more files
    /// while the pid is still valid, or leave the process out by a reason. Returns what was left out.
    ///
    /// # Errors
    /// Only when nothing can be listed at all; a problem with one process costs only that process.
    pub fn walk(
        &mut self,
        mut visit: impl FnMut(ProcessRecord, Option<&KernelFields>, &mut ProcFiles) -> Result<(), SkipReason>,
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

    /// Switches to the procfs, which always works.
    ///
    /// # Errors
    /// When the procfs cannot be opened.
    pub fn fall_back(&mut self) -> Result<(), SourceError> {
        if let Self::Bpf(source) = self {
            *self = Self::Proc(source.reopen_proc()?);
        }
        Ok(())
    }
}
