//! Parents, children and depths of the processes within one container.
//!
//! The algorithm is linear in the number of processes, except for the search of parents by pid, and not recursive.
//! Inconsistent snapshots are safe: for any input, every process has exactly one position in one tree, and every loop
//! ends.

use crate::model::process::{Membership, ProcessRecord};
use crate::model::process_table::index_of_pid;

/// No index: the parent of a root.
const NONE: u32 = u32::MAX;

/// Links between the records of a process table, by index. Reused and rebuilt for each collection.
#[derive(Debug, Default)]
pub struct Forest {
    parents: Vec<u32>,
    depths: Vec<u32>,
    child_counts: Vec<u32>,
    /// Indexes of all records, parents before their children.
    order: Vec<u32>,
    /// The children of a parent are adjacent in `children`, starting at `first_child[parent]`.
    first_child: Vec<u32>,
    children: Vec<u32>,
    unreached: Vec<u32>,
}

impl Forest {
    /// Links `records`, which must be sorted by ascending pid without duplicates.
    ///
    /// A parent must be in the same container (or both processes must be on the host), and must not have started after
    /// its child. If it started later, the pid was reused and the child is an orphan. Processes that cannot be reached
    /// from a root, as in a cycle, become roots themselves, the oldest first.
    pub fn rebuild(&mut self, records: &[ProcessRecord]) {
        self.rebuild_by(records, |membership| membership);
    }

    /// Links `records` as if systemd units were not distinguished from the rest of the host.
    pub fn rebuild_without_units(&mut self, records: &[ProcessRecord]) {
        self.rebuild_by(records, |it| if it.is_on_host() { Membership::HOST } else { it });
    }

    fn rebuild_by(&mut self, records: &[ProcessRecord], group: impl Fn(Membership) -> Membership) {
        self.find_parents(records, group);
        self.arrange_children();
        self.descend(records);
    }

    fn find_parents(&mut self, records: &[ProcessRecord], group: impl Fn(Membership) -> Membership) {
        self.parents.clear();
        self.child_counts.clear();
        self.child_counts.resize(records.len(), 0);
        // Siblings are close together, so the last search often has the next result.
        let mut last = (0, None);
        for record in records {
            if last.0 != record.parent_pid {
                last = (record.parent_pid, index_of_pid(records, record.parent_pid));
            }
            let parent = last.1.filter(|&index| {
                let parent = &records[index];
                group(parent.membership) == group(record.membership)
                    && parent.key.start_time <= record.key.start_time
                    && parent.key.pid != record.key.pid
            });
            if let Some(parent) = parent {
                self.child_counts[parent] += 1;
            }
            self.parents.push(parent.map_or(NONE, |parent| parent as u32));
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
        // `first_child` is used as a cursor for each parent, and restored afterwards.
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

    /// Appends all descendants of the processes from index `start` of the order to the order.
    fn descend_from(&mut self, start: usize) {
        let mut next = start;
        while let Some(&index) = self.order.get(next) {
            next += 1;
            let index = index as usize;
            let first = self.first_child[index] as usize;
            // A child that became a root because of a cycle stays in the list.
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

    /// Number of children within the same container.
    #[must_use]
    pub fn child_count(&self, index: usize) -> u32 {
        self.child_counts[index]
    }
}
