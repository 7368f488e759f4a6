//! Command lines, for trees that somebody asked for with arguments.
//!
//! Reading one waits for a lock of the process that it belongs to, perhaps for ever. So threads of their own
//! read them, made at the start, and nobody waits for a thread that is stuck.

use std::io;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::mpsc as replies;
use tokio::time::{Instant, timeout_at};

use crate::model::ProcessKey;
use crate::source::SourceError;
use crate::source::proc::ProcSource;

/// How long somebody waits for all that he asked for.
const PATIENCE: Duration = Duration::from_millis(500);
/// Of the command lines in one answer.
const MAX_TOTAL_BYTES: usize = 4 << 20;

/// Command lines by pid on the host.
pub type CommandLines = FxHashMap<u32, Box<[u8]>>;

type Reply = (u32, Option<Box<[u8]>>);

struct Job {
    key: ProcessKey,
    reply: replies::UnboundedSender<Reply>,
}

/// Threads that read command lines.
#[derive(Debug)]
pub struct ArgumentReaders {
    jobs: Sender<Job>,
}

impl ArgumentReaders {
    /// Starts so many threads: one that is stuck leaves the others.
    ///
    /// # Errors
    /// When the procfs cannot be opened, or no thread can be made.
    pub fn start(procfs: &Path, threads: usize) -> Result<Self, SourceError> {
        let (sender, receiver) = mpsc::channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let mut source = ProcSource::open(procfs)?;
            let receiver = Arc::clone(&receiver);
            std::thread::Builder::new()
                .name("arguments".into())
                .spawn(move || serve(&receiver, &mut source))
                .map_err(no_thread)?;
        }
        Ok(Self { jobs: sender })
    }

    /// What could be read in a short time of the processes asked for; the others are left out.
    pub async fn read(&self, keys: impl Iterator<Item = ProcessKey>) -> CommandLines {
        let (reply, mut answers) = replies::unbounded_channel();
        for key in keys {
            // The threads end with us, not before.
            let _ = self.jobs.send(Job { key, reply: reply.clone() });
        }
        drop(reply);
        let deadline = Instant::now() + PATIENCE;
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

/// Ends with the last sender.
fn serve(jobs: &Mutex<Receiver<Job>>, source: &mut ProcSource) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // Whoever has waited long enough is gone.
        if !job.reply.is_closed() {
            let _ = job.reply.send((job.key.pid, source.files().arguments(job.key)));
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
