//! Puts the parts together and runs them: one thread for the web and Docker, one for collections, one that looks
//! names up, and with `--web.arguments` some that read those. All are made here; no thread or process is made
//! later, for under pid exhaustion none could be.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::cli::config::Config;
use crate::collect::config::CollectorConfig;
use crate::collect::pipeline::Pipeline;
use crate::collect::publisher::Publisher;
use crate::collect::schedule::{Collector, LatestSnapshot};
use crate::export::rendered::{Encoding, Format};
use crate::names::config::DockerConfig;
use crate::names::docker;
use crate::names::registry::Registry;
use crate::observe::procfs::cmdline::{ArgumentReaders, ArgumentTimeouts};
use crate::observe::procfs::system::{HIDEPID_ADVICE, System};
use crate::serve::nofile_limit::raise_nofile_limit;
use crate::serve::response_cache::ResponseCache;
use crate::serve::security::rules::Security;
use crate::serve::{listen, server};

/// Each process that never answers takes one of them.
const ARGUMENT_THREADS: usize = 4;

/// Runs until a signal, or with `--once` until the metrics are printed.
///
/// # Errors
/// When something that the flags ask for cannot be had.
pub fn run(config: Config) -> anyhow::Result<()> {
    let registry = Arc::new(Registry::default());
    let exposition = Arc::new(LatestSnapshot::default());
    // Gives up its rights in this thread alone: whatever makes another comes later.
    let pipeline = Pipeline::new(&config.collector)?;
    let security = match &config.web.config_file {
        Some(path) if !config.once => {
            let interval = config.web.timeouts.reload_interval;
            Some(Security::start(path, interval).map_err(|error| anyhow!(error))?)
        }
        _ => None,
    };
    let mut publisher = publisher(&config);
    if let Some(docker) = &config.docker {
        publisher.name_timeout = docker.timeouts.new_container;
    }
    publisher.web_config = security.as_ref().map(|security| Arc::clone(&security.health));
    let collector = Collector {
        pipeline,
        publisher,
        registry: Arc::clone(&registry),
        exposition: Arc::clone(&exposition),
        interval: config.collector.interval,
    };
    if !collector.pipeline.reads_pids() {
        warn!(
            cgroupfs = %config.collector.cgroupfs.display(),
            "no pids controller to be read here: give --path.cgroupfs the directory where cgroups are mounted"
        );
    }
    if !config.once {
        report_source(&collector.pipeline);
    }
    let is_proc = collector.pipeline.events.is_none();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // For names in addresses, which the C library looks up while a thread waits.
        .max_blocking_threads(1)
        .thread_keep_alive(Duration::from_secs(u64::from(u32::MAX)))
        .build()
        .context("cannot start; are there descriptors and processes left (ulimit -n, ulimit -u)?")?;
    let ended = runtime.block_on(async {
        make_blocking_thread().await?;
        if config.once {
            return print_once(collector, config.docker, registry).await;
        }
        let listeners = match config.web.systemd_socket {
            true => inherited_listeners()?,
            false => bind_all(&config.web.listen_addresses).await?,
        };
        let shutdown = shutdown_signal()?;
        let first_answer = config.docker.as_ref().map(|docker| docker.timeouts.first_answer);
        if let Some(docker) = config.docker {
            spawn_docker(docker, &registry);
        }
        if is_proc {
            warn_of_needless_root();
        }
        info!(
            version = env!("CARGO_PKG_VERSION"),
            revision = crate::REVISION,
            address = bound_addresses(&listeners),
            path = config.web.telemetry_path,
            "serving"
        );
        let readers = match config.web.arguments {
            true => Some(ArgumentReaders::start(
                &config.collector.procfs,
                ARGUMENT_THREADS,
                ArgumentTimeouts::scaled(config.timeout_scale),
            )?),
            false => None,
        };
        let ended = start_thread(move || {
            if let Some(limit) = first_answer {
                collector.registry.wait_for_first_answer(limit);
            }
            collector.run();
        })?;
        let server = server::Server {
            exposition,
            telemetry_path: config.web.telemetry_path,
            max_connections: raise_nofile_limit(config.web.max_connections),
            answers: ResponseCache::new(readers),
            security,
            timeouts: config.web.timeouts,
        };
        notify(&[NotifyState::Ready, NotifyState::Status("serving")]);
        let shutdown = async {
            shutdown.await;
            notify(&[NotifyState::Stopping]);
        };
        tokio::select! {
            () = server::run(listeners, server, shutdown) => {
                registry.stop();
                info!("stopped");
                Ok(())
            }
            _ = ended => Err(anyhow!("the collector ended, which is a bug; please report it with the log")),
        }
    });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    ended
}

