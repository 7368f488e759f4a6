//! A tree as rows from top to bottom: sorted and filtered, with identical siblings folded.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::model::process::ProcessState;
use crate::view::alike_siblings::fold_ids;
use crate::view::tree::{Children, Tree};

/// Which of two siblings comes first: the one with the lower pid, the older one, or the one with more children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    #[default]
    Pid,
    Age,
    Children,
}

/// Which processes get a row, and in which order.
#[derive(Clone, Copy, Debug)]
pub struct RowOptions {
    pub sort: Sort,
    /// Identical siblings, including all their descendants, share a row.
    pub fold: bool,
    /// Roots have depth 1.
    pub max_depth: Option<u32>,
    /// Show only zombies and their ancestors.
    pub zombies_only: bool,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Index in the tree. For a folded row, the first of its processes.
    pub process: usize,
    /// Number of siblings that share the row.
    pub count: u64,
    /// 1 for a root.
    pub depth: u32,
    /// No sibling follows.
    pub is_last: bool,
    /// Number of descendants that `max_depth` hides, for each process of the row.
    pub hidden: u64,
}

/// The rows of a tree.
#[must_use]
pub fn arrange(tree: &Tree, options: &RowOptions) -> Vec<Row> {
    let has_zombie = options.zombies_only.then(|| subtrees_with_zombies(tree));
    let is_included = |index: usize| has_zombie.as_ref().is_none_or(|has| has[index]);
    let children = Children::new(tree, is_included);
    let fold_ids = options.fold.then(|| fold_ids(tree, &children));
    let descendants = descendant_counts(tree, is_included);
    let sorted = |siblings: &[usize]| {
        let mut siblings = siblings.to_vec();
        // The sort is stable: siblings that are equal stay sorted by pid.
        match options.sort {
            Sort::Pid => {}
            Sort::Age => siblings.sort_by_key(|&index| tree.processes[index].key.start_time),
            Sort::Children => siblings.sort_by_key(|&index| Reverse(children.of(index).len())),
        }
        siblings
    };
    let mut rows = Vec::new();
    let mut stack = Vec::new();
    push_siblings(&mut stack, &sorted(children.roots()), 1, fold_ids.as_deref());
    while let Some(mut row) = stack.pop() {
        if options.max_depth.is_some_and(|max_depth| row.depth >= max_depth) {
            row.hidden = descendants[row.process];
        } else {
            let siblings = sorted(children.of(row.process));
            push_siblings(&mut stack, &siblings, row.depth + 1, fold_ids.as_deref());
        }
        rows.push(row);
    }
    rows
}

/// Pushes siblings on the stack, the last one first. Siblings with the same fold id share a row.
fn push_siblings(stack: &mut Vec<Row>, siblings: &[usize], depth: u32, fold_ids: Option<&[u32]>) {
    let start = stack.len();
    let mut position_of: HashMap<u32, usize> = HashMap::new();
    for &process in siblings {
        let folded = fold_ids.map(|fold_ids| *position_of.entry(fold_ids[process]).or_insert(stack.len()));
        match folded {
            Some(position) if position < stack.len() => stack[position].count += 1,
            _ => stack.push(Row { process, count: 1, depth, is_last: false, hidden: 0 }),
        }
    }
    let pushed = &mut stack[start..];
    if let Some(last) = pushed.last_mut() {
        last.is_last = true;
    }
    pushed.reverse();
}

/// For each process, whether it or one of its descendants is a zombie.
fn subtrees_with_zombies(tree: &Tree) -> Vec<bool> {
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

/// For each process, the number of included descendants.
fn descendant_counts(tree: &Tree, is_included: impl Fn(usize) -> bool) -> Vec<u64> {
    let mut counts = vec![0; tree.processes.len()];
    for (index, process) in tree.processes.iter().enumerate().rev() {
        if let Some(parent) = process.parent.filter(|_| is_included(index)) {
            counts[parent] += 1 + counts[index];
        }
    }
    counts
}
