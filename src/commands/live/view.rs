//! What is on the screen of the live view, and what is kept from look to look.

use rustc_hash::FxHashMap;

use crate::cli::config::TreeConfig;
use crate::collect::pipeline::Pipeline;
use crate::commands::live::viewport::{Move, Viewport};
use crate::commands::tree::{ARGUMENT_THREADS, style, trees_of};
use crate::export::rendered::RenderedSnapshot;
use crate::model::process::{Comm, ProcessKey};
use crate::model::snapshot::{ContainerSummary, NamedSnapshot};
use crate::model::text::sanitize;
use crate::model::user_names::Users;
use crate::observe::procfs::cmdline::{ArgumentReaders, ArgumentTimeouts, CommandLines};
use crate::view::diff::diff;
use crate::view::rows::arrange;
use crate::view::select::{self, NotFound};
use crate::view::text::columns::Style;
use crate::view::text::heading;
use crate::view::text::line::{Line, TextRole};
use crate::view::text::tree_view::{Section, TreeView};
use crate::view::tree::{Mark, Tree};

/// A process gives up its rights at its start, if at all: until it is so old its user is asked for again.
const SETTLED_SECONDS: u64 = 10;
/// Lines above the picture that do not scroll.
const HEAD_LINES: usize = 2;

/// What is known of a process beyond the collection.
struct KernelFields {
    /// Another one after an exec, which changes arguments and perhaps the user.
    comm: Comm,
    user: Option<u32>,
    arguments: Option<Box<[u8]>>,
}

/// The picture, and what it is made with.
pub(crate) struct View<'a> {
    config: &'a TreeConfig,
    users: Users,
    readers: Option<(tokio::runtime::Runtime, ArgumentReaders)>,
    details: FxHashMap<ProcessKey, KernelFields>,
    /// The last look, by container path; the host has none.
    last: FxHashMap<Box<str>, Tree>,
    published: Option<RenderedSnapshot>,
    head: Line,
    picture: TreeView,
    viewport: Viewport,
    /// What is wanted and not there.
    missing: Option<String>,
    /// What went wrong with the last look.
    pub(crate) status_error: Option<String>,
    style: Style,
}

impl<'a> View<'a> {
    pub(crate) fn new(config: &'a TreeConfig) -> anyhow::Result<Self> {
        let readers = if config.arguments {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            let timeouts = ArgumentTimeouts::scaled(config.timeout_scale);
            Some((runtime, ArgumentReaders::start(&config.collector.procfs, ARGUMENT_THREADS, timeouts)?))
        } else {
            None
        };
        Ok(Self {
            config,
            users: Users::read(),
            readers,
            details: FxHashMap::default(),
            last: FxHashMap::default(),
            published: None,
            head: Line::default(),
            picture: TreeView::default(),
            viewport: Viewport::default(),
            missing: None,
            status_error: None,
            style: style(config),
        })
    }

    /// Takes a new look over.
    pub(crate) fn update(&mut self, published: RenderedSnapshot, pipeline: &mut Pipeline) {
        let snapshot = &published.snapshot;
        let Wanted { containers, asked, missing } = wanted(snapshot, self.config);
        self.missing = missing.map(|it| format!("{it}; waiting for it"));
        let trees = trees_of(snapshot, &containers, self.config.with_host);
        self.read_details(snapshot, &trees, pipeline);
        self.head = match containers[..] {
            [card] if trees.len() == 1 => heading::heading(card),
            _ if containers.is_empty() => Line::of("no container to show", TextRole::Warn),
            _ => heading::summary(&containers),
        };
        let has_one = trees.len() == 1;
        let mut last = std::mem::take(&mut self.last);
        let mut sections = Vec::with_capacity(trees.len());
        for (card, mut now) in trees {
            let path: Box<str> = card.map_or("".into(), |card| card.container.path.clone());
            for process in &mut now.processes {
                if asked.contains(&process.key.pid) {
                    process.mark = Mark::Selected;
                }
                if let Some(details) = self.details.get(&process.key) {
                    process.user = details.user;
                    process.arguments.clone_from(&details.arguments);
                }
            }
            let tree = match last.remove(&path) {
                Some(before) => diff(&now, &before),
                None => now.clone(),
            };
            let heading = match card {
                Some(card) => Some(heading::heading(card)),
                None => snapshot
                    .host
                    .as_ref()
                    .map(|host| heading::host_heading(host, snapshot.host_kernel_threads)),
            };
            let rows = arrange(&tree, &self.config.layout);
            sections.push(Section { heading: heading.filter(|_| !has_one), tree, rows });
            self.last.insert(path, now);
        }
        self.picture = TreeView(sections);
        self.published = Some(published);
    }

