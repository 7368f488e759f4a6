//! The processes of one container or of the host as a tree, with what a view shows of each process.

use rustc_hash::FxHashMap;

use crate::model::forest::parents_and_depths::Forest;
use crate::model::forest::root_kinds::{RootKind, RootKinds};
use crate::model::process::{Comm, Membership, ProcessKey, ProcessState};
use crate::model::process_table::ProcessTable;
use crate::model::usage::Usage;

/// One process of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// As in the procfs that was read: `key.pid` is the pid on the host.
    pub key: ProcessKey,
    /// Index in the tree; `None` for a root.
    pub parent: Option<usize>,
    /// The pid in the container's pid namespace.
    pub pid: u32,
    pub comm: Comm,
    pub state: ProcessState,
    /// 0 for a zombie.
    pub threads: u32,
    pub usage: Usage,
    /// CPU time since the previous collection, in clock ticks; `None` in the first collection.
    pub recent_cpu_ticks: Option<u32>,
    /// `None` for processes that are not a root of a container.
    pub kind: Option<RootKind>,
    /// A root of kind `exec` with a controlling terminal.
    pub is_terminal_session: bool,
    /// Effective user id; `None` if it was not read.
    pub user: Option<u32>,
    /// The bytes of `cmdline`, separated by NUL; `None` if they were not requested or could not be read.
    pub arguments: Option<Box<[u8]>>,
    pub highlight: Highlight,
}

impl Process {
    /// The arguments, including the first one. A program that writes a title over its arguments leaves NULs at the
    /// end; they are removed.
    #[must_use]
    pub fn argument_list(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let bytes = self.arguments.as_deref()?;
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        Some(bytes[..end].split(|&byte| byte == 0))
    }
}

/// Why a process is highlighted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Highlight {
    #[default]
    None,
    /// The user selected it by its pid.
    Selected,
    /// It is not in the previous snapshot.
    Added,
    /// It is in the previous snapshot only.
    Removed,
}

/// The processes of one container, or of the host without kernel threads. Parents come before their children.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    pub processes: Vec<Process>,
}

/// What several processes use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageSum {
    /// CPU time since the previous collection, in clock ticks; `None` if it is unknown.
    pub recent_cpu_ticks: Option<u64>,
    pub total: Usage,
}

impl UsageSum {
    /// Adds a process.
    pub fn add(&mut self, process: &Process) {
        self.total += process.usage;
        if let Some(ticks) = process.recent_cpu_ticks {
            *self.recent_cpu_ticks.get_or_insert_default() += u64::from(ticks);
        }
    }

    /// CPU time since the previous collection; in the first one, since the start of the processes.
    #[must_use]
    pub fn cpu_ticks(&self) -> u64 {
        self.recent_cpu_ticks.unwrap_or(self.total.cpu_ticks)
    }
}

impl Tree {
    /// What all processes use together.
    #[must_use]
    pub fn usage(&self) -> UsageSum {
        let mut sum = UsageSum::default();
        self.processes.iter().for_each(|process| sum.add(process));
        sum
    }

    /// The tree of one container or of the host.
    #[must_use]
    pub fn of(table: &ProcessTable, membership: Membership) -> Self {
        Self::of_each(table, &[membership]).pop().unwrap_or_default()
    }

    /// One tree for each of `memberships`. That of the host includes systemd units.
    #[must_use]
    pub fn of_each(table: &ProcessTable, memberships: &[Membership]) -> Vec<Self> {
        let tree_of: FxHashMap<Membership, usize> = memberships.iter().copied().zip(0..).collect();
        let mut trees: Vec<Self> = memberships.iter().map(|_| Self::default()).collect();
        let is_host = |membership: Membership| membership == Membership::HOST;
        fill(&mut trees, table, &table.forest, Some(&table.roots), |it| {
            tree_of.get(&it).copied().filter(|_| !is_host(it))
        });
        if let Some(&host) = tree_of.get(&Membership::HOST) {
            fill(&mut trees, table, table.host_forest(), None, |it| it.is_on_host().then_some(host));
        }
        trees
    }
}

/// Adds the processes of a forest to the trees of their memberships, in one pass over the process table. `roots` has the
/// kinds of root processes of containers.
fn fill(
    trees: &mut [Tree],
    table: &ProcessTable,
    forest: &Forest,
    roots: Option<&RootKinds>,
    tree_of: impl Fn(Membership) -> Option<usize>,
) {
    // The index of each record in its tree.
    let mut index_in_tree = vec![None; table.records.len()];
    for index in forest.parents_first() {
        let record = &table.records[index];
        let Some(tree) = tree_of(record.membership).filter(|_| !record.kernel_thread) else {
            continue;
        };
        let processes = &mut trees[tree].processes;
        index_in_tree[index] = Some(processes.len());
        let kind = roots.and_then(|roots| roots.kind(index));
        let has_container_pid = !record.membership.is_on_host() && record.ns_pid > 0;
        processes.push(Process {
            key: record.key,
            parent: forest.parent(index).and_then(|parent| index_in_tree[parent]),
            pid: if has_container_pid { record.ns_pid } else { record.key.pid },
            comm: record.comm,
            state: record.state,
            threads: record.threads,
            usage: record.usage,
            recent_cpu_ticks: table.recent_cpu_ticks.get(index).copied(),
            kind,
            is_terminal_session: record.has_terminal && kind == Some(RootKind::Exec),
            user: None,
            arguments: None,
            highlight: Highlight::None,
        });
    }
}

/// The children of each process of a tree, by index. Siblings are sorted by pid.
#[derive(Debug)]
pub(crate) struct Children {
    roots: Vec<usize>,
    /// Where the children of each process start in `list`, and one more entry for the end.
    first: Vec<usize>,
    list: Vec<usize>,
}

impl Children {
    /// Indexes the processes for which `is_included` is true. The parent of an included process must be included.
    pub(crate) fn new(tree: &Tree, is_included: impl Fn(usize) -> bool) -> Self {
        let included = || (0..tree.processes.len()).filter(|&index| is_included(index));
        let mut first = vec![0; tree.processes.len() + 1];
        let mut roots = Vec::new();
        for index in included() {
            match tree.processes[index].parent {
                Some(parent) => first[parent + 1] += 1,
                None => roots.push(index),
            }
        }
        for index in 1..first.len() {
            first[index] += first[index - 1];
        }
        let mut next = first.clone();
        let mut list = vec![0; first.last().copied().unwrap_or_default()];
        for index in included() {
            if let Some(parent) = tree.processes[index].parent {
                list[next[parent]] = index;
                next[parent] += 1;
            }
        }
        let by_pid = |&index: &usize| (tree.processes[index].pid, tree.processes[index].key.pid);
        roots.sort_unstable_by_key(by_pid);
        for siblings in first.windows(2) {
            list[siblings[0]..siblings[1]].sort_unstable_by_key(by_pid);
        }
        Self { roots, first, list }
    }

    pub(crate) fn roots(&self) -> &[usize] {
        &self.roots
    }

    pub(crate) fn of(&self, index: usize) -> &[usize] {
        &self.list[self.first[index]..self.first[index + 1]]
    }
}
