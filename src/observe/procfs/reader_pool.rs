//! Threads that read files of processes.
//!
//! Such a read can block forever: on a memory lock of the process, or on a file system that the process provides.
//! Therefore separate threads, created at start, do the reads, and callers do not wait for a blocked thread.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, timeout_at};

use crate::model::process::ProcessKey;
use crate::observe::procfs::walk::{ProcFiles, ProcSource};
use crate::observe::source::SourceError;

/// Capacity of the queue, more than any readable tree has processes. Processes that do not fit are not read.
const QUEUE_CAPACITY: usize = 32_768;

/// Time-outs of a [`ReaderPool`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadTimeouts {
    /// For all processes of one call together.
    pub read: Duration,
    /// A thread that reads one file for longer than this is blocked.
    pub blocked: Duration,
}

impl Default for ReadTimeouts {
    fn default() -> Self {
        Self { read: Duration::from_millis(500), blocked: Duration::from_millis(100) }
    }
}

impl ReadTimeouts {
    /// The defaults, each multiplied by `factor`.
    #[must_use]
    pub fn scaled(factor: f64) -> Self {
        let all = Self::default();
        Self { read: all.read.mul_f64(factor), blocked: all.blocked.mul_f64(factor) }
    }
}

struct Job {
    key: ProcessKey,
    read: Box<dyn FnOnce(&mut ProcFiles) + Send>,
}

/// For each thread, the process that it reads now and since when.
type Busy = Arc<Mutex<Vec<Option<(ProcessKey, Instant)>>>>;

/// A pool of threads that read files of processes.
#[derive(Debug)]
pub struct ReaderPool {
    jobs: SyncSender<Job>,
    busy: Busy,
    timeouts: ReadTimeouts,
}

fn lock(busy: &Busy) -> MutexGuard<'_, Vec<Option<(ProcessKey, Instant)>>> {
    busy.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ReaderPool {
    /// Starts the threads. A process whose read never returns blocks one of them and is not read again. `name` is the
    /// name of the threads.
    ///
    /// # Errors
    /// If the procfs cannot be opened or a thread cannot be created.
    pub fn start(
        name: &'static str,
        procfs: &Path,
        threads: usize,
        timeouts: ReadTimeouts,
    ) -> Result<Self, SourceError> {
        let (jobs, receiver) = sync_channel(QUEUE_CAPACITY);
        let receiver = Arc::new(Mutex::new(receiver));
        let busy: Busy = Arc::new(Mutex::new(vec![None; threads]));
        for number in 0..threads {
            let mut source = ProcSource::open(procfs)?;
            let (receiver, busy) = (Arc::clone(&receiver), Arc::clone(&busy));
            std::thread::Builder::new()
                .name(name.into())
                .spawn(move || {
                    run_reader(&receiver, source.files(), |key| {
                        lock(&busy)[number] = key.map(|key| (key, Instant::now()));
                    });
                })
                .map_err(thread_error)?;
        }
        Ok(Self { jobs, busy, timeouts })
    }

    /// Calls `read` for each process, and `accept` with each result, until `accept` breaks. Processes that cannot be read
    /// in time are missing.
    pub async fn read<T: Send + 'static>(
        &self,
        keys: impl Iterator<Item = ProcessKey>,
        read: fn(&mut ProcFiles, ProcessKey) -> Option<T>,
        mut accept: impl FnMut(ProcessKey, T) -> ControlFlow<()>,
    ) {
        let (reply, mut replies) = unbounded_channel();
        let blocked: Vec<ProcessKey> = {
            let busy = lock(&self.busy);
            busy.iter()
                .flatten()
                .filter(|(_, since)| since.elapsed() > self.timeouts.blocked)
                .map(|(key, _)| *key)
                .collect()
        };
        for key in keys.filter(|key| !blocked.contains(key)) {
            let reply = reply.clone();
            let read = Box::new(move |files: &mut ProcFiles| {
                // The caller may have timed out.
                if !reply.is_closed() {
                    let _ = reply.send((key, read(files, key)));
                }
            });
            let _ = self.jobs.try_send(Job { key, read });
        }
        drop(reply);
        let deadline = Instant::now() + self.timeouts.read;
        while let Ok(Some((key, result))) = timeout_at(deadline, replies.recv()).await {
            if result.is_some_and(|result| accept(key, result).is_break()) {
                break;
            }
        }
    }
}

/// Runs jobs until the last sender is dropped. Calls `set_busy` with each process before it is read, and with `None`
/// afterwards.
fn run_reader(jobs: &Mutex<Receiver<Job>>, files: &mut ProcFiles, set_busy: impl Fn(Option<ProcessKey>)) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        set_busy(Some(job.key));
        (job.read)(files);
        set_busy(None);
    }
}

fn thread_error(source: io::Error) -> SourceError {
    SourceError::Unreadable {
        path: "files of processes".into(),
        source,
        remedy: "a thread could not be created; raise pids.max or ulimit -u, or do not request arguments",
    }
}
