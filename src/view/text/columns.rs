//! Rows to lines for a terminal or a pipe: columns first, the tree last, so that what does not fit is the end
//! of a command and never a number. Pure.
//!
//! Nothing that a container chooses can look like a column, steer the terminal, or make a line wrap.

use std::ops::Range;

use crate::model::forest::root_kinds::RootKind;
use crate::model::process::{Comm, ProcessState};
use crate::model::snapshot::NamedSnapshot;
use crate::model::text::sanitize;
use crate::model::user_names::Users;
use crate::view::rows::Row;
use crate::view::text::branch_glyphs::Branches;
use crate::view::text::line::{self, Line, TextRole};
use crate::view::tree::{Mark, Process, Tree};

/// How a picture looks.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Else ASCII alone.
    pub unicode: bool,
    pub color: bool,
    /// Columns of the terminal; `None` for as many as it takes.
    pub width: Option<usize>,
    /// Pids on the host beside those in the container.
    pub host_pids: bool,
    /// A column for what came and went, kept free where nothing did.
    pub marks: bool,
}

/// The longest name of a user that is shown.
const MAX_USER_CHARS: usize = 16;

/// One row's cells, before it is known how wide each column is.
struct Cells {
    mark: Mark,
    pid: String,
    host_pid: String,
    user: String,
    age: String,
    root: &'static str,
    state: ProcessState,
    command: Line,
}

/// Draws the rows in `visible`, below a line with the names of the columns.
#[must_use]
pub fn draw(
    tree: &Tree,
    rows: &[Row],
    visible: Range<usize>,
    (snapshot, users): (&NamedSnapshot, &Users),
    style: &Style,
) -> Vec<String> {
    let mut branches = Branches::new(style);
    let mut cells = Vec::with_capacity(visible.len());
    for (number, row) in rows.iter().enumerate().take(visible.end) {
        branches.enter(row);
        if number >= visible.start {
            cells.push(cells_of(tree, row, &branches, (snapshot, users)));
        }
    }
    let columns = Columns::fitting(&cells, style);
    let mut lines = Vec::with_capacity(cells.len() + 1);
    lines.push(columns.header().finish(style));
    lines.extend(cells.into_iter().map(|cells| columns.line(cells).finish(style)));
    lines
}

fn cells_of(
    tree: &Tree,
    row: &Row,
    branches: &Branches,
    (snapshot, users): (&NamedSnapshot, &Users),
) -> Cells {
    let process = &tree.processes[row.process];
    // The others of a folded row are behind the plus.
    let number = |pid: u32| if row.count > 1 { format!("{pid}+") } else { pid.to_string() };
    Cells {
        mark: process.mark,
        pid: number(process.pid),
        host_pid: number(process.key.pid),
        user: process.user.map(|id| truncate(&users.name(id), MAX_USER_CHARS)).unwrap_or_default(),
        age: snapshot.age(process.key).map(age).unwrap_or_default(),
        root: process.kind.map(RootKind::label).unwrap_or_default(),
        state: process.state,
        command: command(process, row, branches),
    }
}

/// The branches, then how many, the command, its threads, its arguments, and what is hidden below.
fn command(process: &Process, row: &Row, branches: &Branches) -> Line {
    let mut line = Line::default();
    line.push(&branches.text(), TextRole::Dim);
    let paint = match (process.mark, process.state) {
        (Mark::Selected, _) => TextRole::Selected,
        (Mark::Added, _) => TextRole::Good,
        (Mark::Removed, _) => TextRole::Dim,
        (Mark::None, ProcessState::Zombie) => TextRole::Bad,
        (Mark::None, _) => TextRole::Command,
    };
    let name = sanitize(process.comm.as_bytes());
    let name = if name.is_empty() { "?" } else { &*name };
    if row.count > 1 {
        line.push(&format!("{}*[", row.count), TextRole::Dim);
        line.push(name, paint);
        line.push("]", TextRole::Dim);
    } else {
        line.push(name, paint);
    }
    if process.threads > 1 {
        line.push(&format!(" {{{}}}", process.threads), TextRole::Count);
    }
    for argument in shown_arguments(process) {
        line.push(" ", TextRole::Plain);
        line.push(&sanitize(argument), TextRole::Plain);
    }
    if row.hidden > 0 {
        line.push(&format!(" +{} below", row.hidden), TextRole::Dim);
    }
    line
}

