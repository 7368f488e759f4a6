//! The texts for one process that the terminal and the pages have in common.

use std::borrow::Cow;

use crate::model::forest::root_kinds::RootKind;
use crate::model::process::{Comm, ProcessState};
use crate::model::snapshot::Snapshot;
use crate::model::text::sanitize;
use crate::view::tree::{Process, UsageSum};

/// The command, made printable; `?` if the process erased it.
pub(crate) fn command(process: &Process) -> Cow<'_, str> {
    let name = sanitize(process.comm.as_bytes());
    if name.is_empty() { Cow::Borrowed("?") } else { name }
}

/// The state. Empty for sleeping, the usual state.
pub(crate) fn state(state: ProcessState) -> &'static str {
    if state == ProcessState::Sleeping { "" } else { state.label() }
}

/// The kind of a root process. Empty for other processes.
pub(crate) fn root(process: &Process) -> &'static str {
    match process.kind {
        Some(RootKind::Exec) if process.is_terminal_session => "exec tty",
        Some(kind) => kind.label(),
        None => "",
    }
}

/// An age in whole units of one kind: `90s`, `3m`, `5d`.
pub(crate) fn age(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(365 * 86_400, "y"), (86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = UNITS.into_iter().find(|(length, _)| seconds >= 2 * length);
    let (length, name) = unit.unwrap_or((1, "s"));
    format!("{}{name}", seconds / length)
}

/// The share of one core since the previous collection; empty in the first one.
pub(crate) fn cpu(snapshot: &Snapshot, usage: &UsageSum) -> String {
    let share = usage.recent_cpu_ticks.and_then(|ticks| snapshot.cpu_percent(ticks));
    share.map(percent).unwrap_or_default()
}

/// CPU and memory of several processes together: `CPU 12.0 %, RES 23M`.
pub(crate) fn usage(snapshot: &Snapshot, usage: &UsageSum) -> String {
    let cpu = cpu(snapshot, usage);
    let resident = size(snapshot.bytes(usage.total.resident_pages));
    if cpu.is_empty() { format!("RES {resident}") } else { format!("CPU {cpu} %, RES {resident}") }
}

/// A share of one core: `0.3`, `12.0`, `150`.
fn percent(percent: f64) -> String {
    if percent < 99.95 { format!("{percent:.1}") } else { format!("{percent:.0}") }
}

/// A size in units of 1,024 bytes: `0K`, `640K`, `1.5M`, `23M`.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64 / 1024.0;
    let mut unit = "K";
    for larger in ["M", "G", "T"] {
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    if value < 9.95 && unit != "K" { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

/// The raw arguments. The first one is omitted if it only repeats the command, with or without its path.
pub(crate) fn arguments(process: &Process) -> impl Iterator<Item = &[u8]> {
    let comm = process.comm.as_bytes();
    let repeats_command = move |first: &[u8]| {
        let name = first.rsplit(|&b| b == b'/').next().unwrap_or_default();
        first.is_empty() || name == comm || (comm.len() == Comm::CAPACITY && name.starts_with(comm))
    };
    let arguments = process.argument_list().into_iter().flatten().enumerate();
    arguments
        .filter(move |(number, argument)| *number > 0 || !repeats_command(argument))
        .map(|(_, argument)| argument)
}
