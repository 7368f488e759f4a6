//! The page of one container with its numbers and its forest.

use std::fmt::Write as _;

use crate::model::forest::root_kinds::RootKind;
use crate::model::process::ProcessState;
use crate::model::snapshot::{ContainerSummary, NamedSnapshot, TOO_DEEP};
use crate::model::text::sanitize;
use crate::view::html::page::{PageContext, duplicate_names, escape, page, path_of};
use crate::view::pids_text::pids_of_limit;
use crate::view::process_text;
use crate::view::rows::{Row, RowOptions, Sort, arrange};
use crate::view::text::{BranchGlyphs, Style};
use crate::view::tree::{Process, Tree};

/// Limit on the rows of a page, so that browsers stay responsive. JSON has no limit.
const MAX_ROWS: usize = 2_000;
/// Once a page has this size, further arguments are omitted. Rows without arguments add less than 1 MiB.
const MAX_BYTES_WITH_ARGUMENTS: usize = 4 << 20;

/// The orders of siblings, each with the value of `sort` in a query and the text of its link.
const SORTS: [(Sort, &str, &str); 4] = [
    (Sort::Pid, "pid", "Sort by pid"),
    (Sort::Age, "age", "Sort by age"),
    (Sort::Cpu, "cpu", "Sort by CPU"),
    (Sort::Memory, "memory", "Sort by memory"),
];

/// What the page shows of the forest, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ViewOptions {
    pub fold: bool,
    pub zombies_only: bool,
    pub sort: Sort,
}

impl ViewOptions {
    /// Parses the query of a request: `fold=0`, `zombies=1`, `sort=age`, `sort=cpu` or
    /// `sort=memory`.
    #[must_use]
    pub fn parse(query: &str) -> Self {
        let has = |option: &str| query.split('&').any(|pair| pair == option);
        let wanted = query.split('&').find_map(|pair| pair.strip_prefix("sort="));
        let sort = SORTS.into_iter().find(|(_, name, _)| Some(*name) == wanted).map_or(Sort::Pid, |it| it.0);
        Self { fold: !has("fold=0"), zombies_only: has("zombies=1"), sort }
    }

    fn query(self) -> String {
        let order = SORTS.into_iter().find(|(sort, ..)| *sort == self.sort && *sort != Sort::Pid);
        let parts = [
            (!self.fold).then(|| "fold=0".to_owned()),
            self.zombies_only.then(|| "zombies=1".to_owned()),
            order.map(|(_, name, _)| format!("sort={name}")),
        ];
        let set: Vec<String> = parts.into_iter().flatten().collect();
        if set.is_empty() { String::new() } else { format!("?{}", set.join("&amp;")) }
    }
}

/// The complete page.
#[must_use]
pub fn render(
    snapshot: &NamedSnapshot,
    summary: &ContainerSummary,
    tree: &Tree,
    options: ViewOptions,
    context: &PageContext<'_>,
) -> String {
    let row_options = RowOptions {
        sort: options.sort,
        fold: options.fold,
        max_depth: None,
        zombies_only: options.zombies_only,
    };
    let rows = arrange(tree, &row_options);
    let path = path_of(summary, &duplicate_names(snapshot));
    let mut main = String::with_capacity(4096 + 256 * rows.len().min(MAX_ROWS));
    let _ = writeln!(main, "<h1>{}</h1>", escape(&summary.name));
    push_facts(&mut main, summary);
    push_option_links(&mut main, &path, options);
    if rows.is_empty() {
        main.push_str("<p>No processes to show.</p>\n");
    } else {
        push_rows(&mut main, snapshot, tree, &rows);
    }
    if let Some(more) = rows.len().checked_sub(MAX_ROWS).filter(|&more| more > 0) {
        let _ = writeln!(
            main,
            "<p class=\"alarm\">{more} more rows are not shown. The JSON has all of them.</p>"
        );
    }
    let _ = writeln!(
        main,
        "<p><a id=\"json\" href=\"/api/v1{path}/tree\">Process forest as JSON</a></p>\n<p><a id=\"all\" href=\"/\">All containers</a></p>"
    );
    page(&summary.name, &main, snapshot, context)
}

fn push_facts(main: &mut String, summary: &ContainerSummary) {
    let stats = &summary.stats;
    let zombies = stats.zombies();
    let mut facts = vec![
        ("Processes", stats.processes.to_string(), false),
        ("Threads", stats.threads.to_string(), false),
        ("Depth", stats.depth.to_string(), stats.depth > TOO_DEEP),
        ("Roots", stats.roots_by_kind().join(", "), false),
        ("Zombies", zombies.to_string(), zombies > 0),
    ];
    let no_limit = || summary.pids_current.map(|current| format!("{current} no limit"));
    if let Some(pids) = pids_of_limit(summary).or_else(no_limit) {
        facts.push(("Pids", pids, summary.is_near_limit()));
    }
    if let Some(rate) = summary.starts {
        let at_least = if rate.is_exact { "" } else { "at least " };
        facts.push(("Forks/s", format!("{at_least}{:.1}", rate.per_second), false));
    }
    if summary.paused == Some(true) {
        facts.push(("State", "paused".to_owned(), true));
    }
    facts.push(("Image", escape(summary.image()), false));
    facts.push(("Runtime", summary.container.runtime.label().to_owned(), false));
    main.push_str("<dl>\n");
    for (name, value, is_bad) in facts.into_iter().filter(|(_, value, _)| !value.is_empty()) {
        let class = if is_bad { " class=\"bad\"" } else { "" };
        let _ = writeln!(main, "<div><dt>{name}</dt><dd{class}>{value}</dd></div>");
    }
    main.push_str("</dl>\n");
}

