//! Requests to the Docker API.
//!
//! `sync_registry` keeps the names of one engine up to date. It lists the running containers, then follows the event
//! stream and lists again after an event. It also lists regularly, in case events were lost, and sends pings to detect a
//! daemon that hangs. It looks up containers that run although the engine does not list them as running: one that exited
//! while a process of it cannot end. `ask_once` is one list for a command that prints and exits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::model::container_metadata::ContainerMetadata;
use crate::model::text::label_value;
use crate::names::config::NameTimeouts;
use crate::names::docker_error::DockerError;
use crate::names::docker_list::{DockerList, decode_list};
use crate::names::endpoint::Endpoint;
use crate::names::registry::{Api, Directory, Registry, Unnamed};

/// Events that change a name, a label or the paused state. Excludes `exec_*` and `health_status`, which every health
/// check sends.
const EVENTS: [&str; 8] = ["create", "start", "restart", "rename", "pause", "unpause", "die", "update"];
/// Limit on the containers without a name that are looked up by one request.
const MAX_LOOKUPS: usize = 64;

/// Keeps the names of an engine up to date. Returns only if `may_end` and the directory of the socket was removed, as
/// when a user logs out. `allowed_labels` are the labels to read, in the order of the flag.
pub async fn sync_registry(
    endpoint: Endpoint,
    may_end: bool,
    allowed_labels: Arc<[String]>,
    registry: Arc<Registry>,
    timeouts: NameTimeouts,
) {
    let name: Arc<str> = endpoint.to_string().into();
    let mut engine = Engine {
        unnamed: registry.unnamed(),
        registry,
        endpoint,
        name,
        allowed_labels,
        timeouts,
        unknown: HashSet::new(),
        undecodable: 0,
        was_up: None,
    };
    loop {
        match engine.follow().await {
            Ended::Stream(error) => {
                debug!(docker = %engine.name, %error, "reopening the event stream");
            }
            Ended::Daemon(error) => {
                if may_end && engine.endpoint.is_gone() {
                    engine.registry.forget_docker(&engine.name);
                    return;
                }
                engine.registry.mark_down(Api::Docker, &engine.name);
                engine.log_down(&error);
            }
        }
        sleep(engine.timeouts.retry_interval).await;
    }
}

/// Why [`Engine::follow`] returned.
enum Ended {
    /// The event stream ended. The daemon may still be up; the next list shows it.
    Stream(Error),
    /// A request failed.
    Daemon(DockerError),
}

/// Limits the time of a whole request. bollard's timeout covers only the head of the response, not its body.
async fn with_timeout<T, E: Into<DockerError>>(
    limit: Duration,
    request: impl Future<Output = Result<T, E>>,
) -> Result<T, DockerError> {
    timeout(limit, request).await.map_err(|_| DockerError::TimedOut)?.map_err(Into::into)
}

/// Returns when the daemon does not answer a ping.
async fn ping_until_failure(docker: &Docker, timeouts: &NameTimeouts) -> DockerError {
    loop {
        sleep(timeouts.ping_interval).await;
        if let Err(error) = with_timeout(timeouts.ping, docker.ping()).await {
            return error;
        }
    }
}

/// An engine that is followed.
struct Engine {
    endpoint: Endpoint,
    /// The endpoint as text.
    name: Arc<str>,
    allowed_labels: Arc<[String]>,
    registry: Arc<Registry>,
    timeouts: NameTimeouts,
    unnamed: watch::Receiver<Arc<Unnamed>>,
    /// Ids of containers without a name that the engine does not know.
    unknown: HashSet<String>,
    /// Entries of the last list that could not be decoded.
    undecodable: usize,
    /// Whether it answered when that was last logged.
    was_up: Option<bool>,
}

