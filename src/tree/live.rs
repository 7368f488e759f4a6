//! The live view: collects as the exporter does, and draws in place what came, what went and what is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustc_hash::FxHashMap;
use tokio::signal::unix::{SignalKind, signal};

use super::arguments::{ArgumentReaders, CommandLines};
use super::changes::marked;
use super::command::{ARGUMENT_THREADS, style};
use super::layout::arrange;
use super::picture::{Picture, Section};
use super::screen::{Screen, Wish};
use super::select::{self, NotFound};
use super::text::{self, Line, Paint, Style};
use super::users::Users;
use super::viewport::Viewport;
use super::{Mark, Tree};
use crate::collector::pipeline::Pipeline;
use crate::collector::publisher::Publisher;
use crate::config::{DockerConfig, TreeConfig};
use crate::metadata::{Registry, docker};
use crate::metrics::published::Published;
use crate::model::{Membership, ProcessKey};
use crate::moment::{Card, Moment};

/// A process gives up its rights at its start, if at all: until it is so old its user is asked for again.
const SETTLED_SECONDS: u64 = 10;
/// Names are waited for at the first look only.
const DOCKER_HEAD_START: Duration = Duration::from_secs(2);

/// Shows the trees until somebody has seen enough.
///
/// # Errors
/// When there is no terminal, or nothing to be read.
pub fn watch(config: &TreeConfig, period: Duration) -> anyhow::Result<()> {
    let is_stopping = Arc::new(AtomicBool::new(false));
    let registry = Arc::new(Registry::default());
    let mut pipeline = Pipeline::new(&config.collector)?;
    let docker = config.docker.clone().filter(|docker| docker.endpoint.is_expected());
    let mut publisher =
        Publisher::new(docker.as_ref().map(|_| &[][..]), [("hidepid", false), ("pid_namespace", false)]);
    let mut view = View::new(config)?;
    start_background(docker, Arc::clone(&registry), Arc::clone(&is_stopping))?;
    if publisher.has_docker() {
        registry.wait_for_first_answer(DOCKER_HEAD_START);
    }
    let mut screen = None;
    loop {
        let next = Instant::now() + period;
        let collected = pipeline.collect();
        let (directory, status, _) = registry.read();
        let publication = publisher.publish(&pipeline, (&directory, status), period, false);
        let screen = match &screen {
            Some(screen) => screen,
            // What is wrong from the start is said where it stays to be read.
            None => {
                if let Some(missing) = wanted(&publication.published.moment, &config.wanted).missing {
                    return Err(missing.into());
                }
                &*screen.insert(Screen::enter(Arc::clone(&is_stopping))?)
            }
        };
        view.trouble = match (collected, status.up) {
            (Err(error), _) => Some(error.to_string()),
            (Ok(()), Some(false)) => Some("Docker does not answer; the names are old".to_owned()),
            (Ok(()), _) => None,
        };
        view.update(publication.published, &mut pipeline);
        loop {
            let (columns, lines) = match Screen::size() {
                Ok(size) => size,
                Err(_) => return Ok(()),
            };
            let shown = view.draw(columns, lines);
            // A terminal that is gone wants nothing more.
            if screen.show(&shown).is_err() {
                return Ok(());
            }
            match screen.wait(next) {
                Err(_) | Ok(Wish::Quit) => return Ok(()),
                Ok(Wish::Next) => break,
                Ok(Wish::Redraw) => {}
                Ok(Wish::Move(to)) => {
                    view.viewport.go(to, view.picture.len(), lines.saturating_sub(HEAD_LINES))
                }
            }
        }
    }
}

/// One thread for Docker and for signals.
fn start_background(
    docker: Option<DockerConfig>,
    registry: Arc<Registry>,
    is_stopping: Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _guard = runtime.enter();
        [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()]
            .map(|kind| signal(kind).context("cannot handle signals"))
    };
    let [mut terminate, mut hangup, mut interrupt] = {
        let [a, b, c] = signals;
        [a?, b?, c?]
    };
    std::thread::Builder::new()
        .name("background".into())
        .spawn(move || {
            runtime.block_on(async {
                if let Some(docker) = docker {
                    tokio::spawn(docker::keep_names(docker.endpoint, Arc::from([]), registry));
                }
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                    _ = interrupt.recv() => {}
                }
                is_stopping.store(true, Ordering::Relaxed);
            });
        })
        .context("cannot make a thread; raise pids.max or ulimit -u")?;
    Ok(())
}