/// Links to the same page, each with one option changed.
fn push_option_links(main: &mut String, path: &str, options: ViewOptions) {
    let links = [
        (
            "fold",
            if options.fold { "Unfold" } else { "Fold" },
            ViewOptions { fold: !options.fold, ..options },
        ),
        (
            "zombies",
            if options.zombies_only { "All processes" } else { "Zombies only" },
            ViewOptions { zombies_only: !options.zombies_only, ..options },
        ),
    ];
    let orders = SORTS.into_iter().filter(|(sort, ..)| *sort != options.sort);
    let orders = orders.map(|(sort, id, text)| (id, text, ViewOptions { sort, ..options }));
    main.push_str("<p class=\"choices\">");
    for (id, text, changed) in links.into_iter().chain(orders) {
        let _ = write!(main, "<a id=\"{id}\" href=\"{path}{}\">{text}</a> ", changed.query());
    }
    main.push_str("</p>\n");
}

fn push_rows(main: &mut String, snapshot: &NamedSnapshot, tree: &Tree, rows: &[Row]) {
    main.push_str(
        "<div class=\"wide\"><table class=\"forest\">\n<thead><tr><th scope=\"col\" class=\"n\">Pid</th>\
         <th scope=\"col\" class=\"n\">Host</th><th scope=\"col\" class=\"n\">Age</th>\
         <th scope=\"col\" class=\"n\">CPU%</th>\
         <th scope=\"col\" class=\"n\">RES</th>\
         <th scope=\"col\">Root</th>\
         <th scope=\"col\">State</th><th scope=\"col\">Command</th></tr></thead>\n<tbody>\n",
    );
    let style = Style {
        unicode: true,
        color: false,
        width: None,
        host_pids: true,
        usage: true,
        highlight_column: false,
    };
    let mut branches = BranchGlyphs::new(&style);
    for row in rows.iter().take(MAX_ROWS) {
        branches.advance(row);
        push_row(main, snapshot, &tree.processes[row.process], row, &branches.text());
    }
    if main.len() >= MAX_BYTES_WITH_ARGUMENTS {
        main.push_str(
            "<tr><td colspan=\"8\">Arguments are missing from here on: the page reached its size limit.</td></tr>\n",
        );
    }
    main.push_str("</tbody></table></div>\n");
}

fn push_row(main: &mut String, snapshot: &NamedSnapshot, process: &Process, row: &Row, branches: &str) {
    // The plus stands for the other processes of a folded row.
    let plus = if row.count > 1 { "+" } else { "" };
    let class = match process.state {
        ProcessState::Zombie | ProcessState::Dead => " class=\"bad\"",
        ProcessState::Stopped | ProcessState::TracingStop | ProcessState::DiskSleep => " class=\"warn\"",
        _ => "",
    };
    let state = process_text::state(process.state);
    let kind = process_text::root(process);
    let kind_class =
        if matches!(process.kind, Some(RootKind::Exec | RootKind::Adopted)) { "warn" } else { "" };
    let command = process_text::command(process);
    let _ = write!(
        main,
        "<tr id=\"p{host}-{start}\"{class}><td class=\"n\">{pid}{plus}</td><td class=\"n\">{host}{plus}</td><td class=\"n\">{age}</td>\
         <td class=\"n\">{cpu}</td><td class=\"n\">{resident}</td><td class=\"{kind_class}\">{kind}</td><td>{state}</td><td class=\"command\"><span class=\"branches\">{branches}</span>",
        host = process.key.pid,
        start = process.key.start_time,
        pid = process.pid,
        age = snapshot.age(process.key).map(process_text::age).unwrap_or_default(),
        cpu = process_text::cpu(snapshot, &row.usage),
        resident = process_text::size(snapshot.bytes(row.usage.total.resident_pages)),
    );
    let _ = match row.count {
        1 => write!(main, "<b>{}</b>", escape(&command)),
        count => write!(main, "{count}*[<b>{}</b>]", escape(&command)),
    };
    if process.threads > 1 {
        let _ = write!(main, " <span class=\"threads\">{{{}}}</span>", process.threads);
    }
    for argument in process_text::arguments(process) {
        // The container decides how many and how long they are.
        if main.len() >= MAX_BYTES_WITH_ARGUMENTS {
            break;
        }
        let _ = write!(main, " {}", escape(&sanitize(argument)));
    }
    main.push_str("</td></tr>\n");
}
