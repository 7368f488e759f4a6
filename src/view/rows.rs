//! A tree as rows from top to bottom: sorted and filtered, with identical siblings folded.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::model::process::ProcessState;
use crate::view::alike_siblings::fold_ids;
use crate::view::tree::{Children, Process, Tree, UsageSum};

/// Which of two siblings comes first: the one with the lower pid, the older one, the one with more children, or the one
/// that uses more CPU time or memory together with its descendants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Sort {
    #[default]
    Pid,
    Age,
    Children,
    Cpu,
    Memory,
}

impl Sort {
    /// What a tree or a branch is sorted by; `None` if not by its usage.
    #[must_use]
    pub fn usage(self, sum: &UsageSum) -> Option<u64> {
        match self {
            Self::Cpu => Some(sum.cpu_ticks()),
            Self::Memory => Some(sum.total.resident_pages),
            Self::Pid | Self::Age | Self::Children => None,
        }
    }

    /// Whether branches are sorted by what they use.
    #[must_use]
    pub fn is_by_usage(self) -> bool {
        self.usage(&UsageSum::default()).is_some()
    }
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
    /// CPU and memory of all processes of this row, in all branches that are folded into it.
    pub usage: UsageSum,
}

/// The rows of a tree.
#[must_use]
pub fn arrange(tree: &Tree, options: &RowOptions) -> Vec<Row> {
    let has_zombie = options.zombies_only.then(|| subtrees_with_zombies(tree));
    let is_included = |index: usize| has_zombie.as_ref().is_none_or(|has| has[index]);
    let children = Children::new(tree, is_included);
    let siblings = Siblings {
        tree,
        fold_ids: options.fold.then(|| fold_ids(tree, &children)),
        branch_usage: branch_usage(tree, options.sort, is_included),
        sort: options.sort,
        children,
    };
    let descendants = descendant_counts(tree, is_included);
    let mut rows = Vec::new();
    let mut stack = siblings.groups(siblings.children.roots(), &[], 1);
    stack.reverse();
    while let Some(Group { mut row, members }) = stack.pop() {
        if options.max_depth.is_some_and(|max_depth| row.depth >= max_depth) {
            row.hidden = descendants[row.process];
        } else {
            let below = siblings.groups(siblings.children.of(row.process), &members[1..], row.depth + 1);
            stack.extend(below.into_iter().rev());
        }
        rows.push(row);
    }
    rows
}

/// A row, and all processes that it stands for. The first one is that of the row.
struct Group {
    row: Row,
    members: Vec<usize>,
}

/// Sorts and folds siblings.
struct Siblings<'a> {
    tree: &'a Tree,
    children: Children,
    fold_ids: Option<Vec<u32>>,
    /// For each process, what it uses with its descendants; empty if not sorted by usage.
    branch_usage: Vec<u64>,
    sort: Sort,
}

impl Siblings<'_> {
    /// Groups siblings with the same fold id. `parents` are folded with the parent of the siblings, so their children
    /// belong to the same groups.
    fn groups(&self, siblings: &[usize], parents: &[usize], depth: u32) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut group_of: HashMap<u32, usize> = HashMap::new();
        for process in self.sorted(siblings) {
            let fold_id = self.fold_ids.as_ref().map(|fold_ids| fold_ids[process]);
            match fold_id.map(|id| *group_of.entry(id).or_insert(groups.len())) {
                Some(group) if group < groups.len() => {
                    groups[group].row.count += 1;
                    groups[group].members.push(process);
                }
                _ => {
                    let usage = UsageSum::default();
                    let row = Row { process, count: 1, depth, is_last: false, hidden: 0, usage };
                    groups.push(Group { row, members: vec![process] });
                }
            }
        }
        for &child in parents.iter().flat_map(|&parent| self.children.of(parent)) {
            let fold_id = self.fold_ids.as_ref().map(|fold_ids| fold_ids[child]);
            if let Some(&group) = fold_id.and_then(|id| group_of.get(&id)) {
                groups[group].members.push(child);
            }
        }
        for Group { row, members } in &mut groups {
            members.iter().for_each(|&member| row.usage.add(&self.tree.processes[member]));
        }
        if self.sort.is_by_usage() {
            let usage = |group: &Group| {
                let usages = group.members.iter().map(|&member| self.branch_usage[member]);
                usages.fold(0, u64::saturating_add)
            };
            groups.sort_by_cached_key(|group| Reverse(usage(group)));
        }
        if let Some(last) = groups.last_mut() {
            last.row.is_last = true;
        }
        groups
    }

    fn sorted(&self, siblings: &[usize]) -> Vec<usize> {
        let mut siblings = siblings.to_vec();
        // The sort is stable: siblings that are equal stay sorted by pid.
        match self.sort {
            Sort::Age => siblings.sort_by_key(|&index| self.tree.processes[index].key.start_time),
            Sort::Children => siblings.sort_by_key(|&index| Reverse(self.children.of(index).len())),
            // Usage sorts groups.
            Sort::Pid | Sort::Cpu | Sort::Memory => {}
        }
        siblings
    }
}

/// For each process, what it uses with its included descendants; empty if the order does not depend on it.
fn branch_usage(tree: &Tree, sort: Sort, is_included: impl Fn(usize) -> bool) -> Vec<u64> {
    if !sort.is_by_usage() {
        return Vec::new();
    }
    let own = |process: &Process| {
        let mut sum = UsageSum::default();
        sum.add(process);
        sort.usage(&sum).unwrap_or_default()
    };
    let mut usage: Vec<u64> = tree.processes.iter().map(own).collect();
    for (index, process) in tree.processes.iter().enumerate().rev() {
        if let Some(parent) = process.parent.filter(|_| is_included(index)) {
            usage[parent] = usage[parent].saturating_add(usage[index]);
        }
    }
    usage
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