impl Engine {
    /// Follows the engine until something fails.
    async fn follow(&mut self) -> Ended {
        let timeouts = self.timeouts;
        // Podman asks the package manager for versions, which takes seconds on a slow disk.
        let docker = match connect(&self.endpoint, timeouts.list, timeouts.list).await {
            Ok(docker) => docker,
            Err(error) => return Ended::Daemon(error),
        };
        if let Err(error) = self.list(&docker).await {
            return Ended::Daemon(error);
        }
        self.log_up();

        let filters = HashMap::from([("type", vec!["container"]), ("event", EVENTS.to_vec())]);
        let events = docker.events(Some(EventsOptionsBuilder::new().filters(&filters).build()));
        tokio::pin!(events);
        let death = ping_until_failure(&docker, &timeouts);
        tokio::pin!(death);
        let relist = sleep(timeouts.first_relist);
        tokio::pin!(relist);
        let mut unnamed = self.unnamed.clone();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(_)) => {
                        let soon = tokio::time::Instant::now() + timeouts.debounce;
                        if relist.deadline() > soon {
                            relist.as_mut().reset(soon);
                        }
                    }
                    Some(Err(error)) => return Ended::Stream(error),
                    None => return Ended::Stream(std::io::Error::other("the stream ended").into()),
                },
                Ok(()) = unnamed.changed() => {
                    let soon = tokio::time::Instant::now() + timeouts.debounce;
                    if relist.deadline() > soon && !self.to_look_up().is_empty() {
                        relist.as_mut().reset(soon);
                    }
                }
                () = &mut relist => {
                    tokio::select! {
                        listed = self.list(&docker) => {
                            if let Err(error) = listed {
                                return Ended::Daemon(error);
                            }
                        }
                        error = &mut death => return Ended::Daemon(error),
                    }
                    relist.as_mut().reset(tokio::time::Instant::now() + timeouts.relist_interval);
                }
                error = &mut death => return Ended::Daemon(error),
            }
        }
    }

    /// Lists the running containers, and looks up those that have processes and no name.
    async fn list(&mut self, docker: &Docker) -> Result<(), DockerError> {
        let started = Instant::now();
        let request =
            |filters| list(&self.endpoint, docker, filters, &self.allowed_labels, self.timeouts.list);
        let DockerList { mut directory, undecodable } = request(running()).await?;
        if undecodable > self.undecodable {
            warn!(
                docker = %self.name,
                undecodable,
                "entries of the list of containers cannot be decoded; these containers are shown by id"
            );
        }
        self.undecodable = undecodable;
        let mut ids = self.to_look_up();
        ids.retain(|id| !directory.contains_key(id));
        if ids.is_empty() {
            self.registry.publish_docker(&self.name, directory, started);
            return Ok(());
        }
        self.registry.publish_docker(&self.name, directory.clone(), started);
        match request(HashMap::from([("id", ids.clone())])).await {
            Ok(found) => {
                // The names stay known while the containers exist, so later lists do not repeat them.
                directory.extend(found.directory);
                self.unknown.extend(ids.into_iter().filter(|id| !directory.contains_key(id)));
                self.registry.publish_docker(&self.name, directory, started);
            }
            // The engine answers otherwise, so it counts as up.
            Err(error) => {
                debug!(docker = %self.name, %error, "cannot look up containers without a name");
                self.unknown.extend(ids);
            }
        }
        let unnamed = Arc::clone(&self.unnamed.borrow());
        self.unknown.retain(|id| unnamed.of_engines.contains(id));
        Ok(())
    }

    /// Ids of containers that have no name, for which the engine was not asked.
    fn to_look_up(&self) -> Vec<String> {
        let unnamed = self.unnamed.borrow();
        unnamed
            .of_engines
            .iter()
            .filter(|id| !self.unknown.contains(*id))
            .take(MAX_LOOKUPS)
            .cloned()
            .collect()
    }

    fn log_up(&mut self) {
        if self.was_up.replace(true) != Some(true) {
            info!(docker = %self.name, "reading container names from the Docker API");
        }
    }

    fn log_down(&mut self, error: &DockerError) {
        if self.was_up.replace(false) == Some(false) {
            return;
        }
        let what = match error {
            DockerError::Undecodable(_) => "the Docker API sends a list of containers that cannot be decoded",
            _ => "the Docker API does not answer",
        };
        let error = error.to_string();
        warn!(
            docker = %self.name,
            error = %label_value(&error),
            "{what}; known names are kept, new containers are shown by id; set --docker.host, or use --no-docker to \
             disable container name lookup"
        );
    }
}

