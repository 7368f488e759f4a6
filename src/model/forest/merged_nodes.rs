//! Merges processes with the same path of commands from the root, as `pstree` does with `4*[nginx]`, and selects the
//! nodes to export within a limit.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use rustc_hash::FxHashMap;

use super::parents_and_depths::Forest;
use crate::model::comm_interner::{CommId, CommInterner};
use crate::model::process::{ProcessRecord, ProcessState};
use crate::model::text::MAX_LABEL_CHARS;
use crate::model::usage::Usage;

/// The command of the node that aggregates the nodes that are not exported.
pub const OTHER: &str = "other";
/// Separates the commands of a path.
pub const SEPARATOR: char = ';';
/// Maximum length of a path. A child `;other` must still fit in a label.
const MAX_PATH_CHARS: usize = MAX_LABEL_CHARS - OTHER.len() - SEPARATOR.len_utf8();

/// The processes of one container that have the same path of commands from the root.
#[derive(Clone, Debug)]
struct Node {
    /// [`NONE`] for a root.
    parent: u32,
    comm: CommId,
    depth: u32,
    processes: u64,
    zombies: u64,
    /// CPU time since the previous collection, and memory.
    usage: Usage,
    /// Number of processes in this node and below.
    subtree: u64,
    has_children: bool,
    /// Number of children that are not exported (yet).
    unexported_children: u32,
    is_exported: bool,
    /// Index in the output of this node, or of the node that aggregates it.
    output: u32,
    /// Index in the output of the child `other`; [`NONE`] if there is none.
    other_output: u32,
    /// Length of its path in characters.
    path_chars: usize,
    /// Hash of the path. It is the key in the budget of new names, and a tie-breaker that is the same in every run.
    name_hash: u64,
}

/// An exported node, which can be `other`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedNode {
    /// The commands from the root, joined with [`SEPARATOR`].
    pub path: String,
    /// Length of the parent's path in bytes; 0 for a root.
    pub parent_len: usize,
    /// Offset in bytes of the last command in `path`.
    pub comm_start: usize,
    /// 1 for a root.
    pub depth: u32,
    pub processes: u64,
    pub zombies: u64,
}

impl ExportedNode {
    /// A root node without processes.
    #[must_use]
    pub fn root(comm: &str) -> Self {
        Self { path: comm.to_owned(), parent_len: 0, comm_start: 0, depth: 1, processes: 0, zombies: 0 }
    }

    /// A child without processes.
    fn child(&self, comm: &str) -> Self {
        let mut path = String::with_capacity(self.path.len() + 1 + comm.len());
        path.push_str(&self.path);
        path.push(SEPARATOR);
        let comm_start = path.len();
        path.push_str(comm);
        let depth = self.depth + 1;
        Self { path, parent_len: self.path.len(), comm_start, depth, processes: 0, zombies: 0 }
    }

    /// The path of the parent; empty for a root.
    #[must_use]
    pub fn parent(&self) -> &str {
        &self.path[..self.parent_len]
    }

    /// The last command of the path.
    #[must_use]
    pub fn comm(&self) -> &str {
        &self.path[self.comm_start..]
    }
}

/// The merged nodes of one process table. Reused for every collection.
#[derive(Debug, Default)]
pub struct MergedNodes {
    nodes: Vec<Node>,
    /// Nodes by parent node (for roots, by slot) and command, packed into one integer.
    node_of: FxHashMap<u64, u32>,
    node_of_record: Vec<u32>,
    /// Indexes of `nodes` by container slot, parents before children.
    of_slot: Vec<Vec<u32>>,
    candidates: Vec<u32>,
}

/// SipHash with fixed keys. The result is the same in every run, and colliding short names are expensive to find.
type NameHasher = BuildHasherDefault<DefaultHasher>;

/// No node, or no index in the output.
const NONE: u32 = u32::MAX;
/// Marks a slot in the upper half of a key. The number of nodes is always smaller.
const SLOT_FLAG: u32 = 1 << 31;

fn key(slot: usize, parent: u32, comm: CommId) -> u64 {
    let upper = if parent == NONE { slot as u32 | SLOT_FLAG } else { parent };
    u64::from(upper) << 32 | u64::from(comm.as_u32())
}

