//! Bodies made from the present publication, each at most once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hyper::body::Bytes;
use tokio::sync::OnceCell;

use crate::metrics::published::Published;
use crate::moment::Card;
use crate::tree::Tree;
use crate::tree::arguments::ArgumentReaders;
use crate::tree::json;

use super::page::Frame;
use super::page::forest::{self, Choice};
use super::page::list::{self, Order};

/// What is kept until the next publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Containers,
    /// By index of the card.
    Tree(usize),
    /// Pages say whether they have grown old.
    List(Order, bool),
    Page(usize, Choice, bool),
}

#[derive(Debug, Default)]
struct Kept {
    of: Weak<Published>,
    bodies: HashMap<Key, Arc<OnceCell<Bytes>>>,
}

/// Shared by all requests.
#[derive(Debug)]
pub struct Answers {
    kept: Mutex<Kept>,
    /// With `--web.arguments`.
    arguments: Option<ArgumentReaders>,
}

impl Answers {
    #[must_use]
    pub fn new(arguments: Option<ArgumentReaders>) -> Self {
        Self { kept: Mutex::default(), arguments }
    }

    /// The list of containers as JSON.
    pub async fn containers(&self, published: &Arc<Published>) -> Bytes {
        let make = async || json::containers(&published.moment);
        self.get(published, Key::Containers, make).await
    }

    /// A container's tree as JSON.
    pub async fn tree(&self, published: &Arc<Published>, index: usize) -> Bytes {
        let make = async || {
            let card = &published.moment.cards[index];
            json::tree(&published.moment, Some(card), &self.tree_of(published, card).await)
        };
        self.get(published, Key::Tree(index), make).await
    }

    /// The page of all containers.
    pub async fn list(&self, published: &Arc<Published>, order: Order, frame: &Frame<'_>) -> Bytes {
        let make = async || list::render(&published.moment, order, frame).into_bytes();
        self.get(published, Key::List(order, frame.is_stale), make).await
    }

    /// A container's page.
    pub async fn page(
        &self,
        published: &Arc<Published>,
        index: usize,
        choice: Choice,
        frame: &Frame<'_>,
    ) -> Bytes {
        let make = async || {
            let card = &published.moment.cards[index];
            let tree = self.tree_of(published, card).await;
            forest::render(&published.moment, card, &tree, choice, frame).into_bytes()
        };
        self.get(published, Key::Page(index, choice, frame.is_stale), make).await
    }

    async fn tree_of(&self, published: &Published, card: &Card) -> Tree {
        let mut tree = Tree::of(&published.moment.frame, card.membership);
        if let Some(readers) = &self.arguments {
            let lines = readers.read(tree.processes.iter().map(|process| process.key)).await;
            for process in &mut tree.processes {
                process.arguments = lines.get(&process.key.pid).cloned();
            }
        }
        tree
    }

    /// Whoever asks first makes it; those who want the same wait for him, and nobody for a collection.
    async fn get(&self, published: &Arc<Published>, key: Key, make: impl AsyncFnOnce() -> Vec<u8>) -> Bytes {
        let cell = self.cell(published, key);
        cell.get_or_init(async || make().await.into()).await.clone()
    }

    fn cell(&self, published: &Arc<Published>, key: Key) -> Arc<OnceCell<Bytes>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::ptr::eq(kept.of.as_ptr(), Arc::as_ptr(published)) {
            // A weak reference: readers must not keep an old snapshot's buffers from being used again.
            *kept = Kept { of: Arc::downgrade(published), bodies: HashMap::new() };
        }
        Arc::clone(kept.bodies.entry(key).or_default())
    }
}
