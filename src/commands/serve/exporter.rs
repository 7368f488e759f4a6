//! Connects the parts of the exporter and runs them.
//!
//! All threads are created here, at start: one serves HTTP and talks to Docker, one collects, one renders, one resolves
//! host names; with `--web.config.file` one checks passwords, and with `--web.arguments` some read command lines. None is
//! created later, because that fails when pids are exhausted.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::cli::config::Config;
use crate::collect::collector::Collector;
use crate::collect::pipeline::Pipeline;
use crate::collect::schedule::{Collection, Schedule};
use crate::commands::serve::sockets::{bound_addresses, listeners};
use crate::commands::serve::startup_log::{
    log_hidden_processes, log_missing_pids_controller, log_missing_system_files, log_needless_root,
    log_source,
};
use crate::export::rendered::{Encoding, Format, LatestSnapshot, RenderedSnapshot};
use crate::export::renderer::Renderer;
use crate::names::config::NamesConfig;
use crate::names::registry::Registry;
use crate::names::sources;
use crate::observe::procfs::cmdline::ArgumentReaders;
use crate::observe::procfs::reader_pool::ReadTimeouts;
use crate::serve::security::Security;
use crate::serve::{self, Pages, RenderThread, Server, raise_nofile_limit};

/// A process whose command line cannot be read blocks one of these threads.
const ARGUMENT_THREADS: usize = 4;

const NO_THREAD: &str = "cannot create a thread; raise pids.max or ulimit -u";

/// Runs until SIGTERM or SIGINT; with `--once` until the metrics are printed.
///
/// # Errors
/// If processes cannot be read, an address cannot be bound, the web configuration is wrong, or a resource is exhausted.
pub fn run(config: Config) -> anyhow::Result<()> {
    let registry = Arc::new(Registry::default());
    let latest = Arc::new(LatestSnapshot::default());
    // Drops privileges, in this thread only, so all other threads are created after it.
    let mut pipeline = Pipeline::new(&config.collector)?;
    let security = match &config.web.config_file {
        Some(path) if !config.once => Some(Security::start(path, config.web.timeouts.reload_interval)?),
        _ => None,
    };
    let config_status = security.as_ref().map(|security| Arc::clone(&security.status));
    let web_config =
        move || config_status.as_ref().map(|status| (status.last_succeeded(), status.failures()));
    let renderer = renderer(&config);
    log_missing_system_files(&config.collector);
    log_missing_pids_controller(&pipeline, &config.collector);
    let mut max_connections = 0;
    if !config.once {
        log_source(&pipeline);
        let descriptors = raise_nofile_limit(config.web.max_connections);
        max_connections = descriptors.connections;
        pipeline.keep_control_files_open(descriptors.control_files);
    }
    let is_proc = !pipeline.counts_events();
    let name_timeouts = config.names.timeouts;
    let mut collector = Collector::new(pipeline, Arc::clone(&registry));
    collector.set_name_timeout(name_timeouts.new_container);
    let schedule = Schedule::new(collector, config.collector.interval);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // The C library resolves host names and blocks.
        .max_blocking_threads(1)
        .thread_keep_alive(Duration::from_secs(u64::from(u32::MAX)))
        .build()
        .context("cannot start the event loop; raise ulimit -n or ulimit -u")?;
    let result = runtime.block_on(async {
        create_blocking_thread().await?;
        if config.once {
            return print_once(schedule, renderer, config.names, registry).await;
        }
        let listeners = listeners(&config.web).await?;
        let shutdown = shutdown_signal()?;
        sources::start(config.names, &registry).context(NO_THREAD)?;
        if is_proc {
            log_needless_root();
        }
        info!(
            version = env!("CARGO_PKG_VERSION"),
            revision = crate::REVISION,
            address = bound_addresses(&listeners),
            path = config.web.telemetry_path,
            "serving"
        );
        let render_thread = Arc::new(RenderThread::start().context(NO_THREAD)?);
        let argument_readers = match config.web.arguments {
            true => Some(ArgumentReaders::start(
                &config.collector.procfs,
                ARGUMENT_THREADS,
                ReadTimeouts::scaled(config.timeout_scale),
            )?),
            false => None,
        };
        let (names, published) = (Arc::clone(&registry), Arc::clone(&latest));
        let collector_ended = start_collector_thread(move || {
            names.wait_for_first_answer(name_timeouts.first_answer);
            schedule.run(|collection| published.replace(render(&renderer, collection, web_config())));
        })?;
        let server = Server {
            latest,
            telemetry_path: config.web.telemetry_path.into(),
            max_connections,
            render_thread: Arc::clone(&render_thread),
            pages: Pages::new(render_thread, argument_readers),
            security,
            timeouts: config.web.timeouts,
        };
        notify_systemd(&[NotifyState::Ready, NotifyState::Status("serving")]);
        let shutdown = async {
            shutdown.await;
            notify_systemd(&[NotifyState::Stopping]);
        };
        tokio::select! {
            () = serve::run(listeners, server, shutdown) => {
                registry.stop();
                info!("stopped");
                Ok(())
            }
            _ = collector_ended => {
                Err(anyhow!("the collector ended, which is a bug; please report it with the log"))
            }
        }
    });
    // Does not wait for a host name that is being resolved.
    runtime.shutdown_background();
    result
}

/// Creates the only blocking thread at start. tokio panics if it cannot create a thread.
async fn create_blocking_thread() -> anyhow::Result<()> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    #[allow(clippy::disallowed_methods, reason = "at start")]
    let created = std::panic::catch_unwind(|| tokio::task::spawn_blocking(|| ()));
    std::panic::set_hook(hook);
    Ok(created.map_err(|_| anyhow!(NO_THREAD))?.await?)
}

/// Reports the state to the service manager, if there is one (`sd_notify(3)`).
fn notify_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "cannot notify systemd, which may report a failed start; check NotifyAccess= of the unit");
    }
}

fn renderer(config: &Config) -> Renderer {
    let labels = config.names.labels.iter().map(|it| it.label.clone()).collect();
    Renderer::new(labels, config.collectors, log_hidden_processes(&config.collector))
}

fn render(renderer: &Renderer, collection: Collection, web_config: Option<(bool, u64)>) -> RenderedSnapshot {
    let Collection { snapshot, status, names, collected_at, interval } = collection;
    renderer.render(snapshot, &status, &names, web_config, (collected_at, interval))
}

/// Starts the thread that collects. The receiver resolves when it ends.
fn start_collector_thread(body: impl FnOnce() + Send + 'static) -> anyhow::Result<oneshot::Receiver<()>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("collector".into())
        .spawn(move || {
            body();
            let _ = sender.send(());
        })
        .context(NO_THREAD)?;
    Ok(receiver)
}

/// Resolves at the first SIGTERM or SIGINT. The handlers are installed when this function returns.
fn shutdown_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn print_once(
    schedule: Schedule,
    renderer: Renderer,
    names: NamesConfig,
    registry: Arc<Registry>,
) -> anyhow::Result<()> {
    let limit = names.timeouts.first_answer_once;
    sources::start(names, &registry).context(NO_THREAD)?;
    let (sender, receiver) = oneshot::channel();
    let _ended = start_collector_thread(move || {
        registry.wait_for_first_answer(limit);
        let _ = sender.send(schedule.once());
    })?;
    let text = render(&renderer, receiver.await??, None).body(Encoding { format: Format::Text, gzip: false });
    match std::io::stdout().lock().write_all(&text) {
        // A reader that closes the pipe early, such as head, is not an error.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
