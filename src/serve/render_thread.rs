//! One thread, created at start, that renders everything that takes longer than copying bytes.
//!
//! The thread that accepts connections also answers requests. If it rendered pages itself, a scrape would wait for
//! every page that was requested before, and a page with 2,000 rows takes some milliseconds. Therefore that thread
//! sends jobs here and continues with other connections. It only sends responses that are already in memory.
//!
//! Jobs for `/metrics` precede pages. They are rare: the collector encodes the formats that scrapers request. The
//! number of pages that are queued is limited; a further request is rejected with 503. There is one thread instead of a
//! pool, because rendering must not use more than one core and no thread may be created after start.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Pages that are rendered or wait to be rendered. Requests for the same page count once.
const MAX_PAGES: usize = 64;

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RenderError {
    #[error("too many pages are being rendered; retry in a second")]
    Busy,
    #[error("rendering failed, which is a bug; please report it with the log")]
    Failed,
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Jobs {
    metrics: VecDeque<Job>,
    pages: VecDeque<Job>,
    is_closed: bool,
}

/// Jobs from the thread that serves to the thread that renders.
#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    added: Condvar,
}

/// The thread and its queue. Dropping it ends the thread after the job that it runs.
pub struct RenderThread {
    queue: Arc<Queue>,
    page_permits: Arc<Semaphore>,
}

/// Permission to render one page, in any number of jobs.
pub(crate) struct PagePermit {
    queue: Arc<Queue>,
    /// Each job has a share, so that a job whose requester has disconnected still counts.
    permit: Arc<OwnedSemaphorePermit>,
}

impl RenderThread {
    /// Creates the thread.
    ///
    /// # Errors
    /// If no thread can be created.
    pub fn start() -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let jobs = Arc::clone(&queue);
        std::thread::Builder::new().name("render".into()).spawn(move || run(&jobs))?;
        Ok(Self { queue, page_permits: Arc::new(Semaphore::new(MAX_PAGES)) })
    }

    /// Runs a job for `/metrics`, before all pages that wait.
    ///
    /// # Errors
    /// If the job panics.
    pub(crate) async fn run_metrics<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RenderError> {
        let (job, result) = with_reply(job);
        self.queue.add(|jobs| jobs.metrics.push_back(job));
        result.await.map_err(|_| RenderError::Failed)
    }

    /// Permission to render a page.
    ///
    /// # Errors
    /// If too many pages are being rendered.
    pub(crate) fn page_permit(&self) -> Result<PagePermit, RenderError> {
        let permit = Arc::clone(&self.page_permits).try_acquire_owned().map_err(|_| RenderError::Busy)?;
        Ok(PagePermit { queue: Arc::clone(&self.queue), permit: Arc::new(permit) })
    }
}

impl PagePermit {
    /// Runs a job after all that are queued.
    ///
    /// # Errors
    /// If the job panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RenderError> {
        let permit = Arc::clone(&self.permit);
        let (job, result) = with_reply(job);
        let job: Job = Box::new(move || {
            job();
            drop(permit);
        });
        self.queue.add(|jobs| jobs.pages.push_back(job));
        result.await.map_err(|_| RenderError::Failed)
    }
}

