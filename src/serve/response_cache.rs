//! Bodies rendered from one snapshot: each is rendered once, and kept until the next snapshot while there is room.
//!
//! Requests for the same body share one rendering, also if it is not kept.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hyper::body::Bytes;
use tokio::sync::OnceCell;

/// Size of all bodies that are kept. Without a limit, a client that requests the pages of 2,000 containers would make
/// the exporter exceed its memory limit. A body that does not fit is sent and not kept.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Bodies by key, all from one snapshot of type `S`.
#[derive(Debug)]
pub(crate) struct ResponseCache<S, K> {
    max_bytes: usize,
    entries: Mutex<Entries<S, K>>,
}

#[derive(Debug)]
struct Entries<S, K> {
    /// Weak, because a snapshot that is not served any more must be freed.
    snapshot: Weak<S>,
    kept: HashMap<K, Bytes>,
    kept_bytes: usize,
    /// Bodies that requests are waiting for.
    in_progress: HashMap<K, Weak<OnceCell<Bytes>>>,
}

impl<S, K> Entries<S, K> {
    fn new(snapshot: Weak<S>) -> Self {
        Self { snapshot, kept: HashMap::new(), kept_bytes: 0, in_progress: HashMap::new() }
    }

    fn is_of(&self, snapshot: &Arc<S>) -> bool {
        std::ptr::eq(self.snapshot.as_ptr(), Arc::as_ptr(snapshot))
    }
}

/// A body that exists, or one that is to be rendered.
enum Lookup {
    Kept(Bytes),
    InProgress(Arc<OnceCell<Bytes>>),
}

impl<S, K: Copy + Eq + Hash> ResponseCache<S, K> {
    pub(crate) fn new() -> Self {
        Self::with_max_bytes(MAX_BYTES)
    }

    fn with_max_bytes(max_bytes: usize) -> Self {
        Self { max_bytes, entries: Mutex::new(Entries::new(Weak::new())) }
    }

