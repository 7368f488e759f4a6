//! A container's forest as somebody looks at it: as text, live, as JSON, as a page.
//!
//! ```text
//!  moment ──► Tree ──► layout ──► text ──► terminal, live view
//!              │          └─────► page
//!              └─► json
//! ```
//!
//! [`select`] finds the containers that somebody names. A [`Tree`] is the processes of one of them, or of the
//! host; [`layout`] sorts, folds and prunes it into rows; [`text`] and the pages draw those; [`json`] writes
//! the tree as it is. [`look`] takes one moment without a running exporter, [`command`] and [`live`] are the
//! commands, [`arguments`] and [`users`] read what only a tree shows. No recursion: a container may nest its
//! processes as deep as it likes.

use rustc_hash::FxHashMap;

use crate::model::forest::root_kinds::RootKind;
use crate::model::process::{Comm, Membership, ProcessKey, ProcessState};
use crate::model::process_table::ProcessTable;

/// One process of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// As the procfs that was read has it; `key.pid` is the pid on the host.
    pub key: ProcessKey,
    /// Index in the tree; `None` for a root.
    pub parent: Option<usize>,
    /// As seen from the container's own pid namespace.
    pub pid: u32,
    pub comm: Comm,
    pub state: ProcessState,
    /// 0 for a zombie.
    pub threads: u32,
    /// How a root of a container came in.
    pub kind: Option<RootKind>,
    /// Effective user id; `None` where it was not read.
    pub user: Option<u32>,
    /// Bytes of `cmdline`, separated by NUL; `None` where they were not asked for, or not to be had.
    pub arguments: Option<Box<[u8]>>,
    pub mark: Mark,
}

impl Process {
    /// Its arguments, the first one included. Programs that write a title over them leave NULs behind.
    #[must_use]
    pub fn argument_list(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let bytes = self.arguments.as_deref()?;
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        Some(bytes[..end].split(|&byte| byte == 0))
    }
}

/// Why a process stands out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    #[default]
    None,
    /// It is the one that was asked for by its pid.
    Selected,
    /// Not there at the last look.
    Added,
    /// Not there any more.
    Removed,
}

/// The processes of one container, or of the host without kernel threads; parents before their children.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    pub processes: Vec<Process>,
}

impl Tree {
    /// Picks the processes of one container, or of the host, out of a frame.
    #[must_use]
    pub fn of(frame: &ProcessTable, membership: Membership) -> Self {
        Self::of_each(frame, &[membership]).pop().unwrap_or_default()
    }

    /// The same for several, in one pass.
    #[must_use]
    pub fn of_each(frame: &ProcessTable, resolver: &[Membership]) -> Vec<Self> {
        let tree_of: FxHashMap<Membership, usize> = resolver.iter().copied().zip(0..).collect();
        let mut trees: Vec<Self> = resolver.iter().map(|_| Self::default()).collect();
        // Where each record stands in its tree.
        let mut places = vec![None; frame.records.len()];
        for index in frame.forest.parents_first() {
            let record = &frame.records[index];
            let Some(&tree) = tree_of.get(&record.membership).filter(|_| !record.kernel_thread) else {
                continue;
            };
            let processes = &mut trees[tree].processes;
            places[index] = Some(processes.len());
            let is_inside = record.membership != Membership::HOST && record.ns_pid > 0;
            processes.push(Process {
                key: record.key,
                parent: frame.forest.parent(index).and_then(|parent| places[parent]),
                pid: if is_inside { record.ns_pid } else { record.key.pid },
                comm: record.comm,
                state: record.state,
                threads: record.threads,
                kind: frame.roots.kind(index),
                user: None,
                arguments: None,
                mark: Mark::None,
            });
        }
        trees
    }
}

/// Who is below whom, by index.
#[derive(Debug)]
pub(crate) struct Children {
    roots: Vec<usize>,
    first: Vec<usize>,
    list: Vec<usize>,
}

impl Children {
    /// Lists the processes that `is_shown` lets through, each below its parent; siblings by pid.
    pub(crate) fn of(tree: &Tree, is_shown: impl Fn(usize) -> bool) -> Self {
        let shown = || (0..tree.processes.len()).filter(|&index| is_shown(index));
        let mut first = vec![0; tree.processes.len() + 1];
        let mut roots = Vec::new();
        for index in shown() {
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
        for index in shown() {
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

    pub(crate) fn below(&self, index: usize) -> &[usize] {
        &self.list[self.first[index]..self.first[index + 1]]
    }
}
