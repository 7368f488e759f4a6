//! Names of containers that nerdctl started, from containerd's own API. It stores names as labels of containers.
//!
//! A list of all containers contains the whole OCI specification of each, so only containers without a name are looked
//! up, by their ids.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tracing::debug;

use super::config::NameTimeouts;
use super::endpoint::Endpoint;
use super::grpc::{Client, GrpcError};
use super::registry::{Api, Directory, Registry};
use crate::model::container_metadata::ContainerMetadata;
use crate::model::text::{label_value, name_label};

const GET: &str = "/containerd.services.containers.v1.Containers/Get";
const LIST_NAMESPACES: &str = "/containerd.services.namespaces.v1.Namespaces/List";
/// The label with the name (nerdctl, `pkg/labels/labels.go`).
const NAME: &str = "nerdctl/name";
/// Limit on the containers that are looked up at once.
const MAX_LOOKUPS: usize = 64;

/// containerd, `api/services/namespaces/v1/namespace.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct ListNamespacesRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct ListNamespacesResponse {
    #[prost(message, repeated, tag = "1")]
    namespaces: Vec<Namespace>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Namespace {
    #[prost(string, tag = "1")]
    name: String,
}

/// containerd, `api/services/containers/v1/containers.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct GetRequest {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GetResponse {
    #[prost(message, optional, tag = "1")]
    container: Option<Container>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Container {
    #[prost(map = "string, string", tag = "2")]
    labels: HashMap<String, String>,
    #[prost(string, tag = "3")]
    image: String,
}

/// Looks up containers that have no name, when there are new ones. Returns if the runtime is not containerd.
pub(crate) async fn sync_registry(
    endpoint: Endpoint,
    allowed_labels: Arc<[String]>,
    registry: Arc<Registry>,
    timeouts: NameTimeouts,
) {
    let name: Arc<str> = endpoint.to_string().into();
    let mut unnamed = registry.unnamed();
    // There may be some already.
    unnamed.mark_changed();
    // Those without a name in containerd.
    let mut nameless: HashSet<String> = HashSet::new();
    while unnamed.changed().await.is_ok() {
        let mut ids: Vec<String> = {
            let unnamed = unnamed.borrow_and_update();
            nameless.retain(|id| unnamed.of_containerd.contains(id));
            unnamed.of_containerd.iter().filter(|id| !nameless.contains(*id)).cloned().collect()
        };
        if ids.is_empty() {
            continue;
        }
        let has_more = ids.len() > MAX_LOOKUPS;
        ids.truncate(MAX_LOOKUPS);
        let started = Instant::now();
        let has_failed = match look_up(&endpoint, &ids, &allowed_labels, timeouts.list).await {
            Ok(found) => {
                nameless.extend(ids.into_iter().filter(|id| !found.contains_key(id)));
                // Names stay known while the containers exist.
                registry.publish_containerd(&name, found, started);
                false
            }
            Err(GrpcError::Unimplemented) => return registry.mark_down(Api::Containerd, &name),
            Err(error) => {
                debug!(containerd = %name, %error, "no names from containerd");
                registry.mark_down(Api::Containerd, &name);
                true
            }
        };
        if has_more || has_failed {
            unnamed.mark_changed();
        }
        sleep(if has_failed { timeouts.search_interval } else { timeouts.retry_interval }).await;
    }
}

/// What containerd knows of these containers.
///
/// # Errors
/// If it cannot be reached, does not have this API, or does not answer within `limit`.
pub(crate) async fn look_up(
    endpoint: &Endpoint,
    ids: &[String],
    allowed_labels: &[String],
    limit: Duration,
) -> Result<Directory, GrpcError> {
    let lookups = async {
        let client = Client::new(endpoint);
        let namespaces: ListNamespacesResponse =
            client.call(LIST_NAMESPACES, ListNamespacesRequest {}, None).await?;
        let mut found = Directory::new();
        for id in ids.iter().take(MAX_LOOKUPS) {
            for namespace in &namespaces.namespaces {
                let request = GetRequest { id: id.clone() };
                match client.call::<GetResponse>(GET, request, Some(&namespace.name)).await {
                    Ok(response) => {
                        let metadata = response.container.and_then(|it| to_metadata(&it, allowed_labels));
                        found.extend(metadata.map(|metadata| (id.clone(), Arc::new(metadata))));
                        break;
                    }
                    Err(GrpcError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found)
    };
    timeout(limit, lookups).await.unwrap_or(Err(GrpcError::TimedOut))
}

/// `None` if the container has no name: it is shown by its id.
fn to_metadata(container: &Container, allowed_labels: &[String]) -> Option<ContainerMetadata> {
    let label = |key: &str| container.labels.get(key).map(|value| label_value(value)).unwrap_or_default();
    Some(ContainerMetadata {
        name: name_label(container.labels.get(NAME).filter(|name| !name.is_empty())?),
        image: label_value(&container.image),
        compose_project: label("com.docker.compose.project"),
        compose_service: label("com.docker.compose.service"),
        labels: allowed_labels.iter().map(|key| label(key)).collect(),
        ..ContainerMetadata::default()
    })
}