impl MergedNodes {
    /// Merges the processes of all containers. `recent_cpu_ticks` is parallel to the records, or empty. `slots` is the
    /// number of container slots.
    pub fn rebuild(
        &mut self,
        (records, recent_cpu_ticks): (&[ProcessRecord], &[u32]),
        forest: &Forest,
        slots: usize,
        comms: &CommInterner,
    ) {
        self.nodes.clear();
        self.node_of.clear();
        self.node_of_record.clear();
        self.node_of_record.resize(records.len(), NONE);
        self.of_slot.iter_mut().for_each(Vec::clear);
        self.of_slot.resize_with(slots, Vec::new);
        // Siblings are adjacent and often have the same command, so the last lookup often has the next result.
        let mut last = None;
        for index in forest.parents_first() {
            let record = &records[index];
            let Some(slot) = record.membership.slot() else {
                continue;
            };
            let parent = forest.parent(index).map_or(NONE, |parent| self.node_of_record[parent]);
            let comm = comms.id_at(index);
            let key = key(slot, parent, comm);
            let node = match last {
                Some((last_key, node)) if last_key == key => node,
                _ => *self.node_of.entry(key).or_insert_with(|| {
                    let new = self.nodes.len() as u32;
                    let node = new_node(&mut self.nodes, parent, comm, comms.text(comm));
                    self.nodes.push(node);
                    self.of_slot[slot].push(new);
                    new
                }),
            };
            last = Some((key, node));
            self.node_of_record[index] = node;
            let node = &mut self.nodes[node as usize];
            node.processes += 1;
            node.subtree += 1;
            node.zombies += u64::from(record.state == ProcessState::Zombie);
            node.usage += Usage {
                cpu_ticks: recent_cpu_ticks.get(index).copied().map_or(0, u64::from),
                resident_pages: record.usage.resident_pages,
            };
        }
        // Children come after their parents, so in reverse order each subtree is complete when it is added.
        for index in (0..self.nodes.len()).rev() {
            let (parent, subtree) = (self.nodes[index].parent, self.nodes[index].subtree);
            if parent != NONE {
                self.nodes[parent as usize].subtree += subtree;
            }
        }
    }

    /// Number of nodes of a container before a limit is applied.
    #[must_use]
    pub fn count(&self, slot: usize) -> usize {
        self.of_slot[slot].len()
    }

    /// What the processes of a container use together. The CPU time is that since the previous collection.
    #[must_use]
    pub fn usage(&self, slot: usize) -> Usage {
        let mut sum = Usage::default();
        self.of_slot[slot].iter().for_each(|&node| sum += self.nodes[node as usize].usage);
        sum
    }

    /// The nodes of a container that use anything, most first, with what they use.
    pub fn biggest(&self, slot: usize, amount: impl Fn(Usage) -> u64) -> impl Iterator<Item = (u32, u64)> {
        let amounts = self.of_slot[slot].iter().map(|&node| (node, amount(self.nodes[node as usize].usage)));
        let mut sorted: Vec<(u32, u64)> = amounts.filter(|&(_, amount)| amount > 0).collect();
        sorted.sort_unstable_by_key(|&(node, amount)| {
            (std::cmp::Reverse(amount), self.nodes[node as usize].name_hash)
        });
        sorted.into_iter()
    }

    /// The path of a node; `None` if it does not fit in a label.
    #[must_use]
    pub fn path(&self, node: u32, comms: &CommInterner) -> Option<String> {
        let last = &self.nodes[node as usize];
        if last.path_chars > MAX_PATH_CHARS {
            return None;
        }
        let mut commands: Vec<&str> =
            std::iter::successors(Some(last), |node| self.nodes.get(node.parent as usize))
                .map(|node| comms.text(node.comm))
                .collect();
        commands.reverse();
        Some(commands.join(SEPARATOR.encode_utf8(&mut [0; 4])))
    }

    /// A hash of the path of a node, the same in every collection.
    #[must_use]
    pub fn name_hash(&self, node: u32) -> u64 {
        self.nodes[node as usize].name_hash
    }