impl Queue {
    /// No code that runs under this lock can panic between two changes, so a poisoned lock is still consistent.
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, add: impl FnOnce(&mut Jobs)) {
        let mut jobs = self.lock();
        add(&mut jobs);
        if jobs.is_closed {
            // Nobody runs them. Dropping a job ends the request that waits for it.
            jobs.metrics.clear();
            jobs.pages.clear();
        }
        self.added.notify_one();
    }

    /// Waits for the next job; `None` when the queue is closed.
    fn next(&self) -> Option<Job> {
        let mut jobs = self.lock();
        loop {
            if jobs.is_closed {
                return None;
            }
            if let Some(job) = jobs.metrics.pop_front().or_else(|| jobs.pages.pop_front()) {
                return Some(job);
            }
            jobs = self.added.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for RenderThread {
    fn drop(&mut self) {
        self.queue.add(|jobs| jobs.is_closed = true);
    }
}

/// A job that sends its result, and does nothing if the requester has disconnected.
fn with_reply<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> (Job, oneshot::Receiver<T>) {
    let (reply, result) = oneshot::channel();
    let job = move || {
        if !reply.is_closed() {
            let _ = reply.send(job());
        }
    };
    (Box::new(job), result)
}

/// The thread. A job that panics loses its reply, and costs no other job.
fn run(queue: &Queue) {
    while let Some(job) = queue.next() {
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// Blocks the thread until the returned sender is dropped.
    fn block(thread: &RenderThread) -> mpsc::Sender<()> {
        let (release, gate) = mpsc::channel::<()>();
        let (started, is_running) = mpsc::channel();
        let job: Job = Box::new(move || {
            let _ = started.send(());
            let _ = gate.recv();
        });
        thread.queue.add(|jobs| jobs.metrics.push_back(job));
        is_running.recv().unwrap();
        release
    }

    #[test]
    fn jobs_return_their_result() {
        let thread = RenderThread::start().unwrap();
        assert_eq!(block_on(thread.run_metrics(|| 1)), Ok(1));
        let permit = thread.page_permit().unwrap();
        assert_eq!(block_on(permit.run(|| 2)), Ok(2));
        assert_eq!(block_on(permit.run(|| 3)), Ok(3), "one permit is for several jobs");
    }

    #[test]
    fn metrics_precede_pages_that_wait() {
        let thread = RenderThread::start().unwrap();
        let release = block(&thread);
        let (sender, order) = mpsc::channel();
        let record = |name: &'static str| {
            let sender = sender.clone();
            move || sender.send(name).unwrap()
        };
        let permit = thread.page_permit().unwrap();
        let results = block_on(async {
            let first = permit.run(record("page 1"));
            let second = permit.run(record("page 2"));
            let metrics = thread.run_metrics(record("metrics"));
            tokio::join!(first, second, metrics, async { drop(release) })
        });
        assert_eq!(results, (Ok(()), Ok(()), Ok(()), ()));
        assert_eq!(order.try_iter().collect::<Vec<_>>(), ["metrics", "page 1", "page 2"]);
    }

    #[test]
    fn pages_are_limited_and_metrics_are_not() {
        let thread = RenderThread::start().unwrap();
        let permits: Vec<_> = (0..MAX_PAGES).map(|_| thread.page_permit().unwrap()).collect();
        assert_eq!(thread.page_permit().err(), Some(RenderError::Busy));
        assert_eq!(block_on(thread.run_metrics(|| 1)), Ok(1));
        drop(permits);
        assert!(thread.page_permit().is_ok());
    }

    #[test]
    fn a_queued_page_counts_after_its_requester_disconnected() {
        let thread = RenderThread::start().unwrap();
        let release = block(&thread);
        let others: Vec<_> = (1..MAX_PAGES).map(|_| thread.page_permit().unwrap()).collect();
        let permit = thread.page_permit().unwrap();
        let request = permit.run(|| panic!("nobody waits for this page"));
        block_on(async {
            tokio::select! {
                biased;
                result = request => panic!("the thread is blocked, but {result:?}"),
                () = std::future::ready(()) => {}
            }
        });
        drop(permit);
        assert_eq!(thread.page_permit().err(), Some(RenderError::Busy));
        drop(release);
        // Runs after the page, which is skipped.
        drop(others);
        let permit = thread.page_permit().unwrap();
        assert_eq!(block_on(permit.run(|| 1)), Ok(1));
        drop(permit);
        // Begins when the last page, whose job gives its permit back after the reply, has ended.
        assert_eq!(block_on(thread.run_metrics(|| ())), Ok(()));
        assert_eq!(thread.page_permits.available_permits(), MAX_PAGES);
    }

    #[test]
    fn jobs_after_the_end_fail() {
        let thread = RenderThread::start().unwrap();
        let permit = thread.page_permit().unwrap();
        drop(thread);
        assert_eq!(block_on(permit.run(|| 1)), Err(RenderError::Failed));
    }

    #[test]
    fn a_job_that_panics_costs_no_other_job() {
        let thread = RenderThread::start().unwrap();
        let permit = thread.page_permit().unwrap();
        assert_eq!(block_on(permit.run(|| panic!("on purpose"))), Err::<(), _>(RenderError::Failed));
        assert_eq!(block_on(permit.run(|| 1)), Ok(1));
    }
}
