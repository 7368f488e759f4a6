//! Names of Kubernetes containers from the Container Runtime Interface, which containerd, CRI-O and others implement.
//! In addition to names, it has images and the labels of pods.
//!
//! The containers are listed at start, and again when a container of a pod has no name.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::config::NameTimeouts;
use super::cri_api::{
    Container, ListContainersResponse, ListPodSandboxResponse, ListRequest, PodSandbox, PodSandboxMetadata,
};
use super::endpoint::Endpoint;
use super::grpc::{Client, GrpcError};
use super::kubernetes::KubernetesNames;
use super::registry::{Api, Registry, Unnamed};
use crate::model::container_metadata::{PodContainer, SANDBOX};

const LIST_CONTAINERS: &str = "/runtime.v1.RuntimeService/ListContainers";
const LIST_PODS: &str = "/runtime.v1.RuntimeService/ListPodSandbox";

/// How to fix a runtime that does not answer.
pub(crate) const REMEDY: &str = "set --cri.endpoint to the socket of a runtime with the CRI API that this user may open, \
                                 or use --names.kubernetes=logs";

/// How often a container is looked for that a runtime does not list.
const MAX_LOOKUPS: u8 = 3;

/// Keeps the names of one runtime up to date; never returns. `allowed_labels` are the labels to read, in the order of the
/// flag. A runtime that never answers is reported only if `is_expected`.
pub(crate) async fn sync_registry(
    endpoint: Endpoint,
    is_expected: bool,
    allowed_labels: Arc<[String]>,
    registry: Arc<Registry>,
    timeouts: NameTimeouts,
) {
    let name: Arc<str> = endpoint.to_string().into();
    let mut unnamed = registry.unnamed();
    // Containers that were not in a list, for example those of a nested cluster, with the number of such lists.
    let mut unknown: HashMap<String, u8> = HashMap::new();
    let mut was_up: Option<bool> = None;
    let mut has_answered = false;
    loop {
        let wanted = Arc::clone(&unnamed.borrow_and_update());
        let started = Instant::now();
        match ask_once(&endpoint, timeouts.list, &allowed_labels).await {
            Ok(names) => {
                unknown.retain(|id, _| wanted.of_pods.contains(id));
                for id in wanted.of_pods.iter().filter(|id| names.container(id).is_none()) {
                    *unknown.entry(id.clone()).or_default() += 1;
                }
                registry.publish_cri(&name, names, started);
                if was_up != Some(true) {
                    info!(cri = %name, "reading names of pods from the CRI API");
                }
                (was_up, has_answered) = (Some(true), true);
            }
            Err(error) => {
                registry.mark_down(Api::Cri, &name);
                match was_up {
                    Some(false) => {}
                    None if !is_expected => debug!(cri = %name, %error, "no names of pods from this socket"),
                    _ => {
                        warn!(cri = %name, %error, "the CRI API does not answer; known names are kept; {REMEDY}");
                    }
                }
                was_up = Some(false);
            }
        }
        sleep(timeouts.retry_interval).await;
        // A runtime that went away is asked until it is back.
        let is_away = has_answered && was_up == Some(false);
        let is_worth_asking = |unnamed: &Unnamed| {
            unnamed.of_pods.iter().any(|id| unknown.get(id).is_none_or(|&lookups| lookups < MAX_LOOKUPS))
        };
        while !is_away && unnamed.changed().await.is_ok() {
            if is_worth_asking(&unnamed.borrow()) {
                break;
            }
        }
    }
}

/// Lists the containers of a runtime.
///
/// # Errors
/// If it cannot be reached, does not have this API, or does not answer within `limit`.
pub(crate) async fn ask_once(
    endpoint: &Endpoint,
    limit: Duration,
    allowed_labels: &[String],
) -> Result<KubernetesNames, GrpcError> {
    let lists = async {
        let client = Client::new(endpoint);
        let containers: ListContainersResponse = client.call(LIST_CONTAINERS, ListRequest {}, None).await?;
        let pods: ListPodSandboxResponse = client.call(LIST_PODS, ListRequest {}, None).await?;
        Ok(to_names(containers.containers, pods.items, allowed_labels))
    };
    timeout(limit, lists).await.unwrap_or(Err(GrpcError::TimedOut))
}

fn to_names(containers: Vec<Container>, pods: Vec<PodSandbox>, allowed_labels: &[String]) -> KubernetesNames {
    let mut names = KubernetesNames::default();
    let pods: HashMap<&str, (&PodSandboxMetadata, &HashMap<String, String>)> =
        pods.iter().filter_map(|pod| Some((&*pod.id, (pod.metadata.as_ref()?, &pod.labels)))).collect();
    let add = |names: &mut KubernetesNames,
               id: &str,
               pod: &str,
               container: String,
               image: String,
               own: &HashMap<_, _>| {
        let Some((metadata, labels)) = pods.get(pod) else { return };
        // The labels that users choose are those of the pod.
        let label = |key: &String| own.get(key).or_else(|| labels.get(key)).cloned().unwrap_or_default();
        names.add_container(
            id,
            PodContainer {
                namespace: metadata.namespace.clone(),
                pod: metadata.name.clone(),
                container,
                image,
                labels: allowed_labels.iter().map(label).collect(),
            },
        );
    };
    let none = HashMap::new();
    for (id, (metadata, _)) in &pods {
        names.add_pod(&metadata.uid, &metadata.namespace, &metadata.name);
        add(&mut names, id, id, SANDBOX.to_owned(), String::new(), &none);
    }
    for container in &containers {
        let Some(metadata) = &container.metadata else { continue };
        let image = container.image.clone().unwrap_or_default();
        let image =
            if image.user_specified_image.is_empty() { image.image } else { image.user_specified_image };
        add(
            &mut names,
            &container.id,
            &container.pod_sandbox_id,
            metadata.name.clone(),
            image,
            &container.labels,
        );
    }
    names
}
