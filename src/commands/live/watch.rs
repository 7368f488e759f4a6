//! The loop of the live view: collects like the exporter, and shows the trees with added and removed processes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::config::TreeConfig;
use crate::collect::collector::Collector;
use crate::collect::pipeline::Pipeline;
use crate::commands::live::live_view::{LiveView, select_containers};
use crate::commands::live::screen::{Screen, UiEvent};
use crate::names::config::NamesConfig;
use crate::names::registry::Registry;
use crate::names::sources;
use crate::observe::procfs::system::{HIDEPID_ADVICE, System};

/// Shows the trees until the user quits.
///
/// # Errors
/// If there is no terminal, if a container does not exist at the start, or if the first collection fails.
pub fn watch(config: &TreeConfig, period: Duration) -> anyhow::Result<()> {
    let is_stopping = Arc::new(AtomicBool::new(false));
    let registry: Arc<Registry> = Arc::default();
    let mut collector = Collector::new(Pipeline::new(&config.collector)?, Arc::clone(&registry));
    let hidden = System::new(&config.collector.procfs).hides_other_users().then_some(HIDEPID_ADVICE);
    let no_rates = (config.busy.is_some() && !collector.pipeline.counts_events())
        .then(|| format!("no rates by command: {}", collector.pipeline.source_reason()));
    let remark = hidden.map(str::to_owned).or(no_rates);
    let mut view = LiveView::new(config)?;
    view.status_error.clone_from(&remark);
    start_background(config.names.clone(), &registry, Arc::clone(&is_stopping))?;
    // Later collections do not wait for names.
    registry.wait_for_first_answer(config.names.timeouts.first_answer);
    let mut next = Instant::now() + period;
    // An error of the first collection is printed before the screen is set up, so that it stays visible.
    collector.collect()?;
    collector.wait_for_names();
    let snapshot = collector.named().unwrap_or_default();
    if let Some(error) = select_containers(&snapshot, config).error {
        return Err(error.into());
    }
    view.update(snapshot, &mut collector.pipeline);
    let screen = Screen::enter(is_stopping)?;
    // A terminal that is closed is not an error.
    while show_until(next, &screen, &mut view).unwrap_or(false) {
        next = Instant::now() + period;
        let outcome = collector.collect();
        let docker = registry.read().1.docker;
        let is_docker_down =
            docker.iter().any(|(_, status)| status.up == Some(false) && status.last_success.is_some());
        view.status_error = match outcome {
            Err(error) => Some(error.to_string()),
            Ok(()) if is_docker_down => {
                Some("Docker does not respond; container names may be outdated".to_owned())
            }
            Ok(()) => remark.clone(),
        };
        // If the collection failed, the last snapshot is kept.
        view.update(collector.named().unwrap_or_default(), &mut collector.pipeline);
    }
    Ok(())
}

/// Draws the view and handles key presses until `next`. Returns `false` if the user quits.
fn show_until(next: Instant, screen: &Screen, view: &mut LiveView<'_>) -> io::Result<bool> {
    loop {
        let (columns, lines) = Screen::size()?;
        screen.show(&view.draw(columns, lines))?;
        match screen.wait(next)? {
            UiEvent::Quit => return Ok(false),
            UiEvent::Collect => return Ok(true),
            UiEvent::Redraw => {}
            UiEvent::ToggleUsage => view.toggle_usage(),
            UiEvent::Scroll(scroll) => view.scroll(scroll, lines),
        }
    }
}

/// Starts the sources of names, and one thread for them and for signals.
fn start_background(
    names: NamesConfig,
    registry: &Arc<Registry>,
    is_stopping: Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = runtime.enter();
    let handle = |kind| signal(kind).context("cannot handle signals");
    let mut terminate = handle(SignalKind::terminate())?;
    let mut hangup = handle(SignalKind::hangup())?;
    let mut interrupt = handle(SignalKind::interrupt())?;
    sources::start(names, registry)?;
    drop(guard);
    std::thread::Builder::new()
        .name("background".into())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                    _ = interrupt.recv() => {}
                }
                is_stopping.store(true, Ordering::Relaxed);
            });
        })
        .context("cannot create a thread; raise pids.max or ulimit -u")?;
    Ok(())
}
