//! What the screen of the live view shows, and what is kept between collections.

use rustc_hash::FxHashMap;

use crate::cli::config::TreeConfig;
use crate::collect::pipeline::Pipeline;
use crate::commands::live::viewport::{Scroll, Viewport};
use crate::commands::tree::{ARGUMENT_THREADS, commands_of, runtime, sort_by_usage, style, trees_of};
use crate::commands::user_names::UserNameCache;
use crate::model::process::{Comm, ProcessKey};
use crate::model::snapshot::{ContainerSummary, NamedSnapshot};
use crate::model::text::sanitize;
use crate::observe::procfs::cmdline::{ArgumentReaders, ArgumentsByPid};
use crate::observe::procfs::reader_pool::ReadTimeouts;
use crate::view::diff::diff;
use crate::view::rows::arrange;
use crate::view::select::{self, NotFound};
use crate::view::text::{Line, Section, Style, TextRole, Title, TreeView, heading};
use crate::view::tree::{Highlight, Tree};

/// Younger processes are read again in each collection: a process that changes its user usually does so shortly after
/// its start.
const SETTLED_SECONDS: u64 = 10;
/// Lines at the top that do not scroll: the heading and the status.
const FIXED_LINES: usize = 2;

/// What is read of a process in addition to the collection.
struct ProcessDetails {
    /// An exec changes it, together with the arguments and perhaps the user.
    comm: Comm,
    user: Option<u32>,
    arguments: Option<Box<[u8]>>,
}

/// The content of the screen, and the data that it is made from.
pub(crate) struct LiveView<'a> {
    config: &'a TreeConfig,
    users: UserNameCache,
    argument_readers: Option<ArgumentReaders>,
    /// Waits for the threads that read names and arguments.
    runtime: tokio::runtime::Runtime,
    details: FxHashMap<ProcessKey, ProcessDetails>,
    /// The trees of the previous collection by container path. The path of the host is empty.
    previous: FxHashMap<Box<str>, Tree>,
    snapshot: Option<NamedSnapshot>,
    /// `None` if it is that of the only tree.
    heading: Option<Line>,
    tree_view: TreeView,
    viewport: Viewport,
    /// Why a selected container is not shown.
    selection_error: Option<String>,
    /// Why the last collection is incomplete.
    pub(crate) status_error: Option<String>,
    style: Style,
}

impl<'a> LiveView<'a> {
    pub(crate) fn new(config: &'a TreeConfig) -> anyhow::Result<Self> {
        let (procfs, timeouts) = (&config.collector.procfs, ReadTimeouts::scaled(config.timeout_scale));
        let argument_readers = match config.arguments {
            true => Some(ArgumentReaders::start(procfs, ARGUMENT_THREADS, timeouts)?),
            false => None,
        };
        Ok(Self {
            config,
            users: UserNameCache::start(procfs, timeouts),
            argument_readers,
            runtime: runtime()?,
            details: FxHashMap::default(),
            previous: FxHashMap::default(),
            snapshot: None,
            heading: None,
            tree_view: TreeView::default(),
            viewport: Viewport::default(),
            selection_error: None,
            status_error: None,
            style: style(config),
        })
    }

    /// Shows a new snapshot.
    pub(crate) fn update(&mut self, snapshot: NamedSnapshot, pipeline: &mut Pipeline) {
        let Selection { containers, pids, error } = select_containers(&snapshot, self.config);
        self.selection_error = error.map(|error| format!("{error}; waiting for it"));
        let mut trees = trees_of(&snapshot, &containers, self.config.with_host);
        if self.config.wanted.is_empty() {
            sort_by_usage(&mut trees, self.config.layout.sort);
        }
        self.read_details(&snapshot, &trees, pipeline);
        let users = self.users.of(&snapshot.processes, &trees, &self.runtime);
        self.heading = match containers[..] {
            [_] if trees.len() == 1 => None,
            _ if containers.is_empty() => Some(Line::of("no containers to show", TextRole::Warn)),
            _ => Some(heading::totals(&containers)),
        };
        let is_single = trees.len() == 1;
        let mut previous = std::mem::take(&mut self.previous);
        let mut sections = Vec::with_capacity(trees.len());
        for ((summary, mut current), users) in trees.into_iter().zip(users) {
            let path: Box<str> = summary.map_or("".into(), |summary| summary.container.path.clone());
            for process in &mut current.processes {
                if pids.contains(&process.key.pid) {
                    process.highlight = Highlight::Selected;
                }
                if let Some(details) = self.details.get(&process.key) {
                    process.user = details.user;
                    process.arguments.clone_from(&details.arguments);
                }
            }
            let tree = match previous.remove(&path) {
                Some(previous) => diff(&current, &previous),
                None => current.clone(),
            };
            let rows = arrange(&tree, &self.config.layout);
            sections.push(Section {
                title: Title::of(summary),
                hides_heading: is_single,
                commands: commands_of(self.config, &snapshot, summary),
                tree,
                rows,
                users,
            });
            self.previous.insert(path, current);
        }
        self.tree_view = TreeView(sections);
        self.snapshot = Some(snapshot);
    }