    /// Chooses at most `cap` nodes of a container, the largest subtrees first, each with all its ancestors. `admit` can
    /// reject a node by the hash of its path. A path that does not fit in a label is also rejected. Nodes that are not
    /// exported are aggregated in a child named [`OTHER`] of their deepest exported ancestor. Fills `out`, sorted by
    /// path. Returns how many nodes were aggregated.
    pub fn select(
        &mut self,
        slot: usize,
        cap: usize,
        comms: &CommInterner,
        admit: impl FnMut(u64) -> bool,
        out: &mut Vec<ExportedNode>,
    ) -> u64 {
        self.choose(slot, cap, admit);
        let Self { nodes, of_slot, .. } = self;
        out.clear();
        let mut aggregated = 0;
        let mut other_root = NONE;
        for &index in &of_slot[slot] {
            let node = nodes[index as usize].clone();
            let parent = nodes.get(node.parent as usize).cloned();
            aggregated += u64::from(!node.is_exported);
            let comm = if node.is_exported { comms.text(node.comm) } else { OTHER };
            let output = match &parent {
                // Everything below an aggregated node is aggregated with it.
                Some(parent) if !parent.is_exported => parent.output,
                _ => {
                    let known_other = match &parent {
                        Some(parent) => parent.other_output,
                        None => other_root,
                    };
                    // A process whose command is `other` shares the node of the aggregate.
                    if comm == OTHER && known_other != NONE {
                        known_other
                    } else {
                        out.push(match &parent {
                            Some(parent) => out[parent.output as usize].child(comm),
                            None => ExportedNode::root(comm),
                        });
                        out.len() as u32 - 1
                    }
                }
            };
            if comm == OTHER && parent.as_ref().is_none_or(|parent| parent.is_exported) {
                match nodes.get_mut(node.parent as usize) {
                    Some(parent) => parent.other_output = output,
                    None => other_root = output,
                }
            }
            nodes[index as usize].output = output;
            out[output as usize].processes += node.processes;
            out[output as usize].zombies += node.zombies;
        }
        out.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        aggregated
    }

    /// Marks the nodes to export. The output also has one node `other` below each node with an unexported child. Both
    /// kinds of nodes count towards the limit.
    fn choose(&mut self, slot: usize, cap: usize, mut admit: impl FnMut(u64) -> bool) {
        let (nodes, of_slot) = (&mut self.nodes, &self.of_slot[slot]);
        self.candidates.clear();
        self.candidates.extend_from_slice(of_slot);
        let is_limited = of_slot.len() > cap;
        if is_limited {
            // An ancestor comes first: its subtree is never smaller, and if it is equal, the ancestor has a lower
            // depth.
            self.candidates.sort_unstable_by_key(|&index| {
                let node = &nodes[index as usize];
                (std::cmp::Reverse(node.subtree), node.depth, node.name_hash)
            });
        }
        let mut unexported_roots =
            of_slot.iter().filter(|&&index| nodes[index as usize].parent == NONE).count();
        let mut exported = usize::from(unexported_roots > 0);
        for &index in &self.candidates {
            let node = &nodes[index as usize];
            let parent = (node.parent != NONE).then_some(node.parent as usize);
            let unexported_siblings =
                parent.map_or(unexported_roots, |parent| nodes[parent].unexported_children as usize);
            // Adds the node itself and an `other` for its children; removes the `other` of its parent if this was its
            // last node.
            let exported_with_it =
                exported + 1 + usize::from(node.has_children) - usize::from(unexported_siblings == 1);
            if parent.is_some_and(|parent| !nodes[parent].is_exported)
                || node.path_chars > MAX_PATH_CHARS
                || (is_limited && exported_with_it > cap)
                || !admit(node.name_hash)
            {
                continue;
            }
            exported = exported_with_it;
            nodes[index as usize].is_exported = true;
            match parent {
                Some(parent) => nodes[parent].unexported_children -= 1,
                None => unexported_roots -= 1,
            }
        }
    }
}

fn new_node(nodes: &mut [Node], parent: u32, comm: CommId, text: &str) -> Node {
    let comm_chars = text.chars().count();
    let (depth, path_chars, parent_hash) = match nodes.get_mut(parent as usize) {
        Some(parent) => {
            parent.has_children = true;
            parent.unexported_children += 1;
            (parent.depth + 1, parent.path_chars + 1 + comm_chars, parent.name_hash)
        }
        None => (1, comm_chars, 0),
    };
    Node {
        parent,
        comm,
        depth,
        processes: 0,
        zombies: 0,
        usage: Usage::default(),
        subtree: 0,
        has_children: false,
        unexported_children: 0,
        is_exported: false,
        output: NONE,
        other_output: NONE,
        path_chars,
        name_hash: NameHasher::default().hash_one((parent_hash, text)),
    }
}