/// Filters of a list, as the API defines them.
type Filters = HashMap<&'static str, Vec<String>>;

/// Other containers usually have no processes.
fn running() -> Filters {
    HashMap::from([("status", ["running", "paused"].map(str::to_owned).to_vec())])
}

/// The containers that match all filters.
async fn list(
    endpoint: &Endpoint,
    docker: &Docker,
    filters: Filters,
    allowed_labels: &[String],
    limit: Duration,
) -> Result<DockerList, DockerError> {
    let version = docker.client_version();
    let filters = serde_json::to_string(&filters).map_err(DockerError::Undecodable)?;
    let path = format!(
        "/v{}.{}/containers/json?all=true&filters={}",
        version.major_version,
        version.minor_version,
        utf8_percent_encode(&filters, NON_ALPHANUMERIC)
    );
    // bollard decodes a list as a whole: one unexpected value would cost the names of all containers.
    let body = with_timeout(limit, endpoint.get(&path)).await?;
    decode_list(&body, allowed_labels).map_err(DockerError::Undecodable)
}
/// A client for the API version of the engine.
async fn connect(
    endpoint: &Endpoint,
    limit: Duration,
    request_limit: Duration,
) -> Result<Docker, DockerError> {
    with_timeout(limit, endpoint.client(request_limit)?.negotiate_version()).await
}

/// What one engine answered to a command.
#[derive(Debug, Default)]
pub(crate) struct OnceAnswer {
    pub directory: Directory,
    /// The pids on the host of the first processes of the wanted containers; `None` unless all of them are known.
    pub pids: Option<Vec<u32>>,
}

/// Lists the running containers once, and looks up a pid of each container that one of the `names` of the command line
/// selects, according to `is_called`. Names of no running container are also looked up among those that exited.
///
/// # Errors
/// If the daemon cannot be reached, or does not answer within `limit`.
pub(crate) async fn ask_once(
    endpoint: &Endpoint,
    limit: Duration,
    names: &[String],
    is_called: impl Fn(&str, &str, &ContainerMetadata) -> bool,
) -> Result<OnceAnswer, DockerError> {
    let deadline = tokio::time::Instant::now() + limit;
    let answer = async {
        let docker = connect(endpoint, limit, limit).await?;
        let mut directory = list(endpoint, &docker, running(), &[], limit).await?.directory;
        let is_known = |name: &String| directory.iter().any(|(id, metadata)| is_called(name, id, metadata));
        let others: Vec<String> = names.iter().filter(|name| !is_known(name)).cloned().collect();
        if !others.is_empty() {
            let found = list(endpoint, &docker, HashMap::from([("name", others)]), &[], limit).await;
            directory.extend(found.unwrap_or_default().directory);
        }
        Ok::<_, DockerError>((docker, directory))
    };
    let (docker, directory) = with_timeout(limit, answer).await?;
    let is_wanted =
        |id: &str, metadata: &ContainerMetadata| names.iter().any(|name| is_called(name, id, metadata));
    let inspect = async {
        let mut pids = Vec::new();
        for (id, _) in directory.iter().filter(|(id, metadata)| is_wanted(id, metadata)) {
            let state = docker.inspect_container(id, None).await.ok()?.state?;
            pids.push(u32::try_from(state.pid?).ok().filter(|&pid| pid > 0)?);
        }
        Some(pids)
    };
    let pids = tokio::time::timeout_at(deadline, inspect).await.ok().flatten();
    Ok(OnceAnswer { directory, pids })
}
