//! All processes of one collection: records in the order of their pids, the forest over them, and the kind of every
//! root.

use super::forest::parents_and_depths::Forest;
use super::forest::root_kinds::RootKinds;
use super::process::ProcessRecord;

/// Shared with readers behind an `Arc`, and never changed then. Its buffers are filled again two collections later.
#[derive(Debug, Default)]
pub struct ProcessTable {
    /// Ascending by pid, each pid once.
    pub records: Vec<ProcessRecord>,
    pub forest: Forest,
    pub roots: RootKinds,
}

impl ProcessTable {
    /// The place of a process in [`Self::records`].
    #[must_use]
    pub fn index_of(&self, pid: u32) -> Option<usize> {
        index_of_pid(&self.records, pid)
    }
}

/// Finds a pid in records that are ascending by pid.
#[must_use]
pub fn index_of_pid(records: &[ProcessRecord], pid: u32) -> Option<usize> {
    records.binary_search_by_key(&pid, |record| record.key.pid).ok()
}
