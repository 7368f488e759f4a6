//! Command lines, for trees that somebody asked for with arguments.
//!
//! Reading one waits for a lock of the process that it belongs to, perhaps for ever. So threads of their own
//! read them, made at the start, and nobody waits for a thread that is stuck.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::mpsc as replies;
use tokio::time::{Instant, timeout_at};

use crate::model::process::ProcessKey;
use crate::observe::procfs::walk::ProcSource;
use crate::observe::source::SourceError;

/// More than a tree that can be looked at has; what does not fit goes without.
const MAX_WAITING: usize = 32_768;
/// Of the command lines in one answer.
const MAX_TOTAL_BYTES: usize = 4 << 20;

/// How long command lines are waited for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArgumentTimeouts {
    /// For all command lines of one request; the others are left out.
    pub answer: Duration,
    /// A thread that has read one command line for longer is stuck.
    pub stuck: Duration,
}

impl Default for ArgumentTimeouts {
    fn default() -> Self {
        Self { answer: Duration::from_millis(500), stuck: Duration::from_millis(100) }
    }
}

impl ArgumentTimeouts {
    /// The defaults, each multiplied by `factor`.
    #[must_use]
    pub fn scaled(factor: f64) -> Self {
        let all = Self::default();
        Self { answer: all.answer.mul_f64(factor), stuck: all.stuck.mul_f64(factor) }
    }
}

/// Command lines by pid on the host.
pub type CommandLines = FxHashMap<u32, Box<[u8]>>;

type Reply = (u32, Option<Box<[u8]>>);

struct Job {
    key: ProcessKey,
    reply: replies::UnboundedSender<Reply>,
}

/// What each thread reads at this moment, and since when.
type Busy = Arc<Mutex<Vec<Option<(ProcessKey, Instant)>>>>;

/// Threads that read command lines.
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
    /// Starts so many threads. A process that never answers takes one of them, and is not asked again.
    ///
    /// # Errors
    /// When the procfs cannot be opened, or no thread can be made.
    pub fn start(procfs: &Path, threads: usize, timeouts: ArgumentTimeouts) -> Result<Self, SourceError> {
        let (jobs, receiver) = sync_channel(MAX_WAITING);
        let receiver = Arc::new(Mutex::new(receiver));
        let busy: Busy = Arc::new(Mutex::new(vec![None; threads]));
        for number in 0..threads {
            let mut source = ProcSource::open(procfs)?;
            let (receiver, busy) = (Arc::clone(&receiver), Arc::clone(&busy));
            std::thread::Builder::new()
                .name("arguments".into())
                .spawn(move || {
                    serve(&receiver, &mut source, |key| {
                        lock(&busy)[number] = key.map(|key| (key, Instant::now()));
                    });
                })
                .map_err(no_thread)?;
        }
        Ok(Self { jobs, busy, timeouts })
    }

    /// What could be read in a short time of the processes asked for; the others are left out.
    pub async fn read(&self, keys: impl Iterator<Item = ProcessKey>) -> CommandLines {
        let (reply, mut answers) = replies::unbounded_channel();
        let stuck: Vec<ProcessKey> = {
            let busy = lock(&self.busy);
            busy.iter()
                .flatten()
                .filter(|(_, since)| since.elapsed() > self.timeouts.stuck)
                .map(|(key, _)| *key)
                .collect()
        };
        for key in keys.filter(|key| !stuck.contains(key)) {
            let _ = self.jobs.try_send(Job { key, reply: reply.clone() });
        }
        drop(reply);
        let deadline = Instant::now() + self.timeouts.answer;
        let mut lines = CommandLines::default();
        let mut total = 0;
        while let Ok(Some((pid, line))) = timeout_at(deadline, answers.recv()).await {
            if let Some(line) = line {
                total += line.len();
                lines.insert(pid, line);
            }
            if total > MAX_TOTAL_BYTES {
                break;
            }
        }
        lines
    }
}

/// Ends with the last sender. `begin` is told what is read, and when that is over.
fn serve(jobs: &Mutex<Receiver<Job>>, source: &mut ProcSource, begin: impl Fn(Option<ProcessKey>)) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // Whoever has waited long enough is gone.
        if !job.reply.is_closed() {
            begin(Some(job.key));
            let _ = job.reply.send((job.key.pid, source.files().arguments(job.key)));
            begin(None);
        }
    }
}

fn no_thread(source: io::Error) -> SourceError {
    SourceError::Unreadable {
        path: "command lines".into(),
        source,
        remedy: "a thread could not be made; raise pids.max or ulimit -u, or do without arguments",
    }
}
