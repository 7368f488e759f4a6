//! The rows of a tree as a table with aligned columns. The tree is the last column, so that a narrow terminal cuts
//! off the end of commands and never a number.
//!
//! Text from a container cannot look like a column, control the terminal or wrap a line.

use std::ops::Range;

use crate::model::forest::root_kinds::RootKind;
use crate::model::process::ProcessState;
use crate::model::snapshot::NamedSnapshot;
use crate::model::text::sanitize;
use crate::model::user_names::UserNames;
use crate::view::process_text;
use crate::view::rows::Row;
use crate::view::text::branch_glyphs::BranchGlyphs;
use crate::view::text::line::{self, Line, TextRole};
use crate::view::text::style::Style;
use crate::view::tree::{Highlight, Process, Tree};

/// Longer user names are truncated.
const MAX_USER_CHARS: usize = 16;

/// The cells of one row, before the widths of the columns are known.
struct Cells {
    highlight: Highlight,
    pid: String,
    host_pid: String,
    user: String,
    age: String,
    cpu: String,
    resident: String,
    root: &'static str,
    state: ProcessState,
    command: Line,
}

/// Draws the rows in `visible` below a header line.
pub(crate) fn draw(
    tree: &Tree,
    rows: &[Row],
    visible: Range<usize>,
    (snapshot, users): (&NamedSnapshot, &UserNames),
    style: &Style,
) -> Vec<String> {
    let mut branches = BranchGlyphs::new(style);
    let mut cells = Vec::with_capacity(visible.len());
    for (number, row) in rows.iter().enumerate().take(visible.end) {
        branches.advance(row);
        if number >= visible.start {
            cells.push(cells_of(tree, row, &branches, (snapshot, users)));
        }
    }
    let widths = ColumnWidths::fitting(&cells, style);
    let mut lines = Vec::with_capacity(cells.len() + 1);
    lines.push(widths.header().render(style));
    lines.extend(cells.into_iter().map(|cells| widths.line(cells).render(style)));
    lines
}

fn cells_of(
    tree: &Tree,
    row: &Row,
    branches: &BranchGlyphs,
    (snapshot, users): (&NamedSnapshot, &UserNames),
) -> Cells {
    let process = &tree.processes[row.process];
    // The plus stands for the other processes of a folded row.
    let pid_text = |pid: u32| if row.count > 1 { format!("{pid}+") } else { pid.to_string() };
    Cells {
        highlight: process.highlight,
        pid: pid_text(process.pid),
        host_pid: pid_text(process.key.pid),
        user: process.user.map(|id| truncate(&users.name(id), MAX_USER_CHARS)).unwrap_or_default(),
        age: snapshot.age(process.key).map(process_text::age).unwrap_or_default(),
        cpu: process_text::cpu(snapshot, &row.usage),
        resident: process_text::size(snapshot.bytes(row.usage.total.resident_pages)),
        root: process_text::root(process),
        state: process.state,
        command: command(process, row, branches),
    }
}

/// Branch glyphs, count, command, threads, arguments, and the number of hidden descendants.
fn command(process: &Process, row: &Row, branches: &BranchGlyphs) -> Line {
    let mut line = Line::default();
    line.push(&branches.text(), TextRole::Dim);
    let role = match (process.highlight, process.state) {
        (Highlight::Selected, _) => TextRole::Selected,
        (Highlight::Added, _) => TextRole::Good,
        (Highlight::Removed, _) => TextRole::Dim,
        (Highlight::None, ProcessState::Zombie) => TextRole::Bad,
        (Highlight::None, _) => TextRole::Command,
    };
    let name = process_text::command(process);
    if row.count > 1 {
        line.push(&format!("{}*[", row.count), TextRole::Dim);
        line.push(&name, role);
        line.push("]", TextRole::Dim);
    } else {
        line.push(&name, role);
    }
    if process.threads > 1 {
        line.push(&format!(" {{{}}}", process.threads), TextRole::Count);
    }
    for argument in process_text::arguments(process) {
        line.push(" ", TextRole::Plain);
        line.push(&sanitize(argument), TextRole::Plain);
    }
    if row.hidden > 0 {
        line.push(&format!(" +{} below", row.hidden), TextRole::Dim);
    }
    line
}

