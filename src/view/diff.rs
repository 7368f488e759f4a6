//! What came and what went from one look to the next. Pure.

use rustc_hash::FxHashMap;

use crate::model::process::ProcessKey;
use crate::view::tree::{Mark, Process, Tree};

/// The tree as it is now, with what came since `before` marked, and what went in its old place.
#[must_use]
pub fn diff(now: &Tree, before: &Tree) -> Tree {
    let mut processes = now.processes.clone();
    let mut place_of: FxHashMap<ProcessKey, usize> = FxHashMap::default();
    let was_there: FxHashMap<ProcessKey, ()> = before.processes.iter().map(|it| (it.key, ())).collect();
    for (index, process) in processes.iter_mut().enumerate() {
        place_of.insert(process.key, index);
        if process.mark == Mark::None && !was_there.contains_key(&process.key) {
            process.mark = Mark::Added;
        }
    }
    // Parents stand before their children there, and so they do here, behind all that lives.
    for gone in &before.processes {
        if place_of.contains_key(&gone.key) {
            continue;
        }
        let parent = gone.parent.and_then(|parent| place_of.get(&before.processes[parent].key).copied());
        place_of.insert(gone.key, processes.len());
        processes.push(Process { parent, mark: Mark::Removed, ..gone.clone() });
    }
    Tree { processes }
}
