//! The live view: collects as the exporter does, and draws in place what came, what went and what is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::config::TreeConfig;
use crate::collect::pipeline::Pipeline;
use crate::collect::publisher::Publisher;
use crate::commands::live::screen::{Screen, UiEvent};
use crate::commands::live::view::{View, wanted};
use crate::export::rendered::RenderedSnapshot;
use crate::names::config::DockerConfig;
use crate::names::docker;
use crate::names::registry::Registry;
use crate::observe::procfs::system::{HIDEPID_ADVICE, System};
use crate::observe::source::SourceError;

/// Shows the trees until somebody has seen enough.
///
/// # Errors
/// When there is no terminal, no such container at the start, or nothing to be read.
pub fn watch(config: &TreeConfig, period: Duration) -> anyhow::Result<()> {
    let is_stopping = Arc::new(AtomicBool::new(false));
    let docker = config.docker.clone().filter(|docker| docker.endpoint.is_expected());
    let first_answer = docker.as_ref().map(|docker| docker.timeouts.first_answer);
    let mut looker = Looker {
        pipeline: Pipeline::new(&config.collector)?,
        publisher: Publisher::new(
            docker.as_ref().map(|_| &[][..]),
            [("hidepid", false), ("pid_namespace", false)],
        ),
        registry: Arc::default(),
        period,
    };
    let hidden = System::new(&config.collector.procfs).hides_processes().then_some(HIDEPID_ADVICE);
    let mut view = View::new(config)?;
    view.status_error = hidden.map(str::to_owned);
    start_background(docker, Arc::clone(&looker.registry), Arc::clone(&is_stopping))?;
    // Names are waited for at the first look only.
    if let Some(limit) = first_answer {
        looker.registry.wait_for_first_answer(limit);
    }
    let mut next = Instant::now() + period;
    // What is wrong from the start is said where it stays to be read.
    let (published, outcome) = looker.look();
    outcome?;
    if let Some(missing) = wanted(&published.snapshot, config).missing {
        return Err(missing.into());
    }
    view.update(published, &mut looker.pipeline);
    let screen = Screen::enter(is_stopping)?;
    // A terminal that is gone wants nothing more, and that is no failure.
    while show_until(next, &screen, &mut view).unwrap_or(false) {
        next = Instant::now() + period;
        let (published, outcome) = looker.look();
        let is_docker_away = looker.registry.read().1.up == Some(false);
        view.status_error = match outcome {
            Err(error) => Some(error.to_string()),
            Ok(()) if is_docker_away => Some("Docker does not answer; names are old".to_owned()),
            Ok(()) => hidden.map(str::to_owned),
        };
        view.update(published, &mut looker.pipeline);
    }
    Ok(())
}

/// Collects as the exporter does.
struct Looker {
    pipeline: Pipeline,
    publisher: Publisher,
    registry: Arc<Registry>,
    period: Duration,
}

impl Looker {
    /// Where the collection fails, what was seen before stays.
    fn look(&mut self) -> (RenderedSnapshot, Result<(), SourceError>) {
        let outcome = self.pipeline.collect();
        let (directory, status, _) = self.registry.read();
        let publication = self.publisher.publish(&self.pipeline, (&directory, status), self.period, false);
        (publication.published, outcome)
    }
}

/// Draws, and does what the keyboard says. Returns `false` when it says that this is enough.
fn show_until(next: Instant, screen: &Screen, view: &mut View<'_>) -> io::Result<bool> {
    loop {
        let (columns, lines) = Screen::size()?;
        screen.show(&view.draw(columns, lines))?;
        match screen.wait(next)? {
            UiEvent::Quit => return Ok(false),
            UiEvent::Next => return Ok(true),
            UiEvent::Redraw => {}
            UiEvent::Move(to) => view.go(to, lines),
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
    let guard = runtime.enter();
    let handle = |kind| signal(kind).context("cannot handle signals");
    let mut terminate = handle(SignalKind::terminate())?;
    let mut hangup = handle(SignalKind::hangup())?;
    let mut interrupt = handle(SignalKind::interrupt())?;
    drop(guard);
    std::thread::Builder::new()
        .name("background".into())
        .spawn(move || {
            runtime.block_on(async {
                if let Some(docker) = docker {
                    tokio::spawn(docker::keep_names(
                        docker.endpoint,
                        Arc::from([]),
                        registry,
                        docker.timeouts,
                    ));
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
