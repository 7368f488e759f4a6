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
use crate::collect::collector::Collector;
use crate::collect::config::CollectorConfig;
use crate::collect::pipeline::Pipeline;
use crate::collect::schedule::{Collection, Schedule};
use crate::export::rendered::{Encoding, Format, LatestSnapshot, RenderedSnapshot};
use crate::export::renderer::Renderer;
use crate::names::config::DockerConfig;
use crate::names::docker;
use crate::names::registry::Registry;
use crate::observe::procfs::cmdline::ArgumentReaders;
use crate::observe::procfs::system::{HIDEPID_ADVICE, System};
use crate::serve::nofile_limit::raise_nofile_limit;
use crate::serve::response_cache::ResponseCache;
use crate::serve::security::rules::Security;
use crate::serve::{listen, server};

/// How long the first collection waits for Docker's first answer.
const DOCKER_HEAD_START: Duration = Duration::from_secs(2);
/// The same with `--once`, which has no second chance to show names.
const DOCKER_HEAD_START_ONCE: Duration = Duration::from_secs(5);

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
        Some(path) if !config.once => Some(Security::start(path).map_err(|error| anyhow!(error))?),
        _ => None,
    };
    let health = security.as_ref().map(|security| Arc::clone(&security.health));
    let web_config = move || health.as_ref().map(|health| (health.is_good(), health.failures()));
    let renderer = renderer(&config);
    if !pipeline.reads_pids() {
        warn!(
            cgroupfs = %config.collector.cgroupfs.display(),
            "no pids controller to be read here: give --path.cgroupfs the directory where cgroups are mounted"
        );
    }
    if !config.once {
        report_source(&pipeline);
    }
    let has_docker = config.docker.is_some();
    let is_proc = !pipeline.counts_events();
    let collector = Collector::new(pipeline, Arc::clone(&registry));
    let schedule = Schedule::new(collector, config.collector.interval, has_docker);
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
            return print_once(schedule, renderer, config.docker, registry).await;
        }
        let listeners = match config.web.systemd_socket {
            true => inherited_listeners()?,
            false => bind_all(&config.web.listen_addresses).await?,
        };
        let shutdown = shutdown_signal()?;
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
            true => Some(ArgumentReaders::start(&config.collector.procfs, ARGUMENT_THREADS)?),
            false => None,
        };
        let (names, latest) = (Arc::clone(&registry), Arc::clone(&exposition));
        let ended = start_thread(move || {
            if has_docker {
                names.wait_for_first_answer(DOCKER_HEAD_START);
            }
            schedule.run(|collection| latest.replace(render(&renderer, collection, web_config())));
        })?;
        let server = server::Server {
            exposition,
            telemetry_path: config.web.telemetry_path,
            max_connections: raise_nofile_limit(config.web.max_connections),
            answers: ResponseCache::new(readers),
            security,
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

fn renderer(config: &Config) -> Renderer {
    let labels =
        config.docker.as_ref().map(|docker| docker.labels.iter().map(|it| it.label.clone()).collect());
    Renderer::new(labels, what_is_hidden(&config.collector))
}

fn render(renderer: &Renderer, collection: Collection, web_config: Option<(bool, u64)>) -> RenderedSnapshot {
    let Collection { snapshot, status, docker, collected_at, interval } = collection;
    renderer.render(snapshot, &status, docker, web_config, (collected_at, interval))
}

/// Says once why not all processes can be seen.
fn what_is_hidden(config: &CollectorConfig) -> [(&'static str, bool); 2] {
    let system = System::new(&config.procfs);
    let hidepid = system.hides_other_users();
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
    let (source, reason) = (pipeline.status().source, pipeline.source_reason());
    if pipeline.counts_events() {
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
    tokio::spawn(docker::keep_names(docker.endpoint, labels, Arc::clone(registry)));
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
    schedule: Schedule,
    renderer: Renderer,
    docker: Option<DockerConfig>,
    registry: Arc<Registry>,
) -> anyhow::Result<()> {
    let has_docker = docker.is_some();
    if let Some(docker) = docker {
        spawn_docker(docker, &registry);
    }
    let (sender, receiver) = oneshot::channel();
    let _ended = start_thread(move || {
        if has_docker {
            registry.wait_for_first_answer(DOCKER_HEAD_START_ONCE);
        }
        let _ = sender.send(schedule.once());
    })?;
    let published = render(&renderer, receiver.await??, None);
    let text = published.body(Encoding { format: Format::Text, gzip: false });
    match std::io::stdout().lock().write_all(&text) {
        // A reader that has seen enough is no failure of ours.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
