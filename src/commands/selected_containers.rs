//! One collection for the commands `tree` and `roots`, which do not need a running exporter. Collects the containers
//! that the command line selects, or all containers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::collect::config::CollectorConfig;
use crate::collect::pipeline::Pipeline;
use crate::model::container_metadata::ContainerMetadata;
use crate::model::snapshot::{NamedSnapshot, Snapshot};
use crate::model::text::{label_value, name_label};
use crate::names::config::NamesConfig;
use crate::names::known_names::KnownNames;
use crate::names::once::{self, Answers};
use crate::names::registry::Names;
use crate::observe::procfs::system::{HIDEPID_ADVICE, System};
use crate::view::select::{self, Found, NotFound};

/// A collection, and the part of it that the command line selects.
pub(super) struct Selected {
    pub snapshot: NamedSnapshot,
    /// Indexes of the containers, in the order in which they are shown.
    pub containers: Vec<usize>,
    /// Pids on the host by which containers were selected.
    pub pids: Vec<u32>,
}

/// How to collect.
#[derive(Clone, Copy, Default)]
pub(super) struct CollectOptions {
    pub with_host: bool,
    /// Time between two collections, which measures CPU time; `None` to collect once.
    pub measured_for: Option<Duration>,
    /// Whether to print why the kernel does not count by command.
    pub warns_without_counters: bool,
}

/// Collects once, or twice with a pause in between.
async fn collect_over(
    pipeline: &mut Pipeline,
    inside: Option<&[u32]>,
    with_host: bool,
    period: Option<Duration>,
) -> anyhow::Result<Arc<Snapshot>> {
    if let Some(period) = period {
        pipeline.collect_for_trees(inside, with_host)?;
        tokio::time::sleep(period).await;
    }
    Ok(pipeline.collect_for_trees(inside, with_host)?)
}

/// Collects only the selected containers if Docker or a pid locates them, otherwise all containers.
pub(super) async fn collect(
    config: &CollectorConfig,
    config_of_names: &NamesConfig,
    wanted: &[String],
    CollectOptions { with_host, measured_for, warns_without_counters }: CollectOptions,
) -> anyhow::Result<Selected> {
    if System::new(&config.procfs).hides_other_users() {
        eprintln!("pstree-exporter: {HIDEPID_ADVICE}");
    }
    let Answers { mut names, pids: inside, .. } = ask_for_names(config_of_names, wanted).await;
    let pids = wanted.iter().filter_map(|name| name.parse::<u32>().ok());
    let is_found = |name: &String| {
        let mut listed = names.engines.iter().flat_map(|engine| engine.directory.iter());
        name.parse::<u32>().is_ok() || listed.any(|(id, it)| is_called(name, id, it))
    };
    let needs_all = with_host || wanted.is_empty() || !wanted.iter().all(is_found);
    let mut pipeline = Pipeline::new(config)?;
    if warns_without_counters && !pipeline.counts_events() {
        eprintln!("pstree-exporter: no rates by command: {}", pipeline.source_reason());
    }
    if let Some(mut inside) = inside.filter(|_| !needs_all) {
        inside.extend(pids);
        let snapshot = collect_over(&mut pipeline, Some(&inside), with_host, measured_for).await?;
        let snapshot = join(config_of_names, &snapshot, &mut names).await;
        // If a container has been removed, or is not where Docker says, the search continues among all containers.
        if let Ok((containers, pids)) = select(&snapshot, wanted, false) {
            return Ok(Selected { snapshot, containers, pids });
        }
    }
    let snapshot = collect_over(&mut pipeline, None, with_host, measured_for).await?;
    let snapshot = join(config_of_names, &snapshot, &mut names).await;
    let (containers, pids) = select(&snapshot, wanted, with_host)?;
    Ok(Selected { snapshot, containers, pids })
}

/// Adds names. Those in containerd are looked up by the ids of the containers that have no other name.
async fn join(config: &NamesConfig, snapshot: &Arc<Snapshot>, names: &mut Names) -> NamedSnapshot {
    let joined = KnownNames::default().join(snapshot, names, None);
    if joined.unnamed.of_containerd.is_empty() {
        return joined.snapshot;
    }
    let ids: Vec<String> = joined.unnamed.of_containerd.into_iter().collect();
    once::look_up_in_containerd(config, &ids, names).await;
    KnownNames::default().join(snapshot, names, None).snapshot
}

/// The names from all sources. Prints why one of them has none, if one should.
async fn ask_for_names(config: &NamesConfig, wanted: &[String]) -> Answers {
    // The others are selected after the collection.
    let may_be_engine_name = |name: &&String| !name.contains('/') && name.parse::<u32>().is_err();
    let names: Vec<String> = wanted.iter().filter(may_be_engine_name).cloned().collect();
    let answers = once::ask(config, config.timeouts.first_answer, &names, is_called).await;
    for (endpoint, answer) in &answers.docker {
        if let Err(error) = answer {
            let error = error.to_string();
            let error = label_value(&error);
            eprintln!(
                "pstree-exporter: cannot get names from Docker at {endpoint}, containers are shown by id: {error}"
            );
        }
    }
    for (endpoint, answer) in answers.cri.iter().filter(|_| config.expects_cri()) {
        if let Err(error) = answer {
            eprintln!("pstree-exporter: cannot get names of pods from {endpoint}: {error}");
        }
    }
    answers
}

fn is_called(name: &str, id: &str, metadata: &ContainerMetadata) -> bool {
    let is_name = !name.is_empty() && metadata.name == name_label(name) || metadata.compose_service == name;
    is_name || select::is_id_prefix(name, id)
}

/// Selects all containers, sorted by name, if none is specified. Otherwise, keeps the order of the command line.
fn select(
    snapshot: &NamedSnapshot,
    wanted: &[String],
    with_host: bool,
) -> Result<(Vec<usize>, Vec<u32>), NotFound> {
    let by_name = |containers: &mut Vec<usize>| {
        containers.sort_by(|&a, &b| snapshot.containers[a].name.cmp(&snapshot.containers[b].name));
    };
    if wanted.is_empty() {
        let mut all: Vec<usize> = (0..snapshot.containers.len()).collect();
        by_name(&mut all);
        return Ok((all, Vec::new()));
    }
    let mut selected = Vec::new();
    let mut pids = Vec::new();
    for name in wanted {
        let mut found = match select::by_any(snapshot, name) {
            // The process is on the host, which is shown.
            Err(NotFound::OnHost { pid, .. }) if with_host => {
                Found { containers: Vec::new(), selected_pid: Some(pid) }
            }
            found => found?,
        };
        by_name(&mut found.containers);
        pids.extend(found.selected_pid);
        selected.extend(found.containers);
    }
    let mut seen = HashSet::new();
    selected.retain(|&index| seen.insert(index));
    Ok((selected, pids))
}
