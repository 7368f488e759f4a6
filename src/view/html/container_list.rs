//! The page with the table of all containers, the most severe ones first.

use std::cmp::Ordering;
use std::fmt::Write as _;

use crate::model::forest::root_kinds::RootKind;
use crate::model::snapshot::{ContainerSummary, NamedSnapshot, TOO_DEEP};
use crate::view::html::page::{PageContext, duplicate_names, escape, page, path_of};
use crate::view::pids_text::pids_of_limit;

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Column {
    Name,
    Image,
    Processes,
    Depth,
    Roots,
    Zombies,
    Pids,
    Forks,
}

const COLUMNS: [(Column, &str, &str); 8] = [
    (Column::Name, "name", "Name"),
    (Column::Image, "image", "Image"),
    (Column::Processes, "processes", "Processes"),
    (Column::Depth, "depth", "Depth"),
    (Column::Roots, "roots", "Roots"),
    (Column::Zombies, "zombies", "Zombies"),
    (Column::Pids, "pids", "Pids / limit"),
    (Column::Forks, "forks", "Forks/s"),
];

/// The sort order of the table; by default, the most severe containers come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Order {
    column: Option<Column>,
    is_reversed: bool,
}

impl Order {
    /// Parses the query of a request: `sort=zombies`, `sort=-name`. Unknown columns are ignored.
    #[must_use]
    pub fn parse(query: &str) -> Self {
        let value = query.split('&').find_map(|pair| pair.strip_prefix("sort=")).unwrap_or_default();
        let (name, is_reversed) = match value.strip_prefix('-') {
            Some(name) => (name, true),
            None => (value, false),
        };
        let column = COLUMNS.iter().find(|(_, known, _)| *known == name).map(|&(column, ..)| column);
        Self { column, is_reversed: is_reversed && column.is_some() }
    }

    fn compare(self, a: &ContainerSummary, b: &ContainerSummary) -> Ordering {
        let descending = |value: fn(&ContainerSummary) -> f64| value(b).total_cmp(&value(a));
        let ordering = match self.column {
            None => descending(severity),
            Some(Column::Name) => Ordering::Equal,
            Some(Column::Image) => a.image().cmp(b.image()),
            Some(Column::Processes) => descending(|summary| summary.stats.processes as f64),
            Some(Column::Depth) => descending(|summary| f64::from(summary.stats.depth)),
            Some(Column::Roots) => descending(|summary| roots(summary) as f64),
            Some(Column::Zombies) => descending(|summary| summary.stats.zombies() as f64),
            Some(Column::Pids) => descending(pids_used_ratio),
            Some(Column::Forks) => descending(forks),
        };
        let ordering =
            ordering.then_with(|| a.name.cmp(&b.name)).then_with(|| a.container.id.cmp(&b.container.id));
        if self.is_reversed { ordering.reverse() } else { ordering }
    }
}

/// Values from here on are highlighted.
const BAD_FORKS_PER_SECOND: f64 = 50.0;

fn roots(summary: &ContainerSummary) -> u64 {
    summary.stats.roots.iter().map(|roots| roots.count).sum()
}

fn non_init_roots(summary: &ContainerSummary) -> u64 {
    // Systemd itself starts several root processes in a unit.
    if summary.container.is_unit() {
        return 0;
    }
    let count = |kind: RootKind| summary.stats.roots[kind as usize].count;
    count(RootKind::Exec) + count(RootKind::Adopted)
}

fn pids_used_ratio(summary: &ContainerSummary) -> f64 {
    summary.pids_used_ratio().unwrap_or(0.0)
}

fn forks(summary: &ContainerSummary) -> f64 {
    summary.starts.map_or(0.0, |rate| rate.per_second)
}

/// How urgently a container needs attention: a sum in which each value counts 1 when it reaches its threshold.
fn severity(summary: &ContainerSummary) -> f64 {
    let part = |value: f64, threshold: f64| (value / threshold).min(2.0);
    part(pids_used_ratio(summary), 1.0).powi(2)
        + part(summary.stats.zombies() as f64, 5.0)
        + part(forks(summary), BAD_FORKS_PER_SECOND)
        + part(non_init_roots(summary) as f64, 5.0)
        + part(f64::from(summary.stats.depth), f64::from(TOO_DEEP)).powi(2)
}

