//! Asks every source of names once, for a command that prints and exits.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::config::{Endpoints, NamesConfig};
use super::containerd;
use super::cri;
use super::docker::{self, OnceAnswer};
use super::docker_error::DockerError;
use super::endpoint::Endpoint;
use super::grpc::GrpcError;
use super::kubernetes_logs::read_names;
use super::registry::{EngineNames, Names};
use crate::model::container_metadata::ContainerMetadata;

/// The answers of all sources.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub names: Names,
    /// The pids on the host of the first processes of the wanted containers; `None` unless all of them are known.
    pub pids: Option<Vec<u32>>,
    /// The number of containers that each engine lists.
    pub docker: Vec<(Endpoint, Result<usize, DockerError>)>,
    /// Whether each CRI runtime answered.
    pub cri: Vec<(Endpoint, Result<(), GrpcError>)>,
}

/// Asks all sources, each for at most `limit`. `wanted` are the names of the command line, and `is_called` decides whether
/// one of them is that of a container with this id and metadata.
pub(crate) async fn ask(
    config: &NamesConfig,
    limit: Duration,
    wanted: &[String],
    is_called: impl Fn(&str, &str, &ContainerMetadata) -> bool,
) -> Answers {
    let is_default = config.docker.as_ref().is_some_and(|docker| !docker.is_configured());
    let (is_called, labels) =
        (&is_called, &config.labels.iter().map(|it| it.key.clone()).collect::<Vec<_>>());
    let engines = join_all(current(config.docker.as_ref()).into_iter().map(|endpoint| async move {
        let answer = docker::ask_once(&endpoint, limit, wanted, is_called).await;
        (endpoint, answer)
    }));
    let runtimes = join_all(current(config.cri.as_ref()).into_iter().map(|endpoint| async move {
        let answer = cri::ask_once(&endpoint, limit, labels).await;
        (endpoint, answer)
    }));
    let (engines, runtimes) = tokio::join!(engines, runtimes);
    let mut answers = Answers { pids: Some(Vec::new()), ..Answers::default() };
    for (endpoint, answer) in engines {
        let answer = answer.map(|OnceAnswer { directory, pids }| {
            let known = answers.pids.take().zip(pids);
            answers.pids = known.map(|(all, pids)| [all, pids].concat());
            let count = directory.len();
            let within = endpoint.user_slice().filter(|_| is_default).map(Into::into);
            answers.names.engines.push(EngineNames { directory: Arc::new(directory), within });
            count
        });
        answers.docker.push((endpoint, answer));
    }
    for (endpoint, answer) in runtimes {
        let answer = answer.map(|names| answers.names.cri.push(Arc::new(names)));
        answers.cri.push((endpoint, answer));
    }
    answers.names.logs = config.kubernetes_logs.as_ref().and_then(read_names).map(Arc::new);
    answers
}

/// Adds what containerd knows of these containers.
pub(crate) async fn look_up_in_containerd(config: &NamesConfig, ids: &[String], names: &mut Names) {
    let labels: Vec<String> = config.labels.iter().map(|it| it.key.clone()).collect();
    for endpoint in current(config.cri.as_ref()) {
        if let Ok(found) = containerd::look_up(&endpoint, ids, &labels, config.timeouts.first_answer).await {
            names.engines.push(EngineNames { directory: Arc::new(found), within: None });
        }
    }
}

fn current(endpoints: Option<&Endpoints>) -> Vec<Endpoint> {
    endpoints.map(Endpoints::current).unwrap_or_default()
}
