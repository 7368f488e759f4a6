//! Requests to the Docker API.
//!
//! `sync_registry` keeps the registry of names up to date. It lists the running containers, then follows the event
//! stream and lists again after an event. It also lists regularly, in case events were lost, and sends pings to detect a
//! daemon that hangs. `ask_once` is one list for a command that prints and exits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder};
use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::model::collection::DockerStatus;
use crate::model::container_metadata::ContainerMetadata;
use crate::model::text::label_value;
use crate::names::config::DockerTimeouts;
use crate::names::docker_endpoint::Endpoint;
use crate::names::docker_error::DockerError;
use crate::names::registry::{Directory, Registry};

/// Events that change a name, a label or the paused state. Excludes `exec_*` and `health_status`, which every health
/// check sends.
const EVENTS: [&str; 8] = ["create", "start", "restart", "rename", "pause", "unpause", "die", "update"];

/// Keeps the registry up to date; never returns. `allowed_labels` are the Docker labels to read, in the order of the
/// flag.
pub async fn sync_registry(
    endpoint: Endpoint,
    allowed_labels: Arc<[String]>,
    registry: Arc<Registry>,
    timeouts: DockerTimeouts,
) {
    let mut was_up: Option<bool> = None;
    loop {
        let mut on_up = || {
            if was_up != Some(true) {
                info!(docker = %endpoint, "reading container names from the Docker API");
            }
            was_up = Some(true);
        };
        let ended = match endpoint.client(timeouts.list) {
            Ok(docker) => follow(&docker, &allowed_labels, &registry, &timeouts, &mut on_up).await,
            Err(error) => Ended::Daemon(error),
        };
        match ended {
            Ended::Stream(error) => debug!(docker = %endpoint, %error, "reopening the event stream"),
            Ended::Daemon(error) => {
                registry.mark_down();
                if was_up != Some(false) {
                    let error = DockerError::from(error);
                    warn!(
                        docker = %endpoint,
                        %error,
                        "the Docker API does not answer; known names are kept, new containers are shown by id; \
                         set --docker.host, or use --no-docker to disable container name lookup"
                    );
                }
                was_up = Some(false);
            }
        }
        sleep(timeouts.retry_interval).await;
    }
}

/// Why [`follow`] returned.
enum Ended {
    /// The event stream ended. The daemon may still be up; the next list shows it.
    Stream(Error),
    /// A request failed.
    Daemon(Error),
}

/// Limits the time of a whole request. bollard's timeout covers only the head of the response, not its body.
async fn with_timeout<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(limit, request).await.unwrap_or(Err(Error::RequestTimeoutError))
}

/// Returns when the daemon does not answer a ping.
async fn ping_until_failure(docker: &Docker, timeouts: &DockerTimeouts) -> Error {
    loop {
        sleep(timeouts.ping_interval).await;
        if let Err(error) = with_timeout(timeouts.ping, docker.ping()).await {
            return error;
        }
    }
}

