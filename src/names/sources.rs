//! Starts the sources of names. Each keeps its part of the registry up to date.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::warn;

use super::config::{Endpoints, NamesConfig};
use super::endpoint::Endpoint;
use super::registry::{Api, Registry};
use super::{containerd, cri, docker, kubernetes_thread};

/// Starts all sources. Must be called in a tokio runtime, in which the clients of APIs run.
///
/// # Errors
/// If no thread can be created.
pub(crate) fn start(config: NamesConfig, registry: &Arc<Registry>) -> io::Result<()> {
    let labels: Arc<[String]> = config.labels.iter().map(|label| label.key.clone()).collect();
    let (timeouts, is_expected) = (config.timeouts, config.expects_cri());
    if let Some(endpoints) = config.docker {
        let (labels, registry) = (Arc::clone(&labels), Arc::clone(registry));
        let is_default = !endpoints.is_configured();
        tokio::spawn(warn_of_missing_engine(endpoints.clone(), Arc::clone(&registry)));
        start_clients(endpoints, timeouts.search_interval, move |endpoint| {
            let within = endpoint.user_slice().filter(|_| is_default).map(Into::into);
            registry.expect(Api::Docker, &endpoint.to_string().into(), within);
            let (labels, registry) = (Arc::clone(&labels), Arc::clone(&registry));
            tokio::spawn(docker::sync_registry(endpoint, is_default, labels, registry, timeouts))
        });
    }
    if let Some(endpoints) = config.cri {
        let registry = Arc::clone(registry);
        start_clients(endpoints, timeouts.search_interval, move |endpoint| {
            let name = endpoint.to_string().into();
            registry.expect(Api::Cri, &name, None);
            registry.expect(Api::Containerd, &name, None);
            let (labels, registry) = (Arc::clone(&labels), Arc::clone(&registry));
            tokio::spawn(containerd::sync_registry(
                endpoint.clone(),
                Arc::clone(&labels),
                Arc::clone(&registry),
                timeouts,
            ));
            tokio::spawn(cri::sync_registry(endpoint, is_expected, labels, registry, timeouts))
        });
    }
    if let Some(directories) = config.kubernetes_logs {
        kubernetes_thread::start(directories, Arc::clone(registry))?;
    }
    Ok(())
}

/// Warns once if a container of Docker or Podman has no name because there is no engine to ask.
async fn warn_of_missing_engine(endpoints: Endpoints, registry: Arc<Registry>) {
    let mut unnamed = registry.unnamed();
    if unnamed.wait_for(|unnamed| !unnamed.of_engines.is_empty()).await.is_ok()
        && endpoints.current().is_empty()
    {
        warn!(
            "containers are shown by id, because no socket of Docker or Podman exists; mount it into this container, \
             set --docker.host, or use --no-docker"
        );
    }
}

/// Starts a client for each address; for default sockets also when they appear later.
fn start_clients(
    endpoints: Endpoints,
    search_interval: Duration,
    start: impl Fn(Endpoint) -> JoinHandle<()> + Send + 'static,
) {
    let mut clients: HashMap<Endpoint, JoinHandle<()>> = HashMap::new();
    let mut start_new = move |found: Vec<Endpoint>| {
        clients.retain(|_, client| !client.is_finished());
        for endpoint in found {
            clients.entry(endpoint.clone()).or_insert_with(|| start(endpoint));
        }
    };
    start_new(endpoints.current());
    if endpoints.is_configured() {
        return;
    }
    tokio::spawn(async move {
        loop {
            sleep(search_interval).await;
            start_new(endpoints.current());
        }
    });
}
