//! The line above a tree: whose it is, and its numbers.

use crate::model::forest::stats::ForestStats;
use crate::model::rates::StartRate;
use crate::model::snapshot::ContainerSummary;
use crate::view::text::line::{Line, TextRole};

/// The name first, then what matters most: the end is cut where the terminal is narrow.
#[must_use]
pub fn heading(card: &ContainerSummary) -> Line {
    let mut line = Line::default();
    line.push(&card.name, TextRole::Title);
    if card.paused == Some(true) {
        line.push(" paused", TextRole::Warn);
    }
    push_stats(&mut line, &card.stats);
    if let Some(rate) = card.starts {
        push_rate(&mut line, rate);
    }
    if let (Some(current), Some(limit)) = (card.pids_current, card.pids_limit) {
        let paint = if card.is_near_limit() { TextRole::Bad } else { TextRole::Plain };
        line.push(&format!(", pids {current} of {limit}"), paint);
    }
    let container = &card.container;
    let short_id: String = container.container_id.chars().take(12).collect();
    let rest = [card.image(), container.runtime.label(), &short_id];
    let rest: Vec<&str> = rest.into_iter().filter(|text| !text.is_empty() && *text != &*card.name).collect();
    line.push(&format!("  {}", rest.join(" ")), TextRole::Dim);
    line
}

/// The same for everything in no container.
#[must_use]
pub fn host_heading(stats: &ForestStats, kernel_threads: u64) -> Line {
    let mut line = Line::default();
    line.push("host", TextRole::Title);
    push_stats(&mut line, stats);
    if kernel_threads > 0 {
        let plural = if kernel_threads == 1 { "" } else { "s" };
        line.push(&format!(", {kernel_threads} kernel thread{plural} not shown"), TextRole::Dim);
    }
    line
}

/// The sums of several containers.
#[must_use]
pub fn summary(containers: &[&ContainerSummary]) -> Line {
    let mut total = ForestStats::default();
    containers.iter().for_each(|card| total.merge(&card.stats));
    let mut line = Line::default();
    let plural = if containers.len() == 1 { "" } else { "s" };
    line.push(&format!("{} container{plural}", containers.len()), TextRole::Title);
    push_stats(&mut line, &total);
    let rates: Option<Vec<StartRate>> = containers.iter().map(|card| card.starts).collect();
    if let Some(rates) = rates.filter(|rates| !rates.is_empty()) {
        push_rate(
            &mut line,
            StartRate {
                per_second: rates.iter().map(|rate| rate.per_second).sum(),
                is_exact: rates.iter().all(|rate| rate.is_exact),
            },
        );
    }
    line
}

fn push_stats(line: &mut Line, stats: &ForestStats) {
    let count = |number: u64, word: &str| format!("{number} {word}");
    let processes = if stats.processes == 1 { "process" } else { "processes" };
    line.push(&format!(": {}", count(stats.processes, processes)), TextRole::Plain);
    if stats.threads > stats.processes - stats.zombies() {
        line.push(&format!(", {} threads", stats.threads), TextRole::Plain);
    }
    line.push(&format!(", depth {}", stats.depth), TextRole::Plain);
    let roots = stats.roots_by_kind();
    if !roots.is_empty() {
        line.push(&format!(", roots: {}", roots.join(" ")), TextRole::Plain);
    }
    let zombies = stats.zombies();
    let paint = if zombies > 0 { TextRole::Bad } else { TextRole::Plain };
    line.push(", ", TextRole::Plain);
    line.push(&count(zombies, if zombies == 1 { "zombie" } else { "zombies" }), paint);
}

/// Only a kernel that counts knows of all.
fn push_rate(line: &mut Line, rate: StartRate) {
    let at_least = if rate.is_exact { "" } else { ">=" };
    let number = match rate.per_second {
        few if few < 9.95 => format!("{few:.1}"),
        many => format!("{many:.0}"),
    };
    line.push(&format!(", {at_least}{number} forks/s"), TextRole::Plain);
}
