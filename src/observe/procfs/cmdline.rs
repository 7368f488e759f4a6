//! Reads the arguments of processes from `cmdline`. A read can block forever on a memory lock of the process.

use std::ops::ControlFlow;
use std::path::Path;

use rustc_hash::FxHashMap;

use crate::model::process::ProcessKey;
use crate::observe::procfs::reader_pool::{ReadTimeouts, ReaderPool};
use crate::observe::procfs::walk::ProcFiles;
use crate::observe::source::SourceError;

/// Limit on the arguments that one call returns.
const MAX_TOTAL_BYTES: usize = 4 << 20;

/// Arguments by pid on the host, separated by NUL.
pub type ArgumentsByPid = FxHashMap<u32, Box<[u8]>>;

/// Threads that read arguments.
#[derive(Debug)]
pub struct ArgumentReaders(ReaderPool);

impl ArgumentReaders {
    /// Starts the threads.
    ///
    /// # Errors
    /// As [`ReaderPool::start`].
    pub fn start(procfs: &Path, threads: usize, timeouts: ReadTimeouts) -> Result<Self, SourceError> {
        ReaderPool::start("arguments", procfs, threads, timeouts).map(Self)
    }

    /// The arguments of these processes. Processes whose arguments cannot be read in time are missing.
    pub async fn read(&self, keys: impl Iterator<Item = ProcessKey>) -> ArgumentsByPid {
        let mut arguments_by_pid = ArgumentsByPid::default();
        let mut total = 0;
        let accept = |key: ProcessKey, arguments: Box<[u8]>| {
            total += arguments.len();
            arguments_by_pid.insert(key.pid, arguments);
            if total > MAX_TOTAL_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.0.read(keys, ProcFiles::arguments, accept).await;
        arguments_by_pid
    }
}
