//! What is on the screen of the live view, and what is kept from look to look.

use rustc_hash::FxHashMap;

use crate::collector::pipeline::Pipeline;
use crate::config::TreeConfig;
use crate::metrics::published::Published;
use crate::model::{Comm, ProcessKey};
use crate::moment::{Card, Moment};
use crate::text::printable;
use crate::tree::arguments::{ArgumentReaders, CommandLines};
use crate::tree::changes::marked;
use crate::tree::command::{ARGUMENT_THREADS, style, trees_of};
use crate::tree::layout::arrange;
use crate::tree::picture::{Picture, Section};
use crate::tree::select::{self, NotFound};
use crate::tree::text::{self, Line, Paint, Style};
use crate::tree::users::Users;
use crate::tree::viewport::{Move, Viewport};
use crate::tree::{Mark, Tree};

/// A process gives up its rights at its start, if at all: until it is so old its user is asked for again.
const SETTLED_SECONDS: u64 = 10;
/// Lines above the picture that do not scroll.
const HEAD_LINES: usize = 2;

/// What is known of a process beyond the collection.
struct Details {
    /// Another one after an exec, which changes arguments and perhaps the user.
    comm: Comm,
    user: Option<u32>,
    arguments: Option<Box<[u8]>>,
}

/// The picture, and what it is made with.
pub(super) struct View<'a> {
    config: &'a TreeConfig,
    users: Users,
    readers: Option<(tokio::runtime::Runtime, ArgumentReaders)>,
    details: FxHashMap<ProcessKey, Details>,
    /// The last look, by container path; the host has none.
    last: FxHashMap<Box<str>, Tree>,
    published: Option<Published>,
    head: Line,
    picture: Picture,
    viewport: Viewport,
    /// What is wanted and not there.
    missing: Option<String>,
    /// What went wrong with the last look.
    pub(super) trouble: Option<String>,
    style: Style,
}

impl<'a> View<'a> {
    pub(super) fn new(config: &'a TreeConfig) -> anyhow::Result<Self> {
        let readers = if config.arguments {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            Some((runtime, ArgumentReaders::start(&config.collector.procfs, ARGUMENT_THREADS)?))
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
            picture: Picture::default(),
            viewport: Viewport::default(),
            missing: None,
            trouble: None,
            style: style(config),
        })
    }

    /// Takes a new look over.
    pub(super) fn update(&mut self, published: Published, pipeline: &mut Pipeline) {
        let moment = &published.moment;
        let Wanted { cards, asked, missing } = wanted(moment, self.config);
        self.missing = missing.map(|it| format!("{it}; waiting for it"));
        let trees = trees_of(moment, &cards, self.config.with_host);
        self.read_details(moment, &trees, pipeline);
        self.head = match cards[..] {
            [card] if trees.len() == 1 => text::heading(card),
            _ if cards.is_empty() => Line::of("no container to show", Paint::Warn),
            _ => text::summary(&cards),
        };
        let has_one = trees.len() == 1;
        let mut last = std::mem::take(&mut self.last);
        let mut sections = Vec::with_capacity(trees.len());
        for (card, mut now) in trees {
            let path: Box<str> = card.map_or("".into(), |card| card.container.path.clone());
            for process in &mut now.processes {
                if asked.contains(&process.key.pid) {
                    process.mark = Mark::Asked;
                }
                if let Some(details) = self.details.get(&process.key) {
                    process.user = details.user;
                    process.arguments.clone_from(&details.arguments);
                }
            }
            let tree = match last.remove(&path) {
                Some(before) => marked(&now, &before),
                None => now.clone(),
            };
            let heading = match card {
                Some(card) => Some(text::heading(card)),
                None => moment.host.as_ref().map(|host| text::host_heading(host, moment.host_kernel_threads)),
            };
            let rows = arrange(&tree, &self.config.layout);
            sections.push(Section { heading: heading.filter(|_| !has_one), tree, rows });
            self.last.insert(path, now);
        }
        self.picture = Picture(sections);
        self.published = Some(published);
    }

    /// Reads what only a tree shows, of processes that are new or young.
    fn read_details(&mut self, moment: &Moment, trees: &[(Option<&Card>, Tree)], pipeline: &mut Pipeline) {
        let mut kept = FxHashMap::default();
        let mut fresh = Vec::new();
        for process in trees.iter().flat_map(|(_, tree)| &tree.processes) {
            let is_settled = moment.age(process.key).is_some_and(|age| age > SETTLED_SECONDS);
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
            kept.insert(key, Details { comm, user, arguments: lines.remove(&key.pid) });
        }
        self.details = kept;
    }

    /// Scrolls on a screen of so many lines.
    pub(super) fn go(&mut self, to: Move, lines: usize) {
        self.viewport.go(to, self.picture.len(), lines.saturating_sub(HEAD_LINES));
    }

    /// The lines of a screen of this size.
    pub(super) fn draw(&mut self, columns: usize, lines: usize) -> Vec<String> {
        let Some(published) = &self.published else { return Vec::new() };
        let style = Style { width: Some(columns), ..self.style };
        let height = lines.saturating_sub(HEAD_LINES);
        let total = self.picture.len();
        let visible = self.viewport.visible(total, height);
        let mut status = Line::default();
        let (from, to) = (visible.start + usize::from(total > 0), visible.end);
        let period = self.config.watch.unwrap_or_default().as_secs_f64();
        status.push(&format!("every {period}s"), Paint::Dim);
        if visible.len() < total {
            status.push(&format!("  lines {from} to {to} of {total}, arrows scroll"), Paint::Dim);
        }
        status.push("  q quits", Paint::Dim);
        for trouble in self.missing.iter().chain(&self.trouble) {
            status.push("  ", Paint::Plain);
            status.push(&printable(trouble.as_bytes()), Paint::Bad);
        }
        let mut shown = vec![self.head.finish(&style), status.finish(&style)];
        shown.extend(self.picture.draw(visible, (&published.moment, &self.users), &style));
        shown
    }
}

/// What is there now of that which is wanted.
#[derive(Default)]
pub(super) struct Wanted<'m> {
    cards: Vec<&'m Card>,
    /// Pids on the host by which it was asked.
    asked: Vec<u32>,
    pub(super) missing: Option<NotFound>,
}

pub(super) fn wanted<'m>(moment: &'m Moment, config: &TreeConfig) -> Wanted<'m> {
    let mut wanted = Wanted::default();
    if config.wanted.is_empty() {
        wanted.cards.extend(&moment.cards);
        wanted.cards.sort_by(|a, b| a.name.cmp(&b.name));
    }
    for name in &config.wanted {
        match select::by_any(moment, name) {
            Ok(found) => {
                wanted.asked.extend(found.asked);
                for card in found.cards.into_iter().map(|index| &moment.cards[index]) {
                    if !wanted.cards.iter().any(|known| known.membership == card.membership) {
                        wanted.cards.push(card);
                    }
                }
            }
            Err(NotFound::OnHost { pid, .. }) if config.with_host => wanted.asked.push(pid),
            Err(error) => wanted.missing = Some(error),
        }
    }
    wanted
}
