//! Where processes come from.
//!
//! [`proc`] walks a procfs; [`parse`] turns its bytes into records. [`bpf`] has the kernel list them in one
//! pass; [`kernel`] turns those bytes into the same records. What the pass does not tell, and what is asked
//! outside a walk, is read from the procfs either way.

use std::io;

use rustix::io::Errno;

use crate::model::process::{ProcessRecord, SkipReason, Skipped};
use crate::observe::bpf::task_list::BpfSource;
use crate::observe::procfs::walk::{ProcFiles, ProcSource};
use crate::resolve::process_files::KernelFields;

/// A whole walk failed. One process that cannot be read is no such error: see
/// [`crate::model::process::SkipReason`].
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

    /// Shows every process to `visit`, with the details where they come for free. It may ask for more at
    /// once, while the pid is still its own, or leave the process out by a reason. Returns what was left
    /// out.
    ///
    /// # Errors
    /// Only where nothing can be listed at all; what concerns one process costs that process only.
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
