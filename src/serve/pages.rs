//! Pages and JSON documents, rendered from the latest snapshot.
//!
//! A document is rendered on the render thread, and at most once per snapshot while the cache has room.

use std::sync::Arc;

use hyper::body::Bytes;
use tokio::sync::Semaphore;

use crate::export::rendered::RenderedSnapshot;
use crate::model::process::ProcessKey;
use crate::observe::procfs::cmdline::ArgumentReaders;
use crate::serve::render_thread::{PagePermit, RenderError, RenderThread};
use crate::serve::response_cache::ResponseCache;
use crate::view::html::container_list::{self, Order};
use crate::view::html::container_page::{self, ViewOptions};
use crate::view::html::page::PageContext;
use crate::view::json;
use crate::view::tree::Tree;

/// Trees whose arguments are in memory at one time; each can have 4 MiB of arguments.
const MAX_TREES_WITH_ARGUMENTS: usize = 4;

/// The parts of a page that are not in the snapshot.
#[derive(Clone, Debug)]
pub(crate) struct PageSettings {
    pub(crate) telemetry_path: Arc<str>,
    /// Whether the page says that its snapshot is old.
    pub(crate) is_stale: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Document {
    ContainersJson,
    /// Containers are named by their index in the snapshot.
    TreeJson(usize),
    ListPage(Order, bool),
    ContainerPage(usize, ViewOptions, bool),
}

/// All documents of the server.
pub struct Pages {
    render_thread: Arc<RenderThread>,
    cache: ResponseCache<RenderedSnapshot, Document>,
    /// `None` unless documents show arguments (`--web.arguments`).
    argument_readers: Option<ArgumentReaders>,
    argument_permits: Arc<Semaphore>,
}

type Rendered = Result<Bytes, RenderError>;

impl Pages {
    #[must_use]
    pub fn new(render_thread: Arc<RenderThread>, argument_readers: Option<ArgumentReaders>) -> Self {
        Self {
            render_thread,
            cache: ResponseCache::new(),
            argument_readers,
            argument_permits: Arc::new(Semaphore::new(MAX_TREES_WITH_ARGUMENTS)),
        }
    }

    /// The list of containers as JSON.
    pub(crate) async fn containers_json(&self, snapshot: &Arc<RenderedSnapshot>) -> Rendered {
        let render = async || {
            let permit = self.render_thread.page_permit()?;
            let rendered = Arc::clone(snapshot);
            permit.run(move || json::containers(&rendered.snapshot)).await
        };
        self.cache.get_or_render(snapshot, Document::ContainersJson, render).await
    }

    /// The tree of the container with this index as JSON.
    pub(crate) async fn tree_json(&self, snapshot: &Arc<RenderedSnapshot>, index: usize) -> Rendered {
        let render = async || {
            self.render_tree(snapshot, index, move |rendered, tree| {
                json::tree(&rendered.snapshot, Some(&rendered.snapshot.containers[index]), tree)
            })
            .await
        };
        self.cache.get_or_render(snapshot, Document::TreeJson(index), render).await
    }

    /// The page with all containers.
    pub(crate) async fn list_page(
        &self,
        snapshot: &Arc<RenderedSnapshot>,
        order: Order,
        settings: &PageSettings,
    ) -> Rendered {
        let render = async || {
            let permit = self.render_thread.page_permit()?;
            let (rendered, settings) = (Arc::clone(snapshot), settings.clone());
            let render =
                move || container_list::render(&rendered.snapshot, order, &settings.context(&rendered));
            permit.run(move || render().into_bytes()).await
        };
        self.cache.get_or_render(snapshot, Document::ListPage(order, settings.is_stale), render).await
    }

    /// The page of the container with this index.
    pub(crate) async fn container_page(
        &self,
        snapshot: &Arc<RenderedSnapshot>,
        index: usize,
        options: ViewOptions,
        settings: &PageSettings,
    ) -> Rendered {
        let render = async || {
            let settings = settings.clone();
            self.render_tree(snapshot, index, move |rendered, tree| {
                let container = &rendered.snapshot.containers[index];
                let context = settings.context(rendered);
                container_page::render(&rendered.snapshot, container, tree, options, &context).into_bytes()
            })
            .await
        };
        let document = Document::ContainerPage(index, options, settings.is_stale);
        self.cache.get_or_render(snapshot, document, render).await
    }

    /// Renders the tree of a container. Arguments are read before, on other threads: a process can block reading its
    /// command line.
    async fn render_tree(
        &self,
        snapshot: &Arc<RenderedSnapshot>,
        index: usize,
        render: impl FnOnce(&RenderedSnapshot, &Tree) -> Vec<u8> + Send + 'static,
    ) -> Result<Vec<u8>, RenderError> {
        let permit = self.render_thread.page_permit()?;
        let rendered = Arc::clone(snapshot);
        let Some(readers) = &self.argument_readers else {
            return permit.run(move || render(&rendered, &tree_of(&rendered, index))).await;
        };
        // The semaphore is never closed.
        let argument_permits = Arc::clone(&self.argument_permits);
        let argument_permit = argument_permits.acquire_owned().await.map_err(|_| RenderError::Failed)?;
        let mut tree = collect_tree(&permit, snapshot, index).await?;
        let keys: Vec<ProcessKey> = tree.processes.iter().map(|process| process.key).collect();
        let mut lines = readers.read(keys.into_iter()).await;
        for process in &mut tree.processes {
            process.arguments = lines.remove(&process.key.pid);
        }
        let render = move || {
            let body = render(&rendered, &tree);
            drop(argument_permit);
            body
        };
        permit.run(render).await
    }
}

fn tree_of(rendered: &RenderedSnapshot, index: usize) -> Tree {
    Tree::of(&rendered.snapshot.processes, rendered.snapshot.containers[index].membership)
}

async fn collect_tree(
    permit: &PagePermit,
    snapshot: &Arc<RenderedSnapshot>,
    index: usize,
) -> Result<Tree, RenderError> {
    let rendered = Arc::clone(snapshot);
    permit.run(move || tree_of(&rendered, index)).await
}

impl PageSettings {
    pub(crate) fn context(&self, rendered: &RenderedSnapshot) -> PageContext<'_> {
        PageContext {
            telemetry_path: &self.telemetry_path,
            interval: rendered.interval.as_secs_f64(),
            is_stale: self.is_stale,
        }
    }
}