    /// The body for `key`. Renders it unless it is kept, or another request is rendering it.
    ///
    /// # Errors
    /// That of `render`. Nothing is kept then, and the next request renders again.
    pub(crate) async fn get_or_render<E>(
        &self,
        snapshot: &Arc<S>,
        key: K,
        render: impl AsyncFnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Bytes, E> {
        let cell = match self.look_up(snapshot, key) {
            Lookup::Kept(body) => return Ok(body),
            Lookup::InProgress(cell) => cell,
        };
        let body = cell.get_or_try_init(async || Ok(to_bytes(render().await?))).await?;
        self.keep(snapshot, key, body);
        Ok(body.clone())
    }

    fn look_up(&self, snapshot: &Arc<S>, key: K) -> Lookup {
        let mut entries = self.lock();
        if !entries.is_of(snapshot) {
            *entries = Entries::new(Arc::downgrade(snapshot));
        }
        if let Some(body) = entries.kept.get(&key) {
            return Lookup::Kept(body.clone());
        }
        if let Some(cell) = entries.in_progress.get(&key).and_then(Weak::upgrade) {
            return Lookup::InProgress(cell);
        }
        entries.in_progress.retain(|_, cell| cell.strong_count() > 0);
        let cell = Arc::new(OnceCell::new());
        entries.in_progress.insert(key, Arc::downgrade(&cell));
        Lookup::InProgress(cell)
    }

    fn keep(&self, snapshot: &Arc<S>, key: K, body: &Bytes) {
        let mut entries = self.lock();
        let size = entries.kept_bytes + body.len();
        if size <= self.max_bytes && entries.is_of(snapshot) && !entries.kept.contains_key(&key) {
            entries.kept.insert(key, body.clone());
            entries.kept_bytes = size;
        }
    }

    /// No code that runs under this lock can panic between two changes, so a poisoned lock is still consistent.
    fn lock(&self) -> MutexGuard<'_, Entries<S, K>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spare capacity would use memory that is not counted.
fn to_bytes(mut body: Vec<u8>) -> Bytes {
    body.shrink_to_fit();
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::convert::Infallible;

    type Cache = ResponseCache<(), usize>;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// Requests a body of this size. Returns whether it was rendered for this request.
    fn request(cache: &Cache, snapshot: &Arc<()>, key: usize, size: usize) -> bool {
        let is_rendered = Cell::new(false);
        let render = async || {
            is_rendered.set(true);
            Ok::<_, Infallible>(vec![b'x'; size])
        };
        let body = block_on(cache.get_or_render(snapshot, key, render)).unwrap();
        assert_eq!(body.len(), size);
        is_rendered.get()
    }

    /// Size of the bodies that are really there.
    fn kept_bytes(cache: &Cache) -> usize {
        let entries = cache.lock();
        let sum = entries.kept.values().map(Bytes::len).sum();
        assert_eq!(entries.kept_bytes, sum);
        sum
    }

    #[test]
    fn a_body_is_rendered_once_per_snapshot() {
        let (cache, first, second) = (Cache::new(), Arc::new(()), Arc::new(()));
        assert!(request(&cache, &first, 1, 10));
        assert!(!request(&cache, &first, 1, 10));
        assert!(request(&cache, &first, 2, 10), "another key");
        assert!(request(&cache, &second, 1, 10), "another snapshot");
        assert_eq!(kept_bytes(&cache), 10, "bodies of the old snapshot are dropped");
    }

    #[test]
    fn kept_bodies_never_exceed_the_limit() {
        let (cache, snapshot) = (Cache::with_max_bytes(100), Arc::new(()));
        for key in 0..50 {
            request(&cache, &snapshot, key, 30);
            assert!(kept_bytes(&cache) <= 100);
        }
        assert_eq!(kept_bytes(&cache), 90);
        assert!(!request(&cache, &snapshot, 0, 30), "kept");
        assert!(request(&cache, &snapshot, 49, 30), "did not fit, and is rendered again");
        request(&cache, &snapshot, 50, 10);
        assert_eq!(kept_bytes(&cache), 100, "a smaller one still fits");
    }

    #[test]
    fn a_body_larger_than_the_limit_is_sent_and_not_kept() {
        let (cache, snapshot) = (Cache::with_max_bytes(100), Arc::new(()));
        assert!(request(&cache, &snapshot, 1, 101));
        assert!(request(&cache, &snapshot, 1, 101));
        assert_eq!(kept_bytes(&cache), 0);
    }

    #[test]
    fn concurrent_requests_share_one_rendering_even_if_the_body_is_not_kept() {
        for max_bytes in [0, 100] {
            let (cache, snapshot) = (Cache::with_max_bytes(max_bytes), Arc::new(()));
            let renderings = Cell::new(0);
            let render = async || {
                renderings.set(renderings.get() + 1);
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(vec![b'x'; 10])
            };
            let bodies = block_on(async {
                let requests = (0..8).map(|_| cache.get_or_render(&snapshot, 1, render));
                futures_util::future::join_all(requests).await
            });
            assert!(bodies.iter().all(|body| body.as_ref().unwrap().len() == 10));
            assert_eq!(renderings.get(), 1, "limit {max_bytes}");
            assert_eq!(kept_bytes(&cache), max_bytes.min(10), "counted once");
        }
    }

    #[test]
    fn a_failed_rendering_is_not_kept() {
        let (cache, snapshot) = (Cache::new(), Arc::new(()));
        assert_eq!(block_on(cache.get_or_render(&snapshot, 1, async || Err("busy"))), Err("busy"));
        assert!(request(&cache, &snapshot, 1, 10));
    }

    #[test]
    fn a_body_of_an_old_snapshot_is_not_kept_with_the_new_one() {
        let (cache, old, new) = (Cache::new(), Arc::new(()), Arc::new(()));
        let body = block_on(cache.get_or_render(&old, 1, async || {
            let other = cache.get_or_render(&new, 2, async || Ok::<_, Infallible>(vec![b'x'; 5]));
            assert_eq!(other.await.unwrap().len(), 5);
            Ok::<_, Infallible>(vec![b'x'; 10])
        }));
        assert_eq!(body.unwrap().len(), 10);
        assert_eq!(kept_bytes(&cache), 5);
    }
}
