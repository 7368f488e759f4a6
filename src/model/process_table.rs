//! All processes of one collection: records sorted by pid, their forest, and the kind of every root.

use super::forest::parents_and_depths::Forest;
use super::forest::root_kinds::RootKinds;
use super::process::ProcessRecord;

/// Shared with readers in an `Arc`, and not modified after that. Its buffers are reused two collections later.
#[derive(Debug, Default)]
pub struct ProcessTable {
    /// Sorted by ascending pid, without duplicates.
    pub records: Vec<ProcessRecord>,
    pub forest: Forest,
    /// The forest in which systemd units are a part of the host; `None` if no process is in a unit.
    pub forest_without_units: Option<Forest>,
    pub roots: RootKinds,
    /// CPU time of each process since the previous collection, in clock ticks, parallel to `records`; empty in the first
    /// collection.
    pub recent_cpu_ticks: Vec<u32>,
}

impl ProcessTable {
    /// The forest of the whole host.
    #[must_use]
    pub fn host_forest(&self) -> &Forest {
        self.forest_without_units.as_ref().unwrap_or(&self.forest)
    }

    /// The index of a process in [`Self::records`].
    #[must_use]
    pub fn index_of(&self, pid: u32) -> Option<usize> {
        index_of_pid(&self.records, pid)
    }
}

/// Finds a pid in records that are sorted by ascending pid.
#[must_use]
pub fn index_of_pid(records: &[ProcessRecord], pid: u32) -> Option<usize> {
    records.binary_search_by_key(&pid, |record| record.key.pid).ok()
}