/// Follows one daemon until something fails.
async fn follow(
    docker: &Docker,
    allowed_labels: &[String],
    registry: &Registry,
    timeouts: &DockerTimeouts,
    on_up: &mut impl FnMut(),
) -> Ended {
    let docker = match with_timeout(timeouts.ping, docker.clone().negotiate_version()).await {
        Ok(docker) => docker,
        Err(error) => return Ended::Daemon(error),
    };
    if let Err(error) = list(&docker, allowed_labels, registry, timeouts.list).await {
        return Ended::Daemon(error);
    }
    on_up();

    let filters = HashMap::from([("type", vec!["container"]), ("event", EVENTS.to_vec())]);
    let events = docker.events(Some(EventsOptionsBuilder::new().filters(&filters).build()));
    tokio::pin!(events);
    let death = ping_until_failure(&docker, timeouts);
    tokio::pin!(death);
    let relist = sleep(timeouts.first_relist);
    tokio::pin!(relist);
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
            () = &mut relist => {
                tokio::select! {
                    listed = list(&docker, allowed_labels, registry, timeouts.list) => {
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

async fn list(
    docker: &Docker,
    allowed_labels: &[String],
    registry: &Registry,
    limit: Duration,
) -> Result<(), Error> {
    let started = Instant::now();
    let directory = running_containers(docker, allowed_labels, limit).await?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let status = DockerStatus {
        up: Some(true),
        duration: started.elapsed().as_secs_f64(),
        last_success: Some(now.as_secs_f64()),
    };
    registry.publish(directory, status);
    Ok(())
}

async fn running_containers(
    docker: &Docker,
    allowed_labels: &[String],
    limit: Duration,
) -> Result<Directory, Error> {
    // Other containers have no processes.
    let filters = HashMap::from([("status", vec!["running", "paused"])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let containers = with_timeout(limit, docker.list_containers(Some(options))).await?;
    let directory = containers.into_iter().filter_map(|summary| {
        let id = summary.id.clone()?;
        Some((id, Arc::new(to_metadata(summary, allowed_labels)?)))
    });
    Ok(directory.collect())
}

/// Lists the running containers once, and looks up the pid on the host of the first process of each container that
/// `is_wanted` selects. The pids are `None` unless all of them are known before `limit` has passed.
///
/// # Errors
/// If the daemon cannot be reached, or does not answer within `limit`.
pub(crate) async fn ask_once(
    endpoint: &Endpoint,
    limit: Duration,
    is_wanted: impl Fn(&str, &ContainerMetadata) -> bool,
) -> Result<(Directory, Option<Vec<u32>>), DockerError> {
    let deadline = tokio::time::Instant::now() + limit;
    let client = endpoint.client(limit);
    let list = async {
        let docker = client?;
        let directory = running_containers(&docker, &[], limit).await?;
        Ok((docker, directory))
    };
    let (docker, directory) = with_timeout(limit, list).await?;
    let inspect = async {
        let mut pids = Vec::new();
        for (id, _) in directory.iter().filter(|(id, metadata)| is_wanted(id, metadata)) {
            let state = docker.inspect_container(id, None).await.ok()?.state?;
            pids.push(u32::try_from(state.pid?).ok().filter(|&pid| pid > 0)?);
        }
        Some(pids)
    };
    let pids = tokio::time::timeout_at(deadline, inspect).await.ok().flatten();
    Ok((directory, pids))
}

/// What is read from the description of one container. `None` if it has no name: such a container is shown by its id.
#[must_use]
pub fn to_metadata(summary: ContainerSummary, allowed_labels: &[String]) -> Option<ContainerMetadata> {
    // Links add names such as `/other/alias`; the container's own name has no second slash.
    let names = summary.names?;
    let own = names.iter().map(|name| name.trim_start_matches('/')).min_by_key(|name| name.contains('/'))?;
    let labels = summary.labels.unwrap_or_default();
    let label = |key: &str| labels.get(key).map(|value| label_value(value)).unwrap_or_default();
    Some(ContainerMetadata {
        name: label_value(own),
        image: label_value(&summary.image.unwrap_or_default()),
        compose_project: label("com.docker.compose.project"),
        compose_service: label("com.docker.compose.service"),
        labels: allowed_labels.iter().map(|key| label(key)).collect(),
        paused: summary.state == Some(ContainerSummaryStateEnum::PAUSED),
        ..ContainerMetadata::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(names: &[&str]) -> ContainerSummary {
        ContainerSummary {
            names: Some(names.iter().map(|&name| name.to_owned()).collect()),
            labels: Some(HashMap::from([
                ("com.docker.compose.service".to_owned(), "web".to_owned()),
                ("team".to_owned(), "red".to_owned()),
                ("secret".to_owned(), "x".to_owned()),
            ])),
            state: Some(ContainerSummaryStateEnum::PAUSED),
            ..ContainerSummary::default()
        }
    }

    #[test]
    fn uses_the_containers_own_name_not_that_of_a_link() {
        let metadata =
            to_metadata(summary(&["/front/db", "/db"]), &["team".into(), "absent".into()]).unwrap();
        assert_eq!(metadata.name, "db");
        assert_eq!(metadata.labels, ["red", ""]);
        assert_eq!(metadata.compose_service, "web");
        assert!(metadata.paused);
    }

    #[test]
    fn a_container_without_a_name_has_no_metadata() {
        assert_eq!(to_metadata(ContainerSummary::default(), &[]), None);
        assert_eq!(to_metadata(summary(&[]), &[]), None);
    }
}
