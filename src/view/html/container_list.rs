//! The first page: all containers, the worst first. Pure.

use std::cmp::Ordering;
use std::fmt::Write as _;

use crate::model::forest::root_kinds::RootKind;
use crate::model::snapshot::{ContainerSummary, NamedSnapshot, TOO_DEEP};
use crate::view::html::page::{PageContext, escape, page, path_of, shared_names};

/// A column that the table can be sorted by.
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
    (Column::Pids, "pids", "Pids of limit"),
    (Column::Forks, "forks", "Forks a second"),
];

/// How the table is sorted; the worst first where nobody says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Order {
    column: Option<Column>,
    is_reversed: bool,
}

impl Order {
    /// From the query of a request: `sort=zombies`, `sort=-name`. What is unknown counts as not there.
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
        let most = |of: fn(&ContainerSummary) -> f64| of(b).total_cmp(&of(a));
        let ordering = match self.column {
            None => most(severity),
            Some(Column::Name) => Ordering::Equal,
            Some(Column::Image) => a.image().cmp(b.image()),
            Some(Column::Processes) => most(|card| card.stats.processes as f64),
            Some(Column::Depth) => most(|card| f64::from(card.stats.depth)),
            Some(Column::Roots) => most(|card| roots(card) as f64),
            Some(Column::Zombies) => most(|card| card.stats.zombies() as f64),
            Some(Column::Pids) => most(pids_share),
            Some(Column::Forks) => most(forks),
        };
        let ordering =
            ordering.then_with(|| a.name.cmp(&b.name)).then_with(|| a.container.id.cmp(&b.container.id));
        if self.is_reversed { ordering.reverse() } else { ordering }
    }
}

/// From here on a value is coloured as bad.
const BAD_FORKS: f64 = 50.0;

fn roots(card: &ContainerSummary) -> u64 {
    card.stats.roots.iter().map(|roots| roots.count).sum()
}

fn came_later(card: &ContainerSummary) -> u64 {
    let count = |kind: RootKind| card.stats.roots[kind as usize].count;
    count(RootKind::Exec) + count(RootKind::Adopted)
}

fn pids_share(card: &ContainerSummary) -> f64 {
    card.pids_share().unwrap_or(0.0)
}

fn forks(card: &ContainerSummary) -> f64 {
    card.starts.map_or(0.0, |rate| rate.per_second)
}

/// How much a container wants to be looked at: what is bad counts for 1, and what is on its way for a part.
fn severity(card: &ContainerSummary) -> f64 {
    let part = |value: f64, bad: f64| (value / bad).min(2.0);
    part(pids_share(card), 1.0).powi(2)
        + part(card.stats.zombies() as f64, 5.0)
        + part(forks(card), BAD_FORKS)
        + part(came_later(card) as f64, 5.0)
        + part(f64::from(card.stats.depth), f64::from(TOO_DEEP)).powi(2)
}

/// The whole page.
#[must_use]
pub fn render(snapshot: &NamedSnapshot, order: Order, context: &PageContext<'_>) -> String {
    let mut cards: Vec<&ContainerSummary> = snapshot.containers.iter().collect();
    cards.sort_by(|a, b| order.compare(a, b));
    let mut main = String::with_capacity(1024 + 512 * cards.len());
    let _ = writeln!(main, "<h1>Containers</h1>\n<p class=\"sum\">{}</p>", sum(snapshot));
    if cards.is_empty() {
        main.push_str("<p>No container runs here.</p>\n");
    } else {
        main.push_str("<div class=\"wide\"><table class=\"list\">\n<thead><tr>");
        for (column, name, title) in COLUMNS {
            push_header(&mut main, order, column, name, title);
        }
        main.push_str("</tr></thead>\n<tbody>\n");
        let shared = shared_names(snapshot);
        for card in cards {
            push_row(&mut main, card, &path_of(card, &shared));
        }
        main.push_str("</tbody></table></div>\n");
        if order != Order::default() {
            main.push_str("<p><a id=\"worst\" href=\"/\">The worst first</a></p>\n");
        }
    }
    page("Containers", &main, snapshot, context)
}

fn sum(snapshot: &NamedSnapshot) -> String {
    let all = |of: fn(&ContainerSummary) -> u64| snapshot.containers.iter().map(of).sum::<u64>();
    format!(
        "{} running, with {} processes, {} zombies, and {} that came in by exec or were adopted.",
        snapshot.containers.len(),
        all(|card| card.stats.processes),
        all(|card| card.stats.zombies()),
        all(came_later),
    )
}

fn push_header(main: &mut String, order: Order, column: Column, name: &str, title: &str) {
    let is_sorted = order.column == Some(column);
    let is_text = matches!(column, Column::Name | Column::Image);
    let reversal = if is_sorted && !order.is_reversed { "-" } else { "" };
    let aria = match (is_sorted, order.is_reversed == is_text) {
        (false, _) => "",
        (true, true) => " aria-sort=\"descending\"",
        (true, false) => " aria-sort=\"ascending\"",
    };
    let class = if is_text { "" } else { " class=\"n\"" };
    let _ = write!(
        main,
        "<th scope=\"col\"{class}{aria}><a id=\"sort-{name}\" href=\"/?sort={reversal}{name}\">{title}</a></th>"
    );
}

fn push_row(main: &mut String, card: &ContainerSummary, path: &str) {
    let stats = &card.stats;
    let number = |text: &str, is_bad: bool| {
        let class = if is_bad { "n bad" } else { "n" };
        format!("<td class=\"{class}\">{text}</td>")
    };
    let name = escape(&card.name);
    let paused = if card.paused == Some(true) { " <span class=\"mark\">paused</span>" } else { "" };
    let mut roots_text = roots(card).to_string();
    for kind in [RootKind::Exec, RootKind::Adopted] {
        let count = stats.roots[kind as usize].count;
        if count > 0 {
            let _ = write!(roots_text, " <span class=\"mark\">{count} {}</span>", kind.label());
        }
    }
    let pids = match (card.pids_current, card.pids_limit) {
        (Some(current), Some(limit)) => format!("{current} of {limit}"),
        (Some(current), None) => format!("{current}, no limit"),
        (None, _) => String::new(),
    };
    let starts = card.starts.map_or(String::new(), |rate| {
        format!("{}{:.1}", if rate.is_exact { "" } else { "&ge;&#8239;" }, rate.per_second)
    });
    let _ = writeln!(
        main,
        "<tr><th scope=\"row\"><a id=\"c-{id}\" href=\"{path}\">{name}</a>{paused}</th><td>{image}</td>{}{}{}{}{}{}</tr>",
        number(&stats.processes.to_string(), false),
        number(&stats.depth.to_string(), stats.depth > TOO_DEEP),
        number(&roots_text, came_later(card) >= 5),
        number(&stats.zombies().to_string(), stats.zombies() > 0),
        number(&pids, card.is_near_limit()),
        number(&starts, forks(card) >= BAD_FORKS),
        id = escape(&card.container.id),
        image = escape(card.image()),
    );
}
