//! Rows to lines for a terminal or a pipe: columns first, the tree last, so that what does not fit is the end
//! of a command and never a number. Pure.
//!
//! Nothing that a container chooses can look like a column, steer the terminal, or make a line wrap.

mod branches;
mod heading;
mod line;

use std::ops::Range;

pub use branches::Branches;
pub use heading::{heading, host_heading, summary};
pub use line::{Line, Paint};

use super::layout::Row;
use super::users::Users;
use super::{Mark, Process, Tree};
use crate::forest::roots::RootKind;
use crate::model::{Comm, ProcessState};
use crate::moment::Moment;
use crate::text::printable;

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
    (moment, users): (&Moment, &Users),
    style: &Style,
) -> Vec<String> {
    let mut branches = Branches::new(style);
    let mut cells = Vec::with_capacity(visible.len());
    for (number, row) in rows.iter().enumerate().take(visible.end) {
        branches.enter(row);
        if number >= visible.start {
            cells.push(cells_of(tree, row, &branches, (moment, users)));
        }
    }
    let columns = Columns::fitting(&cells, style);
    let mut lines = Vec::with_capacity(cells.len() + 1);
    lines.push(columns.header().finish(style));
    lines.extend(cells.into_iter().map(|cells| columns.line(cells).finish(style)));
    lines
}

fn cells_of(tree: &Tree, row: &Row, branches: &Branches, (moment, users): (&Moment, &Users)) -> Cells {
    let process = &tree.processes[row.process];
    // The others of a folded row are behind the plus.
    let number = |pid: u32| if row.count > 1 { format!("{pid}+") } else { pid.to_string() };
    Cells {
        mark: process.mark,
        pid: number(process.pid),
        host_pid: number(process.key.pid),
        user: process.user.map(|id| cut(&users.name(id), MAX_USER_CHARS)).unwrap_or_default(),
        age: moment.age(process.key).map(age).unwrap_or_default(),
        root: process.kind.map(RootKind::label).unwrap_or_default(),
        state: process.state,
        command: command(process, row, branches),
    }
}

/// The branches, then how many, the command, its threads, its arguments, and what is hidden below.
fn command(process: &Process, row: &Row, branches: &Branches) -> Line {
    let mut line = Line::default();
    line.push(&branches.text(), Paint::Dim);
    let paint = match (process.mark, process.state) {
        (Mark::Asked, _) => Paint::Asked,
        (Mark::Came, _) => Paint::Good,
        (Mark::Went, _) => Paint::Dim,
        (Mark::None, ProcessState::Zombie) => Paint::Bad,
        (Mark::None, _) => Paint::Command,
    };
    let name = printable(process.comm.as_bytes());
    let name = if name.is_empty() { "?" } else { &*name };
    if row.count > 1 {
        line.push(&format!("{}*[", row.count), Paint::Dim);
        line.push(name, paint);
        line.push("]", Paint::Dim);
    } else {
        line.push(name, paint);
    }
    if process.threads > 1 {
        line.push(&format!(" {{{}}}", process.threads), Paint::Count);
    }
    for argument in shown_arguments(process) {
        line.push(" ", Paint::Plain);
        line.push(&printable(argument), Paint::Plain);
    }
    if row.hidden > 0 {
        line.push(&format!(" +{} below", row.hidden), Paint::Dim);
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
        self.fill(&mut line, Paint::Dim, ["", "PID", "HOST", "USER", "AGE", "ROOT", "STATE"]);
        line.push("COMMAND", Paint::Dim);
        line
    }

    fn line(&self, cells: Cells) -> Line {
        let mut line = Line::default();
        let (mark, paint) = match cells.mark {
            Mark::None => ("", Paint::Plain),
            Mark::Asked => (">", Paint::Asked),
            Mark::Came => ("+", Paint::Good),
            Mark::Went => ("-", Paint::Bad),
        };
        line.left(mark, self.mark, paint);
        line.right(&cells.pid, self.pid, Paint::Plain);
        line.right(&cells.host_pid, self.host_pid, Paint::Plain);
        line.left(&cells.user, self.user, Paint::Plain);
        line.right(&cells.age, self.age, Paint::Plain);
        line.left(cells.root, self.root, root_paint(cells.root));
        line.left(state_text(cells.state), self.state, state_paint(cells.state));
        line.append(cells.command);
        line
    }

    fn fill(&self, line: &mut Line, paint: Paint, texts: [&str; 7]) {
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

fn root_paint(kind: &str) -> Paint {
    if kind == RootKind::Init.label() { Paint::Good } else { Paint::Warn }
}

/// Sleeping is what processes do, and nothing to be said.
fn state_text(state: ProcessState) -> &'static str {
    if state == ProcessState::Sleeping { "" } else { state.label() }
}

fn state_paint(state: ProcessState) -> Paint {
    match state {
        ProcessState::Zombie | ProcessState::Dead => Paint::Bad,
        ProcessState::Stopped | ProcessState::TracingStop | ProcessState::DiskSleep => Paint::Warn,
        ProcessState::Running => Paint::Good,
        ProcessState::Sleeping | ProcessState::Idle => Paint::Plain,
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
fn cut(text: &str, most: usize) -> String {
    if text.chars().nth(most).is_none() {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
