//! Processes merged by the path of their commands from the root, as `pstree` folds `4*[nginx]`, and the
//! choice of those nodes that are shown. Pure.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use rustc_hash::FxHashMap;

use crate::model::forest::parents_and_depths::Forest;
use crate::model::process::{Comm, ProcessState};
use crate::model::text::{MAX_LABEL_CHARS, comm_text};
use crate::model::walk::WalkResult;

/// The name of the child that stands for everything not shown.
pub const OTHER: &str = "other";
/// Between the steps of a path.
pub const SEPARATOR: char = ';';
/// A path may be this long, so that a child `;other` still fits a label.
const MAX_PATH_CHARS: usize = MAX_LABEL_CHARS - OTHER.len() - SEPARATOR.len_utf8();

/// A command as it is shown. Two commands that look the same are the same step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommId(u32);

/// The commands that were seen, as text. Kept over collections, started afresh when it grows.
#[derive(Debug, Default)]
pub struct CommInterner {
    /// Both seeded: the keys are chosen by containers.
    by_comm: HashMap<Comm, CommId>,
    by_text: HashMap<Box<str>, CommId>,
    texts: Vec<Box<str>>,
}

impl CommInterner {
    const MAX_KEPT: usize = 16_384;

    /// Begins a collection; ids of the last one are void.
    pub fn begin(&mut self) {
        if self.by_comm.len() > Self::MAX_KEPT {
            *self = Self::default();
        }
    }

    pub fn id(&mut self, comm: Comm) -> CommId {
        if let Some(&id) = self.by_comm.get(&comm) {
            return id;
        }
        let text = comm_text(comm.as_bytes());
        let id = match self.by_text.get(&*text) {
            Some(&id) => id,
            None => {
                let id = CommId(self.texts.len() as u32);
                self.texts.push(text.as_ref().into());
                self.by_text.insert(text.into(), id);
                id
            }
        };
        self.by_comm.insert(comm, id);
        id
    }

    #[must_use]
    pub fn text(&self, id: CommId) -> &str {
        &self.texts[id.0 as usize]
    }
}

/// Processes of one container that have the same commands on their way from the root.
#[derive(Clone, Debug)]
struct Node {
    parent: Option<u32>,
    step: CommId,
    depth: u32,
    processes: u64,
    zombies: u64,
    /// Processes here and below.
    subtree: u64,
    has_children: bool,
    /// Children that are not, or not yet, shown.
    hidden_children: u32,
    is_shown: bool,
    /// Characters of its path.
    path_chars: usize,
    /// Of the path: what the budget of new names remembers, and an order that is the same in every run.
    name_hash: u64,
}

/// A node as it is exposed, `other` included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedNode {
    /// The commands from the root, joined with [`SEPARATOR`].
    pub path: String,
    /// The bytes of `path` that are the parent's path; 0 at a root.
    pub parent_len: usize,
    /// The byte of `path` at which the last step begins.
    pub comm_start: usize,
    pub depth: u32,
    pub processes: u64,
    pub zombies: u64,
}

impl ExportedNode {
    #[must_use]
    pub fn parent(&self) -> &str {
        &self.path[..self.parent_len]
    }

    #[must_use]
    pub fn comm(&self) -> &str {
        &self.path[self.comm_start..]
    }
}

/// The merged nodes of one snapshot. Kept and refilled.
#[derive(Debug, Default)]
pub struct Nodes {
    nodes: Vec<Node>,
    node_of: FxHashMap<(u32, u32, CommId), u32>,
    node_of_record: Vec<u32>,
    /// Indexes of `nodes` by container slot, parents before children.
    of_slot: Vec<Vec<u32>>,
    candidates: Vec<u32>,
}

/// SipHash with fixed keys: the same in every run, and no two short names that agree are cheap to find.
type NameHasher = BuildHasherDefault<DefaultHasher>;

/// No node: the parent of a root.
const ROOT: u32 = u32::MAX;

impl Nodes {
    /// Merges the processes of all containers.
    pub fn rebuild(&mut self, walk: &WalkResult, forest: &Forest, steps: &mut CommInterner) {
        let records = &walk.records;
        self.nodes.clear();
        self.node_of.clear();
        self.node_of_record.clear();
        self.node_of_record.resize(records.len(), ROOT);
        self.of_slot.iter_mut().for_each(Vec::clear);
        self.of_slot.resize_with(walk.containers.len(), Vec::new);
        for index in forest.parents_first() {
            let record = &records[index];
            let Some(slot) = record.membership.slot() else {
                continue;
            };
            let parent = forest.parent(index).map_or(ROOT, |parent| self.node_of_record[parent]);
            let step = steps.id(record.comm);
            let node = *self.node_of.entry((slot as u32, parent, step)).or_insert_with(|| {
                let new = self.nodes.len() as u32;
                let node = new_node(&mut self.nodes, parent, step, steps);
                self.nodes.push(node);
                self.of_slot[slot].push(new);
                new
            });
            self.node_of_record[index] = node;
            let node = &mut self.nodes[node as usize];
            node.processes += 1;
            node.subtree += 1;
            node.zombies += u64::from(record.state == ProcessState::Zombie);
        }
        // Children come behind their parents, so going backwards each subtree is complete when it is added.
        for index in (0..self.nodes.len()).rev() {
            if let Some(parent) = self.nodes[index].parent {
                self.nodes[parent as usize].subtree += self.nodes[index].subtree;
            }
        }
    }