    /// Reads what only a tree shows, of processes that are new or young.
    fn read_details(
        &mut self,
        snapshot: &NamedSnapshot,
        trees: &[(Option<&ContainerSummary>, Tree)],
        pipeline: &mut Pipeline,
    ) {
        let mut kept = FxHashMap::default();
        let mut fresh = Vec::new();
        for process in trees.iter().flat_map(|(_, tree)| &tree.processes) {
            let is_settled = snapshot.age(process.key).is_some_and(|age| age > SETTLED_SECONDS);
            match self.details.remove(&process.key) {
                Some(known) if is_settled && known.comm == process.comm => {
                    kept.insert(process.key, known);
                }
                _ => fresh.push((process.key, process.comm)),
            }
        }
        let mut lines = match &self.readers {
            Some((runtime, readers)) => runtime.block_on(readers.read(fresh.iter().map(|(key, _)| *key))),
            None => CommandLines::default(),
        };
        for (key, comm) in fresh {
            let user = pipeline.files().identity(key.pid).map(|(_, user)| user);
            kept.insert(key, KernelFields { comm, user, arguments: lines.remove(&key.pid) });
        }
        self.details = kept;
    }

    /// Scrolls on a screen of so many lines.
    pub(crate) fn go(&mut self, to: Move, lines: usize) {
        self.viewport.go(to, self.picture.len(), lines.saturating_sub(HEAD_LINES));
    }

    /// The lines of a screen of this size.
    pub(crate) fn draw(&mut self, columns: usize, lines: usize) -> Vec<String> {
        let Some(published) = &self.published else { return Vec::new() };
        let style = Style { width: Some(columns), ..self.style };
        let height = lines.saturating_sub(HEAD_LINES);
        let total = self.picture.len();
        let visible = self.viewport.visible(total, height);
        let mut status = Line::default();
        let (from, to) = (visible.start + usize::from(total > 0), visible.end);
        let period = self.config.watch.unwrap_or_default().as_secs_f64();
        status.push(&format!("every {period}s"), TextRole::Dim);
        if visible.len() < total {
            status.push(&format!("  lines {from} to {to} of {total}, arrows scroll"), TextRole::Dim);
        }
        status.push("  q quits", TextRole::Dim);
        for status_error in self.missing.iter().chain(&self.status_error) {
            status.push("  ", TextRole::Plain);
            status.push(&sanitize(status_error.as_bytes()), TextRole::Bad);
        }
        let mut shown = vec![self.head.finish(&style), status.finish(&style)];
        shown.extend(self.picture.draw(visible, (&published.snapshot, &self.users), &style));
        shown
    }
}

/// What is there now of that which is wanted.
#[derive(Default)]
pub(crate) struct Wanted<'m> {
    containers: Vec<&'m ContainerSummary>,
    /// Pids on the host by which it was asked.
    asked: Vec<u32>,
    pub(crate) missing: Option<NotFound>,
}

pub(crate) fn wanted<'m>(snapshot: &'m NamedSnapshot, config: &TreeConfig) -> Wanted<'m> {
    let mut wanted = Wanted::default();
    if config.wanted.is_empty() {
        wanted.containers.extend(&snapshot.containers);
        wanted.containers.sort_by(|a, b| a.name.cmp(&b.name));
    }
    for name in &config.wanted {
        match select::by_any(snapshot, name) {
            Ok(found) => {
                wanted.asked.extend(found.asked);
                for card in found.containers.into_iter().map(|index| &snapshot.containers[index]) {
                    if !wanted.containers.iter().any(|known| known.membership == card.membership) {
                        wanted.containers.push(card);
                    }
                }
            }
            Err(NotFound::OnHost { pid, .. }) if config.with_host => wanted.asked.push(pid),
            Err(error) => wanted.missing = Some(error),
        }
    }
    wanted
}