/// The width of each column; 0 for a column that is not shown.
struct ColumnWidths {
    highlight: usize,
    pid: usize,
    host_pid: usize,
    user: usize,
    age: usize,
    cpu: usize,
    resident: usize,
    root: usize,
    state: usize,
}

impl ColumnWidths {
    fn fitting(cells: &[Cells], style: &Style) -> Self {
        let widest = |title: &str, width_of: fn(&Cells) -> usize| match cells.iter().map(width_of).max() {
            None | Some(0) => 0,
            Some(widest) => widest.max(title.len()),
        };
        let has_highlight =
            style.highlight_column || cells.iter().any(|cells| cells.highlight != Highlight::None);
        Self {
            highlight: usize::from(has_highlight),
            pid: widest("PID", |cells| cells.pid.len()),
            host_pid: if style.host_pids { widest("HOST", |cells| cells.host_pid.len()) } else { 0 },
            user: widest("USER", |cells| line::width(&cells.user)),
            age: widest("AGE", |cells| cells.age.len()),
            cpu: if style.usage { widest("CPU%", |cells| cells.cpu.len()) } else { 0 },
            resident: if style.usage { widest("RES", |cells| cells.resident.len()) } else { 0 },
            root: widest("ROOT", |cells| cells.root.len()),
            state: widest("STATE", |cells| process_text::state(cells.state).len()),
        }
    }

    fn header(&self) -> Line {
        let mut line = Line::default();
        line.push_left("", self.highlight, TextRole::Dim);
        line.push_right("PID", self.pid, TextRole::Dim);
        line.push_right("HOST", self.host_pid, TextRole::Dim);
        line.push_left("USER", self.user, TextRole::Dim);
        line.push_right("AGE", self.age, TextRole::Dim);
        line.push_right("CPU%", self.cpu, TextRole::Dim);
        line.push_right("RES", self.resident, TextRole::Dim);
        line.push_left("ROOT", self.root, TextRole::Dim);
        line.push_left("STATE", self.state, TextRole::Dim);
        line.push("COMMAND", TextRole::Dim);
        line
    }

    fn line(&self, cells: Cells) -> Line {
        let mut line = Line::default();
        let (sign, role) = match cells.highlight {
            Highlight::None => ("", TextRole::Plain),
            Highlight::Selected => (">", TextRole::Selected),
            Highlight::Added => ("+", TextRole::Good),
            Highlight::Removed => ("-", TextRole::Bad),
        };
        line.push_left(sign, self.highlight, role);
        line.push_right(&cells.pid, self.pid, TextRole::Plain);
        line.push_right(&cells.host_pid, self.host_pid, TextRole::Plain);
        line.push_left(&cells.user, self.user, TextRole::Plain);
        line.push_right(&cells.age, self.age, TextRole::Plain);
        line.push_right(&cells.cpu, self.cpu, TextRole::Plain);
        line.push_right(&cells.resident, self.resident, TextRole::Plain);
        line.push_left(cells.root, self.root, root_role(cells.root));
        line.push_left(process_text::state(cells.state), self.state, state_role(cells.state));
        line.append(cells.command);
        line
    }
}

fn root_role(kind: &str) -> TextRole {
    if kind == RootKind::Init.label() { TextRole::Good } else { TextRole::Warn }
}

fn state_role(state: ProcessState) -> TextRole {
    match state {
        ProcessState::Zombie | ProcessState::Dead => TextRole::Bad,
        ProcessState::Stopped | ProcessState::TracingStop | ProcessState::DiskSleep => TextRole::Warn,
        ProcessState::Running => TextRole::Good,
        ProcessState::Sleeping | ProcessState::Idle => TextRole::Plain,
    }
}

/// Truncates to `max_chars` characters.
fn truncate(text: &str, max_chars: usize) -> String {
    if text.chars().nth(max_chars).is_none() {
        return text.to_owned();
    }
    text.chars().take(max_chars - 1).chain(['…']).collect()
}
