//! The process forest: who is whose parent within one container, and how deep it goes.
//!
//! Linear in processes, without recursion, and safe on torn snapshots: whatever the records say, every
//! process has one place in one tree, and every loop ends.
//!
//! [`Forest`] links the records; [`roots`] says how each root came in; [`shape`] sums up each container;
//! [`nodes`] merges processes by the path of their commands; [`frame`] is all of a moment, for readers.

use rustc_hash::FxHashMap;

use crate::model::process::ProcessRecord;

/// No index: the parent of a root.
const NONE: u32 = u32::MAX;

/// Links over the records of a snapshot, by index. Kept and rebuilt each collection.
#[derive(Debug, Default)]
pub struct Forest {
    index_of_pid: FxHashMap<u32, u32>,
    parents: Vec<u32>,
    depths: Vec<u32>,
    child_counts: Vec<u32>,
    /// Parents before their children.
    order: Vec<u32>,
    /// Children of one parent lie together in `children`, from `first_child[parent]` on.
    first_child: Vec<u32>,
    children: Vec<u32>,
    unreached: Vec<u32>,
}

impl Forest {
    /// Links `records`, dropping all but the youngest where several bear one pid: the older ones are gone.
    ///
    /// A parent counts only where it is a member of the same container (or both are on the host) and did
    /// not start after its child: then its pid has been reused, and the child is an orphan. Processes that
    /// no root leads to, as in a cycle, become roots themselves, the oldest first.
    pub fn rebuild(&mut self, records: &mut Vec<ProcessRecord>) {
        self.index_by_pid(records);
        self.find_parents(records);
        self.arrange_children();
        self.descend(records);
    }

    fn index_by_pid(&mut self, records: &mut Vec<ProcessRecord>) {
        let index_of_pid = &mut self.index_of_pid;
        index_of_pid.clear();
        let mut next = 0;
        while next < records.len() {
            match index_of_pid.entry(records[next].key.pid) {
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert(next as u32);
                    next += 1;
                }
                std::collections::hash_map::Entry::Occupied(entry) => {
                    let kept = *entry.get() as usize;
                    records[kept] = records[kept].max(records[next]);
                    records.swap_remove(next);
                }
            }
        }
    }

    fn find_parents(&mut self, records: &[ProcessRecord]) {
        self.parents.clear();
        self.child_counts.clear();
        self.child_counts.resize(records.len(), 0);
        for record in records {
            let parent = self.index_of_pid.get(&record.parent_pid).copied().filter(|&index| {
                let parent = &records[index as usize];
                parent.membership == record.membership
                    && parent.key.start_time <= record.key.start_time
                    && parent.key.pid != record.key.pid
            });
            if let Some(parent) = parent {
                self.child_counts[parent as usize] += 1;
            }
            self.parents.push(parent.unwrap_or(NONE));
        }
    }

    fn arrange_children(&mut self) {
        self.first_child.clear();
        let mut next = 0;
        for &count in &self.child_counts {
            self.first_child.push(next);
            next += count;
        }
        self.children.clear();
        self.children.resize(next as usize, 0);
        // `first_child` serves as the cursor of each parent, and is wound back afterwards.
        for (child, &parent) in self.parents.iter().enumerate() {
            if parent != NONE {
                let cursor = &mut self.first_child[parent as usize];
                self.children[*cursor as usize] = child as u32;
                *cursor += 1;
            }
        }
        for (first, &count) in self.first_child.iter_mut().zip(&self.child_counts) {
            *first -= count;
        }
    }

    fn descend(&mut self, records: &[ProcessRecord]) {
        self.depths.clear();
        self.depths.resize(records.len(), 0);
        self.order.clear();
        for index in 0..records.len() {
            if self.parents[index] == NONE {
                self.depths[index] = 1;
                self.order.push(index as u32);
            }
        }
        self.descend_from(0);
        if self.order.len() == records.len() {
            return;
        }
        self.unreached.clear();
        self.unreached.extend((0..records.len() as u32).filter(|&index| self.depths[index as usize] == 0));
        self.unreached.sort_unstable_by_key(|&index| records[index as usize].key);
        for position in 0..self.unreached.len() {
            let index = self.unreached[position] as usize;
            if self.depths[index] != 0 {
                continue;
            }
            let parent = self.parents[index] as usize;
            self.child_counts[parent] -= 1;
            self.parents[index] = NONE;
            self.depths[index] = 1;
            self.order.push(index as u32);
            self.descend_from(self.order.len() - 1);
        }
    }

    /// Appends to the order all that is below what stands in it from `start` on.
    fn descend_from(&mut self, start: usize) {
        let mut next = start;
        while let Some(&index) = self.order.get(next) {
            next += 1;
            let index = index as usize;
            let first = self.first_child[index] as usize;
            // A child that a cycle made a root is no longer among them, but keeps its place in the list.
            let end = self.first_child.get(index + 1).map_or(self.children.len(), |&end| end as usize);
            let depth = self.depths[index] + 1;
            for &child in &self.children[first..end] {
                if self.depths[child as usize] == 0 {
                    self.depths[child as usize] = depth;
                    self.order.push(child);
                }
            }
        }
    }

    /// Indexes of all records, parents before their children.
    pub fn parents_first(&self) -> impl Iterator<Item = usize> {
        self.order.iter().map(|&index| index as usize)
    }

    /// The parent within the same container; `None` for a root.
    #[must_use]
    pub fn parent(&self, index: usize) -> Option<usize> {
        Some(self.parents[index]).filter(|&parent| parent != NONE).map(|parent| parent as usize)
    }

    /// 1 for a root.
    #[must_use]
    pub fn depth(&self, index: usize) -> u32 {
        self.depths[index]
    }

    /// Children within the same container.
    #[must_use]
    pub fn child_count(&self, index: usize) -> u32 {
        self.child_counts[index]
    }

    /// Any process of the snapshot by its pid, whatever container it is in.
    #[must_use]
    pub fn index_of(&self, pid: u32) -> Option<usize> {
        self.index_of_pid.get(&pid).map(|&index| index as usize)
    }
}
