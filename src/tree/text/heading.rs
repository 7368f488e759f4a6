//! The line above a tree: whose it is, and its numbers.

use super::{Line, Paint};
use crate::forest::shape::Shape;
use crate::moment::{Card, StartRate};

/// The name first, then what matters most: the end is cut where the terminal is narrow.
#[must_use]
pub fn heading(card: &Card) -> Line {
    let mut line = Line::default();
    line.push(&card.name, Paint::Title);
    if card.paused == Some(true) {
        line.push(" paused", Paint::Warn);
    }
    push_shape(&mut line, &card.shape);
    if let Some(rate) = card.starts {
        push_rate(&mut line, rate);
    }
    if let (Some(current), Some(limit)) = (card.pids_current, card.pids_limit) {
        let paint = if card.is_near_limit() { Paint::Bad } else { Paint::Plain };
        line.push(&format!(", pids {current} of {limit}"), paint);
    }
    let container = &card.container;
    let short_id: String = container.container_id.chars().take(12).collect();
    let rest = [card.image(), container.runtime.label(), &short_id];
    let rest: Vec<&str> = rest.into_iter().filter(|text| !text.is_empty() && *text != &*card.name).collect();
    line.push(&format!("  {}", rest.join(" ")), Paint::Dim);
    line
}

/// The same for everything in no container.
#[must_use]
pub fn host_heading(shape: &Shape, kernel_threads: u64) -> Line {
    let mut line = Line::default();
    line.push("host", Paint::Title);
    push_shape(&mut line, shape);
    if kernel_threads > 0 {
        let plural = if kernel_threads == 1 { "" } else { "s" };
        line.push(&format!(", {kernel_threads} kernel thread{plural} not shown"), Paint::Dim);
    }
    line
}

/// The sums of several containers.
#[must_use]
pub fn summary(cards: &[&Card]) -> Line {
    let mut total = Shape::default();
    cards.iter().for_each(|card| total.absorb(&card.shape));
    let mut line = Line::default();
    let plural = if cards.len() == 1 { "" } else { "s" };
    line.push(&format!("{} container{plural}", cards.len()), Paint::Title);
    push_shape(&mut line, &total);
    let rates: Option<Vec<StartRate>> = cards.iter().map(|card| card.starts).collect();
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

fn push_shape(line: &mut Line, shape: &Shape) {
    let count = |number: u64, word: &str| format!("{number} {word}");
    let processes = if shape.processes == 1 { "process" } else { "processes" };
    line.push(&format!(": {}", count(shape.processes, processes)), Paint::Plain);
    if shape.threads > shape.processes - shape.zombies() {
        line.push(&format!(", {} threads", shape.threads), Paint::Plain);
    }
    line.push(&format!(", depth {}", shape.depth), Paint::Plain);
    let roots = shape.roots_by_kind();
    if !roots.is_empty() {
        line.push(&format!(", roots: {}", roots.join(" ")), Paint::Plain);
    }
    let zombies = shape.zombies();
    let paint = if zombies > 0 { Paint::Bad } else { Paint::Plain };
    line.push(", ", Paint::Plain);
    line.push(&count(zombies, if zombies == 1 { "zombie" } else { "zombies" }), paint);
}

/// Only a kernel that counts knows of all.
fn push_rate(line: &mut Line, rate: StartRate) {
    let at_least = if rate.is_exact { "" } else { ">=" };
    let number = match rate.per_second {
        few if few < 9.95 => format!("{few:.1}"),
        many => format!("{many:.0}"),
    };
    line.push(&format!(", {at_least}{number} forks/s"), Paint::Plain);
}
