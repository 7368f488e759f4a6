//! The difference between two trees of the same container.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::process::ProcessKey;
use crate::view::tree::{Highlight, Process, Tree};

/// The current tree with added processes highlighted, and with the processes that were removed since `previous`, each
/// below its previous parent.
#[must_use]
pub fn diff(current: &Tree, previous: &Tree) -> Tree {
    let mut processes = current.processes.clone();
    let mut index_of: FxHashMap<ProcessKey, usize> = FxHashMap::default();
    let previous_keys: FxHashSet<ProcessKey> = previous.processes.iter().map(|process| process.key).collect();
    for (index, process) in processes.iter_mut().enumerate() {
        index_of.insert(process.key, index);
        if process.highlight == Highlight::None && !previous_keys.contains(&process.key) {
            process.highlight = Highlight::Added;
        }
    }
    // A tree lists parents before their children. This also holds for the removed processes appended here.
    for removed in &previous.processes {
        if index_of.contains_key(&removed.key) {
            continue;
        }
        let parent = removed.parent.and_then(|parent| index_of.get(&previous.processes[parent].key).copied());
        index_of.insert(removed.key, processes.len());
        processes.push(Process { parent, highlight: Highlight::Removed, ..removed.clone() });
    }
    Tree { processes }
}
