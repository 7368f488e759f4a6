//! The busiest commands of a container, with their events per second, as a table. The command is the last column: a
//! container chooses its name.

use crate::model::busiest::Count as _;
use crate::model::command_counts::CommandCounts;
use crate::model::forest::merged_nodes::OTHER;
use crate::model::snapshot::{ContainerNumbers, Snapshot};
use crate::view::text::line::{Line, TextRole};

const TITLES: [&str; 5] = ["FORKS/s", "EXECS/s", "FAILED/s", "KILLED/s", "OOM/s"];

/// The lines of the table, the busiest command first, without commands that did nothing. Empty if the kernel does not count
/// by command, or in the first collection.
#[must_use]
pub fn lines(snapshot: &Snapshot, numbers: &ContainerNumbers) -> Vec<Line> {
    let seconds = snapshot.since_previous.map_or(0.0, |since| since.as_secs_f64());
    let (Some(commands), Some(recent)) = (&numbers.commands, &numbers.recent_events) else {
        return Vec::new();
    };
    if seconds <= 0.0 {
        return Vec::new();
    }
    let mut others = CommandCounts::of_all(recent);
    let mut rows: Vec<(&str, CommandCounts)> = Vec::with_capacity(commands.len() + 1);
    for series in commands {
        others = others - series.recent;
        rows.push((&series.name, series.recent));
    }
    rows.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.total()));
    rows.push((OTHER, others));
    rows.retain(|(_, counts)| counts.total() > 0);
    if rows.is_empty() {
        return vec![Line::of(
            &format!("no command forked, executed or failed in {seconds:.1} s"),
            TextRole::Dim,
        )];
    }
    let rows: Vec<([String; 5], &str)> = rows
        .into_iter()
        .map(|(command, CommandCounts { forks, execs, exits: [failed, killed, oom_killed] })| {
            let rate = |count: u64| rate_text(count as f64 / seconds);
            ([forks, execs, failed, killed, oom_killed].map(rate), command)
        })
        .collect();
    let widths: [usize; 5] = std::array::from_fn(|column| {
        rows.iter()
            .map(|(rates, _)| rates[column].len())
            .chain([TITLES[column].len()])
            .max()
            .unwrap_or_default()
    });
    let line = |cells: [&str; 5], command: &str, role: TextRole| {
        let mut line = Line::default();
        for (cell, width) in cells.into_iter().zip(widths) {
            line.push_right(cell, width, role);
        }
        line.push(command, role);
        line
    };
    let header = line(TITLES, "COMMAND", TextRole::Dim);
    let rows = rows
        .iter()
        .map(|(rates, command)| line(rates.each_ref().map(String::as_str), command, TextRole::Plain));
    std::iter::once(header).chain(rows).collect()
}

/// Empty for 0, so that a table shows what happens.
fn rate_text(per_second: f64) -> String {
    match per_second {
        0.0 => String::new(),
        small if small < 9.95 => format!("{small:.1}"),
        large => format!("{large:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::busiest::NamedSeries;
    use crate::model::event_counts::EventCounts;
    use crate::view::text::style::Style;

    fn printed(recent: EventCounts, commands: &[(&str, CommandCounts)]) -> Vec<String> {
        let snapshot = Snapshot { since_previous: Some(Duration::from_secs(2)), ..Snapshot::default() };
        let series = |&(name, recent): &(&str, CommandCounts)| NamedSeries {
            name: name.into(),
            count: recent,
            recent,
        };
        let numbers = ContainerNumbers {
            commands: Some(commands.iter().map(series).collect()),
            recent_events: Some(recent),
            ..ContainerNumbers::default()
        };
        let style = Style {
            unicode: true,
            color: false,
            width: None,
            host_pids: false,
            usage: false,
            highlight_column: false,
        };
        lines(&snapshot, &numbers).iter().map(|line| line.render(&style)).collect()
    }

    #[test]
    fn the_busiest_command_is_first_and_the_others_are_summed() {
        let recent = EventCounts {
            forks: 610,
            execs: 600,
            exits: [590, 4, 6],
            oom_kills: 5,
            ..EventCounts::default()
        };
        let date = CommandCounts { execs: 600, exits: [4, 1, 0], ..CommandCounts::default() };
        let sh = CommandCounts { forks: 604, ..CommandCounts::default() };
        let idle = CommandCounts::default();
        assert_eq!(
            printed(recent, &[("sh", sh), ("idle", idle), ("date", date)]),
            [
                "FORKS/s EXECS/s FAILED/s KILLED/s OOM/s COMMAND",
                "            300      2.0      0.5       date",
                "    302                                 sh",
                "    3.0                             2.5 other",
            ]
        );
    }

    #[test]
    fn nothing_happened() {
        assert_eq!(
            printed(EventCounts::default(), &[("sh", CommandCounts::default())]),
            ["no command forked, executed or failed in 2.0 s"]
        );
    }
}
