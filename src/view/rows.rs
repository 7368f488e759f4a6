//! A tree to rows: sorted, folded where siblings are alike, pruned where that is asked for. Pure.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::model::forest::root_kinds::RootKind;
use crate::model::process::{Comm, ProcessState};
use crate::view::tree::{Children, Mark, Process, Tree};

/// Which of two siblings comes first: the one with the lower pid, the older one, or the one with more children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    #[default]
    Pid,
    Age,
    Children,
}

/// What to show of a tree.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub sort: Sort,
    /// Siblings that are alike, with all that is below them, share a row.
    pub fold: bool,
    /// Roots are at depth 1.
    pub max_depth: Option<u32>,
    /// Only branches that hold a zombie.
    pub zombies_only: bool,
}

/// One row of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Index in the tree; where several share the row, the first of them.
    pub process: usize,
    /// Siblings that share the row.
    pub count: u64,
    /// 1 for a root.
    pub depth: u32,
    /// No sibling follows.
    pub is_last: bool,
    /// Processes below that `max_depth` hides, of each that shares the row.
    pub hidden: u64,
}

/// What two processes must have in common to share a row, besides what is below them.
#[derive(PartialEq, Eq, Hash)]
struct FoldKey<'a> {
    comm: Comm,
    state: ProcessState,
    threads: u32,
    kind: Option<RootKind>,
    user: Option<u32>,
    arguments: Option<&'a [u8]>,
    mark: Mark,
    /// Set where a process is never to be folded away.
    only: Option<usize>,
}

impl<'a> FoldKey<'a> {
    fn of(index: usize, process: &'a Process) -> Self {
        Self {
            comm: process.comm,
            state: process.state,
            threads: process.threads,
            kind: process.kind,
            user: process.user,
            arguments: process.arguments.as_deref(),
            mark: process.mark,
            only: (process.mark == Mark::Selected).then_some(index),
        }
    }
}

/// Arranges a tree, from top to bottom.
#[must_use]
pub fn arrange(tree: &Tree, layout: &Layout) -> Vec<Row> {
    let has_zombie = layout.zombies_only.then(|| branches_with_zombies(tree));
    let is_shown = |index: usize| has_zombie.as_ref().is_none_or(|has| has[index]);
    let children = Children::of(tree, is_shown);
    let fold_ids = layout.fold.then(|| fold_ids(tree, &children));
    let below = sizes_below(tree, is_shown);
    let ordered = |siblings: &[usize]| {
        let mut siblings = siblings.to_vec();
        // They come by pid, and stay so among equals.
        match layout.sort {
            Sort::Pid => {}
            Sort::Age => siblings.sort_by_key(|&index| tree.processes[index].key.start_time),
            Sort::Children => siblings.sort_by_key(|&index| Reverse(children.below(index).len())),
        }
        siblings
    };
    let mut rows = Vec::new();
    let mut stack = Vec::new();
    push_siblings(&mut stack, &ordered(children.roots()), 1, fold_ids.as_deref());
    while let Some(mut row) = stack.pop() {
        if layout.max_depth.is_some_and(|most| row.depth >= most) {
            row.hidden = below[row.process];
        } else {
            let siblings = ordered(children.below(row.process));
            push_siblings(&mut stack, &siblings, row.depth + 1, fold_ids.as_deref());
        }
        rows.push(row);
    }
    rows
}

/// Puts siblings on the stack, the last one first; those of one shape as one.
fn push_siblings(stack: &mut Vec<Row>, siblings: &[usize], depth: u32, fold_ids: Option<&[u32]>) {
    let start = stack.len();
    let mut place_of_fold_id = HashMap::new();
    for &process in siblings {
        let known = fold_ids.map(|fold_ids| place_of_fold_id.entry(fold_ids[process]).or_insert(stack.len()));
        match known {
            Some(&mut place) if place < stack.len() => stack[place].count += 1,
            _ => stack.push(Row { process, count: 1, depth, is_last: false, hidden: 0 }),
        }
    }
    let pushed = &mut stack[start..];
    if let Some(last) = pushed.last_mut() {
        last.is_last = true;
    }
    pushed.reverse();
}

/// Numbers for branches: the same one exactly where two are alike, down to their leaves.
fn fold_ids(tree: &Tree, children: &Children) -> Vec<u32> {
    let mut known: HashMap<(FoldKey<'_>, Vec<u32>), u32> = HashMap::new();
    let mut fold_ids = vec![0; tree.processes.len()];
    for (index, process) in tree.processes.iter().enumerate().rev() {
        let mut below: Vec<u32> = children.below(index).iter().map(|&child| fold_ids[child]).collect();
        below.sort_unstable();
        let next = known.len() as u32;
        fold_ids[index] = *known.entry((FoldKey::of(index, process), below)).or_insert(next);
    }
    fold_ids
}

fn branches_with_zombies(tree: &Tree) -> Vec<bool> {
    let mut has: Vec<bool> =
        tree.processes.iter().map(|process| process.state == ProcessState::Zombie).collect();
    for (index, process) in tree.processes.iter().enumerate().rev() {
        if has[index]
            && let Some(parent) = process.parent
        {
            has[parent] = true;
        }
    }
    has
}

fn sizes_below(tree: &Tree, is_shown: impl Fn(usize) -> bool) -> Vec<u64> {
    let mut below = vec![0; tree.processes.len()];
    for (index, process) in tree.processes.iter().enumerate().rev() {
        if let Some(parent) = process.parent.filter(|_| is_shown(index)) {
            below[parent] += 1 + below[index];
        }
    }
    below
}
