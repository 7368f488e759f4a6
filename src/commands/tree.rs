//! The command `tree`: collects once, prints the trees of the selected containers, and exits.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::selected_containers::{CollectOptions, Selected, collect};
use super::user_names::UserNameCache;
use crate::cli::config::{ColorFlag, TreeConfig};
use crate::model::process::Membership;
use crate::model::snapshot::{ContainerSummary, NamedSnapshot};
use crate::model::user_names::UserNames;
use crate::observe::procfs::cmdline::{ArgumentReaders, ArgumentsByPid};
use crate::observe::procfs::reader_pool::ReadTimeouts;
use crate::view::json;
use crate::view::rows::{Sort, arrange};
use crate::view::text::{Line, Section, Style, Title, TreeView, busy_commands, heading};
use crate::view::tree::{Highlight, Tree};

/// A process whose command line cannot be read blocks one of these threads.
pub(super) const ARGUMENT_THREADS: usize = 4;

/// How long CPU time is measured. The kernel counts it in hundredths of a second.
const USAGE_PERIOD: Duration = Duration::from_secs(1);

/// Prints the trees of the selected containers.
///
/// # Errors
/// If there is no such container, or if reading or writing fails.
pub fn tree(config: &TreeConfig) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let Selected { snapshot, containers, pids } = runtime.block_on(collect(
        &config.collector,
        &config.names,
        &config.wanted,
        CollectOptions {
            with_host: config.with_host,
            measured_for: config.busy.or((config.usage && !config.json).then_some(USAGE_PERIOD)),
            warns_without_counters: config.busy.is_some(),
        },
    ))?;
    let containers: Vec<&ContainerSummary> =
        containers.into_iter().map(|index| &snapshot.containers[index]).collect();
    let mut trees = trees_of(&snapshot, &containers, config.with_host);
    if config.wanted.is_empty() {
        sort_by_usage(&mut trees, config.layout.sort);
    }
    let lines = if config.arguments {
        let timeouts = ReadTimeouts::scaled(config.timeout_scale);
        let readers = ArgumentReaders::start(&config.collector.procfs, ARGUMENT_THREADS, timeouts)?;
        let keys = trees.iter().flat_map(|(_, tree)| tree.processes.iter().map(|process| process.key));
        runtime.block_on(readers.read(keys))
    } else {
        ArgumentsByPid::default()
    };
    for process in trees.iter_mut().flat_map(|(_, tree)| &mut tree.processes) {
        process.user = snapshot.users.get(&process.key.pid).copied();
        process.arguments = lines.get(&process.key.pid).cloned();
        if pids.contains(&process.key.pid) {
            process.highlight = Highlight::Selected;
        }
    }
    if config.json {
        return print(&as_json(&snapshot, &trees));
    }
    let timeouts = ReadTimeouts::scaled(config.timeout_scale);
    let users =
        UserNameCache::start(&config.collector.procfs, timeouts).of(&snapshot.processes, &trees, &runtime);
    print(as_text(&snapshot, trees, users, config).as_bytes())
}

/// The trees of the containers, and of the host, which has no summary.
pub(super) fn trees_of<'s>(
    snapshot: &NamedSnapshot,
    containers: &[&'s ContainerSummary],
    with_host: bool,
) -> Vec<(Option<&'s ContainerSummary>, Tree)> {
    // In a container, the host is not visible.
    let host = (with_host && snapshot.host.is_some()).then_some((None, Membership::HOST));
    let all: Vec<(Option<&ContainerSummary>, Membership)> =
        containers.iter().map(|&container| (Some(container), container.membership)).chain(host).collect();
    let memberships: Vec<Membership> = all.iter().map(|(_, membership)| *membership).collect();
    let trees = Tree::of_each(&snapshot.processes, &memberships);
    all.into_iter().map(|(container, _)| container).zip(trees).collect()
}

/// The table of the busiest commands of a container; empty without `--busy`.
pub(super) fn commands_of(
    config: &TreeConfig,
    snapshot: &NamedSnapshot,
    container: Option<&ContainerSummary>,
) -> Vec<Line> {
    let shown = container.filter(|_| config.busy.is_some());
    shown.map(|container| busy_commands::lines(snapshot, &container.numbers)).unwrap_or_default()
}

/// Sorts trees by what they use, most first, if branches are sorted so.
pub(super) fn sort_by_usage(trees: &mut [(Option<&ContainerSummary>, Tree)], sort: Sort) {
    if sort.is_by_usage() {
        trees.sort_by_cached_key(|(_, tree)| Reverse(sort.usage(&tree.usage())));
    }
}

pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start; check the limit of open files (ulimit -n)")
}

fn as_json(snapshot: &NamedSnapshot, trees: &[(Option<&ContainerSummary>, Tree)]) -> Vec<u8> {
    let documents: Vec<Vec<u8>> = trees
        .iter()
        .map(|(container, tree)| json::tree(snapshot, *container, tree).trim_ascii_end().to_vec())
        .collect();
    [b"{\"trees\":[", &documents.join(&b","[..])[..], b"]}\n"].concat()
}

fn as_text(
    snapshot: &NamedSnapshot,
    trees: Vec<(Option<&ContainerSummary>, Tree)>,
    users: Vec<Arc<UserNames>>,
    config: &TreeConfig,
) -> String {
    let style = style(config);
    let shows_all = config.wanted.is_empty();
    let mut out = String::new();
    let containers: Vec<&ContainerSummary> = trees.iter().filter_map(|(container, _)| *container).collect();
    if shows_all {
        let _ = match containers.is_empty() {
            true if config.with_host => Ok(()),
            true => writeln!(out, "no container is running here; --host shows the processes of the host"),
            false => writeln!(out, "{}\n", heading::totals(&containers).render(&style)),
        };
    }
    let sections = trees.into_iter().zip(users).filter_map(|((container, tree), users)| {
        let rows = arrange(&tree, &config.layout);
        let has_nothing_to_show = shows_all && config.layout.zombies_only && rows.is_empty();
        (!has_nothing_to_show).then(|| Section {
            title: Title::of(container),
            hides_heading: false,
            commands: commands_of(config, snapshot, container),
            tree,
            rows,
            users,
        })
    });
    let view = TreeView(sections.collect());
    for line in view.draw(0..view.len(), snapshot, &style) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// The style according to the terminal and the flags.
pub(super) fn style(config: &TreeConfig) -> Style {
    let stdout = io::stdout();
    let is_terminal = stdout.is_terminal();
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    // POSIX, "Internationalization Variables": the first variable that is set takes precedence.
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let locale = locale.to_string_lossy().to_ascii_lowercase();
    let has_color =
        is_terminal && set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb");
    Style {
        unicode: !config.ascii && (locale.contains("utf-8") || locale.contains("utf8")),
        color: match config.color {
            ColorFlag::Auto => has_color,
            ColorFlag::Always => true,
            ColorFlag::Never => false,
        },
        width: is_terminal
            .then(|| rustix::termios::tcgetwinsize(&stdout).ok())
            .flatten()
            .map(|size| usize::from(size.ws_col))
            .filter(|&columns| columns > 0),
        host_pids: config.host_pids,
        usage: config.usage,
        highlight_column: config.watch.is_some(),
    }
}

pub(super) fn print(out: &[u8]) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(out) {
        // A reader that closes the pipe early is not an error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