/// Arguments, without the first one where that only says the command again, perhaps with its path.
pub fn shown_arguments(process: &Process) -> impl Iterator<Item = &[u8]> {
    let comm = process.comm.as_bytes();
    let says_it_again = move |first: &[u8]| {
        let name = first.rsplit(|&b| b == b'/').next().unwrap_or_default();
        first.is_empty() || name == comm || (comm.len() == Comm::CAPACITY && name.starts_with(comm))
    };
    let arguments = process.argument_list().into_iter().flatten().enumerate();
    arguments
        .filter(move |(number, argument)| *number > 0 || !says_it_again(argument))
        .map(|(_, argument)| argument)
}

/// How wide each column is; 0 for one that is left out.
struct Columns {
    mark: usize,
    pid: usize,
    host_pid: usize,
    user: usize,
    age: usize,
    root: usize,
    state: usize,
}

impl Columns {
    fn fitting(cells: &[Cells], style: &Style) -> Self {
        let widest = |name: &str, of: fn(&Cells) -> usize| match cells.iter().map(of).max() {
            None | Some(0) => 0,
            Some(widest) => widest.max(name.len()),
        };
        let has_mark = style.marks || cells.iter().any(|cells| cells.mark != Mark::None);
        Self {
            mark: usize::from(has_mark),
            pid: widest("PID", |cells| cells.pid.len()),
            host_pid: if style.host_pids { widest("HOST", |cells| cells.host_pid.len()) } else { 0 },
            user: widest("USER", |cells| line::width(&cells.user)),
            age: widest("AGE", |cells| cells.age.len()),
            root: widest("ROOT", |cells| cells.root.len()),
            state: widest("STATE", |cells| state_text(cells.state).len()),
        }
    }

    fn header(&self) -> Line {
        let mut line = Line::default();
        self.fill(&mut line, TextRole::Dim, ["", "PID", "HOST", "USER", "AGE", "ROOT", "STATE"]);
        line.push("COMMAND", TextRole::Dim);
        line
    }

    fn line(&self, cells: Cells) -> Line {
        let mut line = Line::default();
        let (mark, paint) = match cells.mark {
            Mark::None => ("", TextRole::Plain),
            Mark::Selected => (">", TextRole::Selected),
            Mark::Added => ("+", TextRole::Good),
            Mark::Removed => ("-", TextRole::Bad),
        };
        line.left(mark, self.mark, paint);
        line.right(&cells.pid, self.pid, TextRole::Plain);
        line.right(&cells.host_pid, self.host_pid, TextRole::Plain);
        line.left(&cells.user, self.user, TextRole::Plain);
        line.right(&cells.age, self.age, TextRole::Plain);
        line.left(cells.root, self.root, root_paint(cells.root));
        line.left(state_text(cells.state), self.state, state_paint(cells.state));
        line.append(cells.command);
        line
    }

    fn fill(&self, line: &mut Line, paint: TextRole, texts: [&str; 7]) {
        let [mark, pid, host_pid, user, age, root, state] = texts;
        line.left(mark, self.mark, paint);
        line.right(pid, self.pid, paint);
        line.right(host_pid, self.host_pid, paint);
        line.left(user, self.user, paint);
        line.right(age, self.age, paint);
        line.left(root, self.root, paint);
        line.left(state, self.state, paint);
    }
}

fn root_paint(kind: &str) -> TextRole {
    if kind == RootKind::Init.label() { TextRole::Good } else { TextRole::Warn }
}

/// Sleeping is what processes do, and nothing to be said.
fn state_text(state: ProcessState) -> &'static str {
    if state == ProcessState::Sleeping { "" } else { state.label() }
}

fn state_paint(state: ProcessState) -> TextRole {
    match state {
        ProcessState::Zombie | ProcessState::Dead => TextRole::Bad,
        ProcessState::Stopped | ProcessState::TracingStop | ProcessState::DiskSleep => TextRole::Warn,
        ProcessState::Running => TextRole::Good,
        ProcessState::Sleeping | ProcessState::Idle => TextRole::Plain,
    }
}

/// One number and a unit: what somebody wants to know is whether it is minutes or days.
#[must_use]
pub fn age(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(365 * 86_400, "y"), (86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = UNITS.into_iter().find(|(length, _)| seconds >= 2 * length);
    let (length, name) = unit.unwrap_or((1, "s"));
    format!("{}{name}", seconds / length)
}

/// At most `most` characters.
fn truncate(text: &str, most: usize) -> String {
    if text.chars().nth(most).is_none() {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