    /// Reads the details of processes that are new or young, or that executed another program.
    fn read_details(
        &mut self,
        snapshot: &NamedSnapshot,
        trees: &[(Option<&ContainerSummary>, Tree)],
        pipeline: &mut Pipeline,
    ) {
        let mut kept = FxHashMap::default();
        let mut to_read = Vec::new();
        for process in trees.iter().flat_map(|(_, tree)| &tree.processes) {
            let is_settled = snapshot.age(process.key).is_some_and(|age| age > SETTLED_SECONDS);
            match self.details.remove(&process.key) {
                Some(known) if is_settled && known.comm == process.comm => {
                    kept.insert(process.key, known);
                }
                _ => to_read.push((process.key, process.comm)),
            }
        }
        let mut arguments = match &self.argument_readers {
            Some(readers) => self.runtime.block_on(readers.read(to_read.iter().map(|(key, _)| *key))),
            None => ArgumentsByPid::default(),
        };
        for (key, comm) in to_read {
            let user = pipeline.files().identity(key.pid).map(|(_, user)| user);
            kept.insert(key, ProcessDetails { comm, user, arguments: arguments.remove(&key.pid) });
        }
        self.details = kept;
    }

    /// Scrolls on a screen with this number of lines.
    pub(crate) fn scroll(&mut self, scroll: Scroll, lines: usize) {
        self.viewport.scroll(scroll, self.tree_view.len(), lines.saturating_sub(FIXED_LINES));
    }

    /// Shows or hides CPU and memory.
    pub(crate) fn toggle_usage(&mut self) {
        self.style.usage = !self.style.usage;
    }

    /// The lines of a screen of this size.
    pub(crate) fn draw(&mut self, columns: usize, lines: usize) -> Vec<String> {
        let Some(snapshot) = &self.snapshot else { return Vec::new() };
        let style = Style { width: Some(columns), ..self.style };
        let height = lines.saturating_sub(FIXED_LINES);
        let total = self.tree_view.len();
        let visible = self.viewport.visible(total, height);
        let mut status = Line::default();
        let (from, to) = (visible.start + usize::from(total > 0), visible.end);
        let period = self.config.watch.unwrap_or_default().as_secs_f64();
        status.push(&format!("every {period}s"), TextRole::Dim);
        if visible.len() < total {
            status.push(&format!("  lines {from} to {to} of {total}, arrows scroll"), TextRole::Dim);
        }
        status.push("  u usage  q quits", TextRole::Dim);
        for error in self.selection_error.iter().chain(&self.status_error) {
            status.push("  ", TextRole::Plain);
            status.push(&sanitize(error.as_bytes()), TextRole::Bad);
        }
        let of_only_tree = || self.tree_view.0.first()?.heading(snapshot, &style);
        let heading = self.heading.clone().or_else(of_only_tree).unwrap_or_default();
        let mut screen = vec![heading.render(&style), status.render(&style)];
        screen.extend(self.tree_view.draw(visible, snapshot, &style));
        screen
    }
}

/// The containers that the command line selects.
#[derive(Default)]
pub(crate) struct Selection<'m> {
    containers: Vec<&'m ContainerSummary>,
    /// Pids on the host that were given as selectors.
    pids: Vec<u32>,
    /// Why one of the selectors selects nothing.
    pub(crate) error: Option<NotFound>,
}

/// Finds the containers that the command line selects; all of them if it has no selectors.
pub(crate) fn select_containers<'m>(snapshot: &'m NamedSnapshot, config: &TreeConfig) -> Selection<'m> {
    let mut selection = Selection::default();
    if config.wanted.is_empty() {
        selection.containers.extend(&snapshot.containers);
        selection.containers.sort_by(|a, b| a.name.cmp(&b.name));
    }
    for selector in &config.wanted {
        match select::by_any(snapshot, selector) {
            Ok(found) => {
                selection.pids.extend(found.selected_pid);
                for summary in found.containers.into_iter().map(|index| &snapshot.containers[index]) {
                    if !selection.containers.iter().any(|known| known.membership == summary.membership) {
                        selection.containers.push(summary);
                    }
                }
            }
            Err(NotFound::OnHost { pid, .. }) if config.with_host => selection.pids.push(pid),
            Err(error) => selection.error = Some(error),
        }
    }
    selection
}
