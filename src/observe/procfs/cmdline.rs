//! Reads the arguments of processes from `cmdline`.
//!
//! A read can block forever on a memory lock of the process. Therefore separate threads, created at start, do the reads,
//! and callers do not wait for a blocked thread.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use crate::model::process::ProcessKey;
use crate::observe::procfs::walk::ProcSource;
use crate::observe::source::SourceError;

/// Capacity of the queue, more than any readable tree has processes. Processes that do not fit get no arguments.
const QUEUE_CAPACITY: usize = 32_768;
/// Limit on the arguments that one call returns.
const MAX_TOTAL_BYTES: usize = 4 << 20;

/// Time-outs of [`ArgumentReaders`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArgumentTimeouts {
    /// For all processes of one call together.
    pub read: Duration,
    /// A thread that reads one file for longer than this is blocked.
    pub blocked: Duration,
}

impl Default for ArgumentTimeouts {
    fn default() -> Self {
        Self { read: Duration::from_millis(500), blocked: Duration::from_millis(100) }
    }
}

impl ArgumentTimeouts {
    /// The defaults, each multiplied by `factor`.
    #[must_use]
    pub fn scaled(factor: f64) -> Self {
        let all = Self::default();
        Self { read: all.read.mul_f64(factor), blocked: all.blocked.mul_f64(factor) }
    }
}

/// Arguments by pid on the host, separated by NUL.
pub type ArgumentsByPid = FxHashMap<u32, Box<[u8]>>;

type Reply = (u32, Option<Box<[u8]>>);

struct Job {
    key: ProcessKey,
    reply: UnboundedSender<Reply>,
}

/// For each thread, the process that it reads now and since when.
type Busy = Arc<Mutex<Vec<Option<(ProcessKey, Instant)>>>>;

/// A pool of threads that read arguments.
#[derive(Debug)]
pub struct ArgumentReaders {
    jobs: SyncSender<Job>,
    busy: Busy,
    timeouts: ArgumentTimeouts,
}

fn lock(busy: &Busy) -> MutexGuard<'_, Vec<Option<(ProcessKey, Instant)>>> {
    busy.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ArgumentReaders {
    /// Starts the threads. A process whose read never returns blocks one of them and is not read again.
    ///
    /// # Errors
    /// If the procfs cannot be opened or a thread cannot be created.
    pub fn start(procfs: &Path, threads: usize, timeouts: ArgumentTimeouts) -> Result<Self, SourceError> {
        let (jobs, receiver) = sync_channel(QUEUE_CAPACITY);
        let receiver = Arc::new(Mutex::new(receiver));
        let busy: Busy = Arc::new(Mutex::new(vec![None; threads]));
        for number in 0..threads {
            let mut source = ProcSource::open(procfs)?;
            let (receiver, busy) = (Arc::clone(&receiver), Arc::clone(&busy));
            std::thread::Builder::new()
                .name("arguments".into())
                .spawn(move || {
                    run_reader(&receiver, &mut source, |key| {
                        lock(&busy)[number] = key.map(|key| (key, Instant::now()));
                    });
                })
                .map_err(thread_error)?;
        }
        Ok(Self { jobs, busy, timeouts })
    }

    /// The arguments of these processes. Processes whose arguments cannot be read in time are missing.
    pub async fn read(&self, keys: impl Iterator<Item = ProcessKey>) -> ArgumentsByPid {
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
            let _ = self.jobs.try_send(Job { key, reply: reply.clone() });
        }
        drop(reply);
        let deadline = Instant::now() + self.timeouts.read;
        let mut arguments_by_pid = ArgumentsByPid::default();
        let mut total = 0;
        while let Ok(Some((pid, arguments))) = timeout_at(deadline, replies.recv()).await {
            if let Some(arguments) = arguments {
                total += arguments.len();
                arguments_by_pid.insert(pid, arguments);
            }
            if total > MAX_TOTAL_BYTES {
                break;
            }
        }
        arguments_by_pid
    }
}

/// Reads jobs until the last sender is dropped. Calls `set_busy` with each process before it is read, and with `None`
/// afterwards.
fn run_reader(jobs: &Mutex<Receiver<Job>>, source: &mut ProcSource, set_busy: impl Fn(Option<ProcessKey>)) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The caller may have timed out.
        if !job.reply.is_closed() {
            set_busy(Some(job.key));
            let _ = job.reply.send((job.key.pid, source.files().arguments(job.key)));
            set_busy(None);
        }
    }
}

fn thread_error(source: io::Error) -> SourceError {
    SourceError::Unreadable {
        path: "process arguments".into(),
        source,
        remedy: "a thread could not be created; raise pids.max or ulimit -u, or do not request arguments",
    }
}
