//! Bodies made from the present publication, each at most once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hyper::body::Bytes;
use tokio::sync::OnceCell;

use crate::export::rendered::RenderedSnapshot;
use crate::model::snapshot::ContainerSummary;
use crate::observe::procfs::cmdline::ArgumentReaders;
use crate::view::html::container_list::{self, Order};
use crate::view::html::container_page::{self, ViewOptions};
use crate::view::html::page::PageContext;
use crate::view::json;
use crate::view::tree::Tree;

/// What is kept until the next publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Containers,
    /// By index of the card.
    Tree(usize),
    /// Pages say whether they have grown old.
    List(Order, bool),
    Page(usize, ViewOptions, bool),
}

#[derive(Debug, Default)]
struct Kept {
    of: Weak<RenderedSnapshot>,
    bodies: HashMap<Key, Arc<OnceCell<Bytes>>>,
}

/// Shared by all requests.
#[derive(Debug)]
pub struct ResponseCache {
    kept: Mutex<Kept>,
    /// With `--web.arguments`.
    arguments: Option<ArgumentReaders>,
}

impl ResponseCache {
    #[must_use]
    pub fn new(arguments: Option<ArgumentReaders>) -> Self {
        Self { kept: Mutex::default(), arguments }
    }

    /// The list of containers as JSON.
    pub async fn containers(&self, published: &Arc<RenderedSnapshot>) -> Bytes {
        let make = async || json::containers(&published.snapshot);
        self.get(published, Key::Containers, make).await
    }

    /// A container's tree as JSON.
    pub async fn tree(&self, published: &Arc<RenderedSnapshot>, index: usize) -> Bytes {
        let make = async || {
            let card = &published.snapshot.containers[index];
            json::tree(&published.snapshot, Some(card), &self.tree_of(published, card).await)
        };
        self.get(published, Key::Tree(index), make).await
    }

    /// The page of all containers.
    pub async fn list(
        &self,
        published: &Arc<RenderedSnapshot>,
        order: Order,
        context: &PageContext<'_>,
    ) -> Bytes {
        let make = async || container_list::render(&published.snapshot, order, context).into_bytes();
        self.get(published, Key::List(order, context.is_stale), make).await
    }

    /// A container's page.
    pub async fn page(
        &self,
        published: &Arc<RenderedSnapshot>,
        index: usize,
        options: ViewOptions,
        context: &PageContext<'_>,
    ) -> Bytes {
        let make = async || {
            let card = &published.snapshot.containers[index];
            let tree = self.tree_of(published, card).await;
            container_page::render(&published.snapshot, card, &tree, options, context).into_bytes()
        };
        self.get(published, Key::Page(index, options, context.is_stale), make).await
    }

    async fn tree_of(&self, published: &RenderedSnapshot, card: &ContainerSummary) -> Tree {
        let mut tree = Tree::of(&published.snapshot.processes, card.membership);
        if let Some(readers) = &self.arguments {
            let lines = readers.read(tree.processes.iter().map(|process| process.key)).await;
            for process in &mut tree.processes {
                process.arguments = lines.get(&process.key.pid).cloned();
            }
        }
        tree
    }

    /// Whoever asks first makes it; those who want the same wait for him, and nobody for a collection.
    async fn get(
        &self,
        published: &Arc<RenderedSnapshot>,
        key: Key,
        make: impl AsyncFnOnce() -> Vec<u8>,
    ) -> Bytes {
        let cell = self.cell(published, key);
        cell.get_or_init(async || make().await.into()).await.clone()
    }

    fn cell(&self, published: &Arc<RenderedSnapshot>, key: Key) -> Arc<OnceCell<Bytes>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::ptr::eq(kept.of.as_ptr(), Arc::as_ptr(published)) {
            // A weak reference: readers must not keep an old snapshot's buffers from being used again.
            *kept = Kept { of: Arc::downgrade(published), bodies: HashMap::new() };
        }
        Arc::clone(kept.bodies.entry(key).or_default())
    }
}