/// Lines above the picture that do not scroll.
const HEAD_LINES: usize = 2;

/// What is known of a process beyond the collection.
struct Details {
    user: Option<u32>,
    arguments: Option<Box<[u8]>>,
}

/// What is on the screen, and what is kept from look to look.
struct View<'a> {
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
    trouble: Option<String>,
    style: Style,
}

impl<'a> View<'a> {
    fn new(config: &'a TreeConfig) -> anyhow::Result<Self> {
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
            trouble: None,
            style: style(config),
        })
    }

    /// Takes a new look over.
    fn update(&mut self, published: Published, pipeline: &mut Pipeline) {
        let moment = &published.moment;
        let Wanted { cards, asked, missing } = wanted(moment, &self.config.wanted);
        let mut trees: Vec<(Box<str>, Option<&Card>, Tree)> = cards
            .iter()
            .map(|card| (card.container.path.clone(), Some(*card), Tree::of(&moment.frame, card.membership)))
            .collect();
        if self.config.with_host {
            trees.push(("".into(), None, Tree::of(&moment.frame, Membership::HOST)));
        }
        self.read_details(moment, &trees, pipeline);
        self.head = match cards[..] {
            [card] if trees.len() == 1 => text::heading(card),
            _ if cards.is_empty() => Line::of(
                &missing.map_or("no container runs here".to_owned(), |it| format!("{it}; waiting for it")),
                Paint::Warn,
            ),
            _ => text::summary(&cards),
        };
        let has_one = trees.len() == 1;
        let mut last = std::mem::take(&mut self.last);
        let mut sections = Vec::with_capacity(trees.len());
        for (path, card, mut now) in trees {
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
                None => moment.host.as_ref().map(|host| text::host_heading(host, 0)),
            };
            let rows = arrange(&tree, &self.config.layout);
            sections.push(Section { heading: heading.filter(|_| !has_one), tree, rows });
            self.last.insert(path, now);
        }
        self.picture = Picture(sections);
        self.published = Some(published);
    }

    /// Reads what only a tree shows, of processes that are new or young.
    fn read_details(
        &mut self,
        moment: &Moment,
        trees: &[(Box<str>, Option<&Card>, Tree)],
        pipeline: &mut Pipeline,
    ) {
        let mut kept = FxHashMap::default();
        let mut fresh = Vec::new();
        for process in trees.iter().flat_map(|(_, _, tree)| &tree.processes) {
            let is_settled = moment.age(process.key).is_some_and(|age| age > SETTLED_SECONDS);
            match self.details.remove(&process.key) {
                Some(known) if is_settled => {
                    kept.insert(process.key, known);
                }
                _ => fresh.push(process.key),
            }
        }
        let mut lines = match &self.readers {
            Some((runtime, readers)) => runtime.block_on(readers.read(fresh.iter().copied())),
            None => CommandLines::default(),
        };
        for key in fresh {
            let user = pipeline.files().identity(key.pid).map(|(_, user)| user);
            kept.insert(key, Details { user, arguments: lines.remove(&key.pid) });
        }
        self.details = kept;
    }

    /// The lines of a screen of this size.
    fn draw(&mut self, columns: usize, lines: usize) -> Vec<String> {
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
        if let Some(trouble) = &self.trouble {
            status.push("  ", Paint::Plain);
            status.push(&crate::text::printable(trouble.as_bytes()), Paint::Bad);
        }
        let mut shown = vec![self.head.finish(&style), status.finish(&style)];
        shown.extend(self.picture.draw(visible, (&published.moment, &self.users), &style));
        shown
    }
}

/// What is there now of that which is wanted.
#[derive(Default)]
struct Wanted<'m> {
    cards: Vec<&'m Card>,
    /// Pids on the host by which it was asked.
    asked: Vec<u32>,
    missing: Option<NotFound>,
}

fn wanted<'m>(moment: &'m Moment, names: &[String]) -> Wanted<'m> {
    let mut wanted = Wanted::default();
    if names.is_empty() {
        wanted.cards.extend(&moment.cards);
        wanted.cards.sort_by(|a, b| a.name.cmp(&b.name));
    }
    for name in names {
        match select::by_any(moment, name) {
            Ok(found) => {
                wanted.asked.extend(found.asked);
                for card in found.cards.into_iter().map(|index| &moment.cards[index]) {
                    if !wanted.cards.iter().any(|known| known.membership == card.membership) {
                        wanted.cards.push(card);
                    }
                }
            }
            Err(error) => wanted.missing = Some(error),
        }
    }
    wanted
}