    /// How many nodes a container has before any cap.
    #[must_use]
    pub fn count(&self, slot: usize) -> usize {
        self.of_slot[slot].len()
    }

    /// Chooses at most `cap` nodes of a container, the largest subtrees first, each with all its ancestors.
    /// A node may also be refused by `admit`, which is asked with the hash of its name, or because its
    /// path would not fit a label. What is not shown is counted in one child named [`OTHER`] of the deepest
    /// ancestor that is. Fills `out` by path; returns how many were folded.
    pub fn select(
        &mut self,
        slot: usize,
        cap: usize,
        steps: &CommInterner,
        admit: impl FnMut(u64) -> bool,
        out: &mut Vec<ExportedNode>,
    ) -> u64 {
        self.choose(slot, cap, admit);
        let nodes = &self.nodes;
        out.clear();
        let mut folded = 0;
        // Where in `out` each node, or what stands for it, is found.
        let mut place_of: FxHashMap<u32, usize> = FxHashMap::default();
        let mut other_of: FxHashMap<u32, usize> = FxHashMap::default();
        for &index in &self.of_slot[slot] {
            let node = &nodes[index as usize];
            let parent = node.parent.unwrap_or(ROOT);
            folded += u64::from(!node.is_shown);
            let text = if node.is_shown { steps.text(node.step) } else { OTHER };
            // Below something folded, everything joins what stands for its parent.
            let parent_is_folded = parent != ROOT && !nodes[parent as usize].is_shown;
            let place = if parent_is_folded {
                place_of[&parent]
            } else {
                let above = (parent != ROOT).then(|| place_of[&parent]);
                let mut push = || {
                    out.push(shown_below(above.map(|above| &out[above]), text, node.depth));
                    out.len() - 1
                };
                // A real command named like the fold shares its node.
                if text == OTHER { *other_of.entry(parent).or_insert_with(push) } else { push() }
            };
            place_of.insert(index, place);
            out[place].processes += node.processes;
            out[place].zombies += node.zombies;
        }
        out.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        folded
    }

    /// Marks the nodes to show. What is exposed are they and one `other` below each that hides a child, so
    /// both count against the cap.
    fn choose(&mut self, slot: usize, cap: usize, mut admit: impl FnMut(u64) -> bool) {
        let (nodes, of_slot) = (&mut self.nodes, &self.of_slot[slot]);
        self.candidates.clear();
        self.candidates.extend_from_slice(of_slot);
        let is_bounded = of_slot.len() > cap;
        if is_bounded {
            // An ancestor's subtree is never smaller; where it is equal, it is less deep.
            self.candidates.sort_unstable_by_key(|&index| {
                let node = &nodes[index as usize];
                (std::cmp::Reverse(node.subtree), node.depth, node.name_hash)
            });
        }
        let mut hidden_roots =
            of_slot.iter().filter(|&&index| nodes[index as usize].parent.is_none()).count();
        let mut exposed = usize::from(hidden_roots > 0);
        for &index in &self.candidates {
            let node = &nodes[index as usize];
            let parent = node.parent.map(|parent| parent as usize);
            let hidden_siblings =
                parent.map_or(hidden_roots, |parent| nodes[parent].hidden_children as usize);
            // The node itself, an `other` for its children, less the `other` of which it was the last.
            let exposed_with_it =
                exposed + 1 + usize::from(node.has_children) - usize::from(hidden_siblings == 1);
            if parent.is_some_and(|parent| !nodes[parent].is_shown)
                || node.path_chars > MAX_PATH_CHARS
                || (is_bounded && exposed_with_it > cap)
                || !admit(node.name_hash)
            {
                continue;
            }
            exposed = exposed_with_it;
            nodes[index as usize].is_shown = true;
            match parent {
                Some(parent) => nodes[parent].hidden_children -= 1,
                None => hidden_roots -= 1,
            }
        }
    }
}

fn new_node(nodes: &mut [Node], parent: u32, step: CommId, steps: &CommInterner) -> Node {
    let text = steps.text(step);
    let step_chars = text.chars().count();
    let parent_node = nodes.get_mut(parent as usize);
    let (depth, path_chars, parent_hash) = match parent_node {
        Some(parent) => {
            parent.has_children = true;
            parent.hidden_children += 1;
            (parent.depth + 1, parent.path_chars + 1 + step_chars, parent.name_hash)
        }
        None => (1, step_chars, 0),
    };
    Node {
        parent: (parent != ROOT).then_some(parent),
        step,
        depth,
        processes: 0,
        zombies: 0,
        subtree: 0,
        has_children: false,
        hidden_children: 0,
        is_shown: false,
        path_chars,
        name_hash: NameHasher::default().hash_one((parent_hash, text)),
    }
}

fn shown_below(parent: Option<&ExportedNode>, step: &str, depth: u32) -> ExportedNode {
    let mut path = String::new();
    if let Some(parent) = parent {
        path.push_str(&parent.path);
        path.push(SEPARATOR);
    }
    let comm_start = path.len();
    path.push_str(step);
    ExportedNode {
        path,
        parent_len: parent.map_or(0, |parent| parent.path.len()),
        comm_start,
        depth,
        processes: 0,
        zombies: 0,
    }
}
