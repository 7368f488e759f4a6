//! The commands `tree` and `roots`: look once, print, end.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Context as _;

use crate::cli::config::{ColorFlag, TreeConfig};
use crate::collect::config::CollectorConfig;
use crate::commands::collect_once::{Look, look};
use crate::model::container_metadata::ContainerMetadata;
use crate::model::process::Membership;
use crate::model::snapshot::{ContainerSummary, NamedSnapshot};
use crate::model::text::sanitize;
use crate::model::user_names::Users;
use crate::names::config::DockerConfig;
use crate::names::docker;
use crate::names::registry::Directory;
use crate::observe::procfs::cmdline::{ArgumentReaders, ArgumentTimeouts, CommandLines};
use crate::observe::procfs::system::{HIDEPID_ADVICE, System};
use crate::view::json;
use crate::view::rows::arrange;
use crate::view::select::{self, Found, NotFound};
use crate::view::text::columns::Style;
use crate::view::text::heading;
use crate::view::text::tree_view::{Section, TreeView};
use crate::view::tree::{Mark, Tree};

/// Each process that never answers takes one of them.
pub(crate) const ARGUMENT_THREADS: usize = 4;

/// Prints the trees that are asked for.
///
/// # Errors
/// When there is no such container, or nothing can be read or written.
pub fn tree(config: &TreeConfig) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let Seen { look, containers, asked } =
        runtime.block_on(see(&config.collector, config.docker.as_ref(), &config.wanted, config.with_host))?;
    let snapshot = &look.snapshot;
    let containers: Vec<&ContainerSummary> =
        containers.into_iter().map(|index| &snapshot.containers[index]).collect();
    let mut trees = trees_of(snapshot, &containers, config.with_host);
    let lines = if config.arguments {
        let timeouts = ArgumentTimeouts::scaled(config.timeout_scale);
        let readers = ArgumentReaders::start(&config.collector.procfs, ARGUMENT_THREADS, timeouts)?;
        let keys = trees.iter().flat_map(|(_, tree)| tree.processes.iter().map(|process| process.key));
        runtime.block_on(readers.read(keys))
    } else {
        CommandLines::default()
    };
    for process in trees.iter_mut().flat_map(|(_, tree)| &mut tree.processes) {
        process.user = look.users.get(&process.key.pid).copied();
        process.arguments = lines.get(&process.key.pid).cloned();
        if asked == Some(process.key.pid) {
            process.mark = Mark::Selected;
        }
    }
    let out = if config.json { as_json(&look, &trees) } else { as_text(&look, trees, config).into_bytes() };
    print(&out)
}

/// The trees of containers, and of the host, which has no card.
pub(crate) fn trees_of<'m>(
    snapshot: &'m NamedSnapshot,
    containers: &[&'m ContainerSummary],
    with_host: bool,
) -> Vec<(Option<&'m ContainerSummary>, Tree)> {
    let host = with_host.then_some((None, Membership::HOST));
    let all: Vec<(Option<&ContainerSummary>, Membership)> =
        containers.iter().map(|&card| (Some(card), card.membership)).chain(host).collect();
    let resolver: Vec<Membership> = all.iter().map(|(_, membership)| *membership).collect();
    let trees = Tree::of_each(&snapshot.processes, &resolver);
    all.into_iter().map(|(card, _)| card).zip(trees).collect()
}

pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start; are there descriptors left (ulimit -n)?")
}

pub(crate) struct Seen {
    pub(crate) look: Look,
    /// Indexes of what is wanted, in the order in which it is shown.
    pub(crate) containers: Vec<usize>,
    pub(crate) asked: Option<u32>,
}

/// Looks no further than at what is wanted, where Docker or a pid tells where that is.
pub(crate) async fn see(
    collector: &CollectorConfig,
    docker: Option<&DockerConfig>,
    wanted: &[String],
    with_host: bool,
) -> anyhow::Result<Seen> {
    if System::new(&collector.procfs).hides_processes() {
        eprintln!("pstree-exporter: {}", HIDEPID_ADVICE);
    }
    let (directory, inside) = ask_docker(docker, wanted).await;
    let pids = wanted.iter().filter_map(|name| name.parse::<u32>().ok());
    let is_found = |name: &String| {
        name.parse::<u32>().is_ok() || directory.iter().any(|(id, it)| is_called(name, id, it))
    };
    let is_whole = with_host || wanted.is_empty() || !wanted.iter().all(is_found);
    if let Some(mut inside) = inside.filter(|_| !is_whole) {
        inside.extend(pids);
        let look = look(collector, &directory, Some(&inside), false)?;
        // Whoever went meanwhile, or is not where Docker says, is looked for everywhere.
        if let Ok((containers, asked)) = choose(&look, wanted, false) {
            return Ok(Seen { look, containers, asked });
        }
    }
    let look = look(collector, &directory, None, with_host)?;
    let (containers, asked) = choose(&look, wanted, with_host)?;
    Ok(Seen { look, containers, asked })
}

