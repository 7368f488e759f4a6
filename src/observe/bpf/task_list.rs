//! Walks the kernel's task list: one pass of the BPF task iterator, read like a file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::model::process::{ProcessRecord, SkipReason, Skipped};
use crate::observe::bpf::task_iterator::TaskIterator;
use crate::observe::bpf::task_record::{RECORD_BYTES, UNKNOWN_PAGES, parse_process};
use crate::observe::procfs::walk::{ProcFiles, ProcSource};
use crate::observe::source::SourceError;
use crate::resolve::process_files::KernelFields;

/// The kernel returns at most 8 pages per read (`bpf_seq_read`, kernel/bpf/bpf_iter.c).
const BUFFER_BYTES: usize = 32 * 1024;
/// Pid of the ancestor of all processes. Hardened kernels hide it from BPF.
const INIT: u32 = 1;

/// Lists processes with the iterator. Reads everything else from a procfs of the same pid namespace.
pub struct BpfSource {
    iterator: TaskIterator,
    buffer: Box<[u8]>,
    procfs: PathBuf,
    proc: ProcSource,
    /// Whether it was logged that memory is read from `/proc`.
    has_warned: bool,
}

impl BpfSource {
    /// `proc` reads the procfs at the path `procfs`.
    #[must_use]
    pub fn new(iterator: TaskIterator, proc: ProcSource, procfs: &Path) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self { iterator, buffer, procfs: procfs.to_owned(), proc, has_warned: false }
    }

    pub(crate) fn reopen_proc(&mut self) -> Result<ProcSource, SourceError> {
        let root = self.proc.files().namespace_root().cloned();
        Ok(ProcSource::open(&self.procfs)?.with_namespace_root(root))
    }

    pub(crate) fn files(&mut self) -> &mut ProcFiles {
        self.proc.files()
    }

    /// See `Source::walk`.
    pub(crate) fn walk(
        &mut self,
        mut visit: impl FnMut(ProcessRecord, Option<&KernelFields>, &mut ProcFiles) -> Result<(), SkipReason>,
    ) -> Result<Skipped, SourceError> {
        let mut skipped = Skipped::default();
        let mut has_init = false;
        let mut reads_memory_from_proc = false;
        let mut list = self.iterator.open().map_err(SourceError::Iterator)?;
        // Number of bytes of an incomplete record, which the next read completes.
        let mut filled = 0;
        loop {
            let count = read(&mut list, &mut self.buffer[filled..]).map_err(SourceError::Iterator)?;
            if count == 0 {
                break;
            }
            filled += count;
            let files = self.proc.files();
            let mut records = self.buffer[..filled].chunks_exact(RECORD_BYTES);
            for (mut record, fields) in records.by_ref().filter_map(parse_process) {
                has_init |= record.key.pid == INIT;
                if record.leader_exited
                    && let Some(state) = files.live_thread_state(record.key.pid)
                {
                    record.state = state;
                }
                if record.usage.resident_pages == UNKNOWN_PAGES {
                    record.usage.resident_pages =
                        files.stat(record.key.pid).map_or(0, |stat| stat.usage.resident_pages);
                    reads_memory_from_proc = true;
                }
                let outcome = visit(record, Some(&fields), files);
                files.check_exhaustion().map_err(|errno| SourceError::Iterator(errno.into()))?;
                if let Err(reason) = outcome {
                    skipped.count(reason);
                }
            }
            let rest = records.remainder().len();
            self.buffer.copy_within(filled - rest..filled, 0);
            filled = rest;
        }
        if reads_memory_from_proc && !std::mem::replace(&mut self.has_warned, true) {
            warn!(
                "BPF cannot read the memory of processes on this kernel; /proc/PID/stat is read for each of them"
            );
        }
        if !has_init && let Ok(record) = self.proc.files().stat(INIT) {
            visit(record, None, self.proc.files()).unwrap_or_else(|reason| skipped.count(reason));
        }
        Ok(skipped)
    }
}

/// Retries after a signal, and after EAGAIN, which the kernel returns after many tasks without a process among them.
fn read(list: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match list.read(buffer) {
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            done => return done,
        }
    }
}