/// The complete page.
#[must_use]
pub fn render(snapshot: &NamedSnapshot, order: Order, context: &PageContext<'_>) -> String {
    let mut containers: Vec<&ContainerSummary> = snapshot.containers.iter().collect();
    containers.sort_by(|a, b| order.compare(a, b));
    let mut main = String::with_capacity(1024 + 512 * containers.len());
    let _ = writeln!(main, "<h1>Containers</h1>\n<p class=\"sum\">{}</p>", totals(snapshot));
    if containers.is_empty() {
        main.push_str("<p>No containers are running.</p>\n");
    } else {
        main.push_str("<div class=\"wide\"><table class=\"list\">\n<thead><tr>");
        for (column, name, title) in COLUMNS {
            push_header(&mut main, order, column, name, title);
        }
        main.push_str("</tr></thead>\n<tbody>\n");
        let duplicate_names = duplicate_names(snapshot);
        for summary in containers {
            push_row(&mut main, summary, &path_of(summary, &duplicate_names));
        }
        main.push_str("</tbody></table></div>\n");
        if order != Order::default() {
            main.push_str("<p><a id=\"worst\" href=\"/\">Sort by severity</a></p>\n");
        }
    }
    page("Containers", &main, snapshot, context)
}

fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

fn totals(snapshot: &NamedSnapshot) -> String {
    let total = |value: fn(&ContainerSummary) -> u64| snapshot.containers.iter().map(value).sum::<u64>();
    format!(
        "{}, {}, {}, {}.",
        counted(snapshot.containers.len() as u64, "container", "containers"),
        counted(total(|summary| summary.stats.processes), "process", "processes"),
        counted(total(|summary| summary.stats.zombies()), "zombie", "zombies"),
        counted(total(non_init_roots), "exec or adopted root process", "exec or adopted root processes"),
    )
}

fn push_header(main: &mut String, order: Order, column: Column, name: &str, title: &str) {
    let is_sorted = order.column == Some(column);
    let is_text = matches!(column, Column::Name | Column::Image);
    let reversed = if is_sorted && !order.is_reversed { "-" } else { "" };
    let aria = match (is_sorted, order.is_reversed == is_text) {
        (false, _) => "",
        (true, true) => " aria-sort=\"descending\"",
        (true, false) => " aria-sort=\"ascending\"",
    };
    let class = if is_text { "" } else { " class=\"n\"" };
    let _ = write!(
        main,
        "<th scope=\"col\"{class}{aria}><a id=\"sort-{name}\" href=\"/?sort={reversed}{name}\">{title}</a></th>"
    );
}

fn push_row(main: &mut String, summary: &ContainerSummary, path: &str) {
    let stats = &summary.stats;
    let number = |text: &str, is_bad: bool| {
        let class = if is_bad { "n bad" } else { "n" };
        format!("<td class=\"{class}\">{text}</td>")
    };
    let name = escape(&summary.name);
    let paused = if summary.paused == Some(true) { " <span class=\"mark\">paused</span>" } else { "" };
    let mut roots_text = roots(summary).to_string();
    for kind in [RootKind::Exec, RootKind::Adopted] {
        let count = stats.roots[kind as usize].count;
        if count > 0 {
            let _ = write!(roots_text, " <span class=\"mark\">{count} {}</span>", kind.label());
        }
    }
    let no_limit = || summary.pids_current.map(|current| format!("{current}, no limit"));
    let pids = pids_of_limit(summary).or_else(no_limit).unwrap_or_default();
    let starts = summary.starts.map_or(String::new(), |rate| {
        format!("{}{:.1}", if rate.is_exact { "" } else { "&ge;&#8239;" }, rate.per_second)
    });
    let _ = writeln!(
        main,
        "<tr><th scope=\"row\"><a id=\"c-{id}\" href=\"{path}\">{name}</a>{paused}</th><td>{image}</td>{}{}{}{}{}{}</tr>",
        number(&stats.processes.to_string(), false),
        number(&stats.depth.to_string(), stats.depth > TOO_DEEP),
        number(&roots_text, non_init_roots(summary) >= 5),
        number(&stats.zombies().to_string(), stats.zombies() > 0),
        number(&pids, summary.is_near_limit()),
        number(&starts, forks(summary) >= BAD_FORKS_PER_SECOND),
        id = escape(&summary.container.id),
        image = escape(summary.image()),
    );
}
