//! The line above a tree: name and numbers.

use crate::model::forest::stats::ForestStats;
use crate::model::rates::StartRate;
use crate::model::snapshot::ContainerSummary;
use crate::view::pids_text::pids_of_limit;
use crate::view::text::line::{Line, TextRole};

/// The heading of a container. The most important parts come first, because a narrow terminal cuts off the end.
/// `usage` is the text about CPU and memory.
#[must_use]
pub fn container(summary: &ContainerSummary, usage: Option<&str>) -> Line {
    let mut line = Line::default();
    line.push(&summary.name, TextRole::Title);
    if summary.paused == Some(true) {
        line.push(" paused", TextRole::Warn);
    }
    push_stats(&mut line, &summary.stats);
    push_usage(&mut line, usage);
    if let Some(rate) = summary.starts {
        push_rate(&mut line, rate);
    }
    if let Some(pids) = pids_of_limit(summary) {
        let role = if summary.is_near_limit() { TextRole::Bad } else { TextRole::Plain };
        line.push(&format!(", pids {pids}"), role);
    }
    let container = &summary.container;
    let short_id: String = container.container_id.chars().take(12).collect();
    let details = [summary.image(), container.runtime.label(), &short_id];
    let details: Vec<&str> =
        details.into_iter().filter(|text| !text.is_empty() && *text != &*summary.name).collect();
    line.push(&format!("  {}", details.join(" ")), TextRole::Dim);
    line
}

/// The heading of the host: all processes that are in no container.
#[must_use]
pub fn host(stats: &ForestStats, kernel_threads: u64, usage: Option<&str>) -> Line {
    let mut line = Line::default();
    line.push("host", TextRole::Title);
    push_stats(&mut line, stats);
    push_usage(&mut line, usage);
    if kernel_threads > 0 {
        let plural = if kernel_threads == 1 { "" } else { "s" };
        line.push(&format!(", {kernel_threads} kernel thread{plural} not shown"), TextRole::Dim);
    }
    line
}

/// The totals of several containers.
#[must_use]
pub fn totals(containers: &[&ContainerSummary]) -> Line {
    let mut total = ForestStats::default();
    containers.iter().for_each(|summary| total.merge(&summary.stats));
    let mut line = Line::default();
    let plural = if containers.len() == 1 { "" } else { "s" };
    line.push(&format!("{} container{plural}", containers.len()), TextRole::Title);
    push_stats(&mut line, &total);
    let rates: Option<Vec<StartRate>> = containers.iter().map(|summary| summary.starts).collect();
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
    let processes = if stats.processes == 1 { "process" } else { "processes" };
    line.push(&format!(": {} {processes}", stats.processes), TextRole::Plain);
    if stats.threads > stats.processes - stats.zombies() {
        line.push(&format!(", {} threads", stats.threads), TextRole::Plain);
    }
    line.push(&format!(", depth {}", stats.depth), TextRole::Plain);
    let roots = stats.roots_by_kind();
    if !roots.is_empty() {
        line.push(&format!(", roots: {}", roots.join(" ")), TextRole::Plain);
    }
    let zombies = stats.zombies();
    let role = if zombies > 0 { TextRole::Bad } else { TextRole::Plain };
    line.push(", ", TextRole::Plain);
    line.push(&format!("{zombies} {}", if zombies == 1 { "zombie" } else { "zombies" }), role);
}

fn push_usage(line: &mut Line, usage: Option<&str>) {
    for text in usage.into_iter().filter(|text| !text.is_empty()) {
        line.push(&format!(", {text}"), TextRole::Count);
    }
}

/// Only kernel counters are exact; other rates are lower bounds.
fn push_rate(line: &mut Line, rate: StartRate) {
    let at_least = if rate.is_exact { "" } else { ">=" };
    let number = match rate.per_second {
        small if small < 9.95 => format!("{small:.1}"),
        large => format!("{large:.0}"),
    };
    line.push(&format!(", {at_least}{number} forks/s"), TextRole::Plain);
}