/// The names, and where what is wanted begins; the latter `None` where that is not known of all.
async fn ask_docker(docker: Option<&DockerConfig>, wanted: &[String]) -> (Directory, Option<Vec<u32>>) {
    let nothing = || (Directory::default(), Some(Vec::new()));
    let Some(docker) = docker.filter(|docker| docker.endpoint.is_expected()) else { return nothing() };
    let is_wanted =
        |id: &str, metadata: &ContainerMetadata| wanted.iter().any(|name| is_called(name, id, metadata));
    let answer = docker::ask_once(&docker.endpoint, docker.timeouts.first_answer, is_wanted).await;
    answer.unwrap_or_else(|error| {
        let error = sanitize(error.as_bytes()).into_owned();
        eprintln!("pstree-exporter: no names from Docker, containers are shown by id: {error}");
        nothing()
    })
}

fn is_called(name: &str, id: &str, metadata: &ContainerMetadata) -> bool {
    let is_name =
        !name.is_empty() && [&metadata.name, &metadata.compose_service].into_iter().any(|it| it == name);
    is_name || select::is_beginning(name, id)
}

/// All containers by name where none is named; else in the order in which they are.
fn choose(look: &Look, wanted: &[String], with_host: bool) -> Result<(Vec<usize>, Option<u32>), NotFound> {
    let snapshot = &look.snapshot;
    let by_name = |containers: &mut Vec<usize>| {
        containers.sort_by(|&a, &b| snapshot.containers[a].name.cmp(&snapshot.containers[b].name))
    };
    if wanted.is_empty() {
        let mut all: Vec<usize> = (0..snapshot.containers.len()).collect();
        by_name(&mut all);
        return Ok((all, None));
    }
    let mut chosen = Vec::new();
    let mut asked = None;
    for name in wanted {
        let mut found = match select::by_any(snapshot, name) {
            // It is among those that are shown.
            Err(NotFound::OnHost { pid, .. }) if with_host => {
                Found { containers: Vec::new(), asked: Some(pid) }
            }
            found => found?,
        };
        by_name(&mut found.containers);
        asked = asked.or(found.asked);
        chosen.extend(found.containers);
    }
    let mut seen = std::collections::HashSet::new();
    chosen.retain(|&index| seen.insert(index));
    Ok((chosen, asked))
}

fn as_json(look: &Look, trees: &[(Option<&ContainerSummary>, Tree)]) -> Vec<u8> {
    let documents: Vec<Vec<u8>> = trees
        .iter()
        .map(|(card, tree)| json::tree(&look.snapshot, *card, tree).trim_ascii_end().to_vec())
        .collect();
    [b"{\"trees\":[", &documents.join(&b","[..])[..], b"]}\n"].concat()
}

fn as_text(look: &Look, trees: Vec<(Option<&ContainerSummary>, Tree)>, config: &TreeConfig) -> String {
    let style = style(config);
    let snapshot = &look.snapshot;
    let shows_all = config.wanted.is_empty();
    let mut out = String::new();
    let containers: Vec<&ContainerSummary> = trees.iter().filter_map(|(card, _)| *card).collect();
    if shows_all {
        let _ = match containers.is_empty() {
            true if config.with_host => Ok(()),
            true => writeln!(out, "no container runs here; --host shows the processes of the host"),
            false => writeln!(out, "{}\n", heading::summary(&containers).finish(&style)),
        };
    }
    let sections = trees.into_iter().filter_map(|(card, tree)| {
        let heading = match card {
            Some(card) => heading::heading(card),
            None => heading::host_heading(snapshot.host.as_ref()?, snapshot.host_kernel_threads),
        };
        let rows = arrange(&tree, &config.layout);
        let is_beside_the_point = shows_all && config.layout.zombies_only && rows.is_empty();
        (!is_beside_the_point).then_some(Section { heading: Some(heading), tree, rows })
    });
    let picture = TreeView(sections.collect());
    for line in picture.draw(0..picture.len(), (snapshot, &Users::read()), &style) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// What the terminal can show, and what the flags say.
pub(crate) fn style(config: &TreeConfig) -> Style {
    let stdout = io::stdout();
    let is_terminal = stdout.is_terminal();
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    // POSIX, "Internationalization Variables": the first of these that is set counts.
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let locale = locale.to_string_lossy().to_ascii_lowercase();
    let knows_color =
        is_terminal && set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb");
    Style {
        unicode: !config.ascii && (locale.contains("utf-8") || locale.contains("utf8")),
        color: match config.color {
            ColorFlag::Auto => knows_color,
            ColorFlag::Always => true,
            ColorFlag::Never => false,
        },
        width: is_terminal
            .then(|| rustix::termios::tcgetwinsize(&stdout).ok())
            .flatten()
            .map(|size| usize::from(size.ws_col))
            .filter(|&columns| columns > 0),
        host_pids: config.host_pids,
        marks: config.watch.is_some(),
    }
}

pub(crate) fn print(out: &[u8]) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(out) {
        // A reader that has seen enough is no failure of ours.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