/// Makes the one blocking thread now, at start. Where that fails tokio knows nothing but to panic.
async fn make_blocking_thread() -> anyhow::Result<()> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    #[allow(clippy::disallowed_methods, reason = "at start")]
    let made = std::panic::catch_unwind(|| tokio::task::spawn_blocking(|| ()));
    std::panic::set_hook(hook);
    Ok(made.map_err(|_| anyhow!("cannot make a thread; raise pids.max or ulimit -u"))?.await?)
}

/// Tells whoever started us, by `sd_notify(3)`, if they want to know.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "cannot tell systemd how we are; it may take this for a failed start (NotifyAccess=)");
    }
}

fn publisher(config: &Config) -> Publisher {
    let partial = what_is_hidden(&config.collector);
    Publisher::new(config.docker.as_ref().map(|docker| &*docker.labels), partial)
}

/// Says once why not all processes can be seen.
fn what_is_hidden(config: &CollectorConfig) -> [(&'static str, bool); 2] {
    let system = System::new(&config.procfs);
    let hidepid = system.hides_processes();
    if hidepid {
        warn!(procfs = %config.procfs.display(), "{HIDEPID_ADVICE}");
    }
    let own_container = system.own_container(config.container_name.as_deref());
    if let Some(container) = &own_container {
        warn!(
            container = container.fallback_name(),
            "only the processes of this container are seen, as one forest; for all of the host run it with \
             --pid=host, or mount the host's procfs and give --path.procfs"
        );
    }
    [("hidepid", hidepid), ("pid_namespace", own_container.is_some())]
}

/// Says once where processes are read from, and why.
fn report_source(pipeline: &Pipeline) {
    let (source, reason) = (pipeline.source_label(), &pipeline.reason);
    if pipeline.events.is_some() {
        info!(source, %reason, "processes are listed, and forks, execs and exits counted, by the kernel");
    } else if reason.is_expected() {
        info!(source, %reason, "processes are read from /proc; forks, execs and exits are not counted");
    } else {
        warn!(source, %reason, "processes are read from /proc; forks, execs and exits are not counted");
    }
}

/// Root buys little here, and costs much if anything is wrong.
fn warn_of_needless_root() {
    if rustix::process::geteuid().is_root() {
        warn!(
            "running as root, which is not needed: an unprivileged user sees all but \
             pstree_host_namespace_intruders; for names give it the group of Docker's socket"
        );
    }
}

/// Starts the thread for collections. The receiver resolves when it is over.
fn start_thread(body: impl FnOnce() + Send + 'static) -> anyhow::Result<oneshot::Receiver<()>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("collector".into())
        .spawn(move || {
            body();
            let _ = sender.send(());
        })
        .context("cannot make a thread; raise pids.max or ulimit -u")?;
    Ok(receiver)
}

fn spawn_docker(docker: DockerConfig, registry: &Arc<Registry>) {
    let labels: Arc<[String]> = docker.labels.into_iter().map(|label| label.key).collect();
    tokio::spawn(docker::keep_names(docker.endpoint, labels, Arc::clone(registry), docker.timeouts));
}

async fn bind_all(addresses: &[String]) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let listener = listen::bind(address).await.with_context(|| {
            format!("cannot listen on {address}; free it or give --web.listen-address another")
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// The sockets of `sd_listen_fds(3)`.
fn inherited_listeners() -> anyhow::Result<Vec<TcpListener>> {
    let mut inherited = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..inherited.len() {
        let listener =
            inherited.take_tcp_listener(index).context("a socket from systemd is no TCP listener")?;
        if let Some(listener) = listener {
            listener.set_nonblocking(true)?;
            listeners.push(TcpListener::from_std(listener)?);
        }
    }
    if listeners.is_empty() {
        return Err(anyhow!("--web.systemd-socket: systemd passed no socket; start it by a .socket unit"));
    }
    Ok(listeners)
}

/// As bound: port 0 asks the system for a free one.
fn bound_addresses(listeners: &[TcpListener]) -> String {
    let addresses: Vec<String> =
        listeners.iter().filter_map(|listener| Some(listener.local_addr().ok()?.to_string())).collect();
    addresses.join(",")
}

/// Resolves at the first SIGTERM or SIGINT. The handlers are in place when this returns.
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
    mut collector: Collector,
    docker: Option<DockerConfig>,
    registry: Arc<Registry>,
) -> anyhow::Result<()> {
    let first_answer = docker.as_ref().map(|docker| docker.timeouts.first_answer_once);
    if let Some(docker) = docker {
        spawn_docker(docker, &registry);
    }
    let (sender, receiver) = oneshot::channel();
    let _ended = start_thread(move || {
        if let Some(limit) = first_answer {
            collector.registry.wait_for_first_answer(limit);
        }
        let _ = sender.send(collector.once());
    })?;
    let published = receiver.await??;
    let text = published.body(Encoding { format: Format::Text, gzip: false });
    match std::io::stdout().lock().write_all(&text) {
        // A reader that has seen enough is no failure of ours.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
