//! Finds identical siblings, which can share a row such as `4*[nginx]`.

use std::collections::HashMap;

use crate::model::forest::root_kinds::RootKind;
use crate::model::process::{Comm, ProcessState};
use crate::view::tree::{Children, Highlight, Process, Tree};

/// What two processes must have in common to share a row, in addition to their descendants.
#[derive(PartialEq, Eq, Hash)]
struct FoldKey<'a> {
    comm: Comm,
    state: ProcessState,
    threads: u32,
    kind: Option<RootKind>,
    is_terminal_session: bool,
    user: Option<u32>,
    arguments: Option<&'a [u8]>,
    highlight: Highlight,
    /// The index of a process that must keep its own row.
    unique: Option<usize>,
}

impl<'a> FoldKey<'a> {
    fn new(index: usize, process: &'a Process) -> Self {
        Self {
            comm: process.comm,
            state: process.state,
            threads: process.threads,
            kind: process.kind,
            is_terminal_session: process.is_terminal_session,
            user: process.user,
            arguments: process.arguments.as_deref(),
            highlight: process.highlight,
            unique: (process.highlight == Highlight::Selected).then_some(index),
        }
    }
}

/// One id for each process. Two processes have the same id if and only if they and all their descendants are identical.
pub(crate) fn fold_ids(tree: &Tree, children: &Children) -> Vec<u32> {
    let mut known: HashMap<(FoldKey<'_>, Vec<u32>), u32> = HashMap::new();
    let mut fold_ids = vec![0; tree.processes.len()];
    // Children come after their parents, so their ids are known first.
    for (index, process) in tree.processes.iter().enumerate().rev() {
        let mut child_ids: Vec<u32> = children.of(index).iter().map(|&child| fold_ids[child]).collect();
        child_ids.sort_unstable();
        let next = known.len() as u32;
        fold_ids[index] = *known.entry((FoldKey::new(index, process), child_ids)).or_insert(next);
    }
    fold_ids
}
