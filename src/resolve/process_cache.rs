//! Per-process state that is kept between collections, by pid and start time.
//!
//! Both sources list processes by ascending pid. A collection therefore advances through the records of the last one in
//! parallel, and a lookup is one comparison without hashing.

use std::sync::Arc;

use crate::model::process::{Membership, ProcessKey, ProcessRecord};
use crate::model::process_table::ProcessTable;

/// State of a process, kept as long as each collection finds the process.
#[derive(Clone, Copy, Debug)]
pub struct CachedProcess {
    /// Its index in the records of the last collection; [`NEW`] if that collection did not find it.
    previous: u32,
    /// The id of its cgroup when the membership was determined; 0 if the source does not provide ids.
    pub cgroup_id: u64,
    pub pid_namespace: PidNamespace,
    /// Unix time in seconds when it was first seen as a zombie.
    pub zombie_since: Option<f64>,
    /// An earlier collection found it with a parent in its container.
    pub had_parent_inside: bool,
    /// Whether it is pid 1 of its own pid namespace; `None` until that is read.
    pub is_namespace_init: Option<bool>,
    /// Number of collections in which it was in a container in cgroup v1 and in no container in the default hierarchy.
    pub collections_v1_only: u8,
    /// The path of its cgroup has never been readable.
    pub is_unreadable: bool,
    /// At the last reread, its cgroup was the root of every hierarchy. An exiting process looks the same.
    pub was_at_root: bool,
}

/// No earlier collection found the process.
const NEW: u32 = u32::MAX;

/// What is known about the pid namespace of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PidNamespace {
    /// Not read yet, or the process exited before it could be read.
    Unknown,
    /// The kernel does not show it to us.
    Denied,
    /// Its inode number.
    Inode(u64),
}

impl CachedProcess {
    /// The state of a process that no earlier collection found.
    #[must_use]
    pub fn new() -> Self {
        Self {
            previous: NEW,
            cgroup_id: 0,
            pid_namespace: PidNamespace::Unknown,
            zombie_since: None,
            had_parent_inside: false,
            is_namespace_init: None,
            collections_v1_only: 0,
            is_unreadable: false,
            was_at_root: false,
        }
    }

    /// Whether no earlier collection found the process.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.previous == NEW
    }
}

impl Default for CachedProcess {
    fn default() -> Self {
        Self::new()
    }
}

/// A process that an earlier collection found: its previous record and its state.
pub struct Known {
    pub record: ProcessRecord,
    pub process: CachedProcess,
}

/// The processes of the last successful collection and of the current one.
#[derive(Debug, Default)]
pub struct ProcessCache {
    previous_table: Arc<ProcessTable>,
    /// Parallel to its records.
    previous: Vec<CachedProcess>,
    /// Index in the previous records at which the last lookup ended.
    cursor: usize,
    /// Parallel to the records of the current collection.
    current: Vec<CachedProcess>,
}

impl ProcessCache {
    /// Begins a collection. Drops leftovers of a failed collection.
    pub fn begin(&mut self) {
        self.current.clear();
        self.cursor = 0;
    }

    /// The state of a process after the last collection.
    pub fn known(&mut self, key: ProcessKey) -> Option<Known> {
        let records = &self.previous_table.records;
        let is_behind = self.cursor.checked_sub(1).is_some_and(|before| records[before].key.pid >= key.pid);
        if is_behind {
            // The pids are not ascending. This occurs with a directory of plain files instead of a procfs.
            self.cursor = records.partition_point(|record| record.key.pid < key.pid);
        }
        while records.get(self.cursor).is_some_and(|record| record.key.pid < key.pid) {
            self.cursor += 1;
        }
        let record = *records.get(self.cursor).filter(|record| record.key == key)?;
        let process = CachedProcess { previous: self.cursor as u32, ..self.previous[self.cursor] };
        self.cursor += 1;
        Some(Known { record, process })
    }

    /// Adds the entry of the next record.
    pub fn push(&mut self, process: CachedProcess) {
        self.current.push(process);
    }

    /// The entry of a record of the current collection.
    #[must_use]
    pub fn get(&self, index: usize) -> &CachedProcess {
        &self.current[index]
    }

    /// The entry of a record of the current collection.
    pub fn get_mut(&mut self, index: usize) -> &mut CachedProcess {
        &mut self.current[index]
    }

    /// The index of a process in [`Self::previous_records`].
    #[must_use]
    pub fn previous_index(&self, index: usize) -> Option<usize> {
        Some(self.current[index].previous)
            .filter(|&previous| previous != NEW)
            .map(|previous| previous as usize)
    }

    /// The records of the last successful collection.
    #[must_use]
    pub fn previous_records(&self) -> &[ProcessRecord] {
        &self.previous_table.records
    }

    /// CPU time of each process since the last collection, which began at `last` ticks since boot; since its start if it
    /// started later; 0 if it is older, but the last collection did not find it.
    pub fn recent_cpu_ticks(
        &self,
        records: &[ProcessRecord],
        last: Option<u64>,
    ) -> impl Iterator<Item = u32> {
        records.iter().enumerate().map(move |(index, record)| {
            let now = record.usage.cpu_ticks;
            let before = match self.previous_index(index) {
                Some(previous) => self.previous_table.records[previous].usage.cpu_ticks,
                // Sources can round a start time differently.
                None if last.is_some_and(|last| record.key.start_time + 1 < last) => now,
                None => 0,
            };
            u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX)
        })
    }

    /// Sorts the records by ascending pid. Of several records with the same pid, only the youngest is kept, because the
    /// other processes have exited.
    pub fn sort(&mut self, records: &mut Vec<ProcessRecord>) {
        if records.is_sorted_by(|a, b| a.key.pid < b.key.pid) {
            return;
        }
        let mut both: Vec<_> = records.drain(..).zip(self.current.drain(..)).collect();
        both.sort_by_key(|(record, _)| (record.key.pid, std::cmp::Reverse(*record)));
        both.dedup_by_key(|(record, _)| record.key.pid);
        for (record, process) in both {
            records.push(record);
            self.current.push(process);
        }
    }

    /// Removes records that `is_kept` rejects.
    pub fn retain(
        &mut self,
        records: &mut Vec<ProcessRecord>,
        mut is_kept: impl FnMut(&ProcessRecord) -> bool,
    ) {
        let mut kept = 0;
        for index in 0..records.len() {
            if is_kept(&records[index]) {
                records[kept] = records[index];
                self.current[kept] = self.current[index];
                kept += 1;
            }
        }
        records.truncate(kept);
        self.current.truncate(kept);
    }

    /// Ends a successful collection. The next collection looks up its processes.
    pub fn end(&mut self, table: Arc<ProcessTable>) {
        std::mem::swap(&mut self.previous, &mut self.current);
        self.previous_table = table;
    }

    /// Whether the process is new here: the last collection did not find it with this membership.
    #[must_use]
    pub fn is_new_member(&self, index: usize, membership: Membership) -> bool {
        self.previous_index(index)
            .is_none_or(|previous| self.previous_table.records[previous].membership != membership)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::process::{Comm, ProcessState};
    use crate::model::usage::Usage;

    fn record(pid: u32, start_time: u64) -> ProcessRecord {
        ProcessRecord {
            key: ProcessKey { start_time, pid },
            parent_pid: 0,
            threads: 1,
            state: ProcessState::Sleeping,
            kernel_thread: false,
            comm: Comm::default(),
            membership: Membership::HOST,
            leader_exited: false,
            has_terminal: false,
            ns_pid: 0,
            usage: Usage::default(),
        }
    }

    /// Runs a collection of these processes. Returns which of them were known.
    fn collect(cache: &mut ProcessCache, processes: &[(u32, u64)]) -> Vec<bool> {
        cache.begin();
        let mut records = Vec::new();
        let mut known = Vec::new();
        for &(pid, start_time) in processes {
            let record = record(pid, start_time);
            let found = cache.known(record.key);
            known.push(found.is_some());
            cache.push(found.map_or_else(CachedProcess::new, |found| found.process));
            records.push(record);
        }
        cache.sort(&mut records);
        cache.end(Arc::new(ProcessTable { records, ..ProcessTable::default() }));
        known
    }

    #[test]
    fn a_process_is_known_by_pid_and_start_time_in_any_order() {
        let mut cache = ProcessCache::default();
        assert_eq!(collect(&mut cache, &[(5, 1), (7, 1), (9, 1)]), [false; 3]);
        assert_eq!(collect(&mut cache, &[(5, 1), (6, 2), (7, 9), (9, 1)]), [true, false, false, true]);
        assert_eq!(
            collect(&mut cache, &[(9, 1), (5, 1), (7, 9), (6, 2), (8, 1)]),
            [true, true, true, true, false]
        );
    }

    #[test]
    fn a_failed_collection_changes_nothing() {
        let mut cache = ProcessCache::default();
        collect(&mut cache, &[(5, 1), (7, 1)]);
        cache.begin();
        assert!(cache.known(ProcessKey { start_time: 1, pid: 5 }).is_some());
        cache.push(CachedProcess::new());
        assert_eq!(collect(&mut cache, &[(5, 1), (7, 1)]), [true; 2]);
    }

    #[test]
    fn cpu_time_is_new_only_if_it_was_used_since_the_last_collection() {
        let with_ticks = |pid, start_time, cpu_ticks| ProcessRecord {
            usage: Usage { cpu_ticks, resident_pages: 0 },
            ..record(pid, start_time)
        };
        let mut cache = ProcessCache::default();
        let before = vec![with_ticks(5, 10, 100)];
        cache.begin();
        cache.push(CachedProcess::new());
        cache.end(Arc::new(ProcessTable { records: before, ..ProcessTable::default() }));
        // The second was missed by the last collection, at 500; the third started after it.
        let now = [with_ticks(5, 10, 130), with_ticks(6, 20, 9_000), with_ticks(7, 510, 40)];
        cache.begin();
        for record in &now {
            let known = cache.known(record.key);
            cache.push(known.map_or_else(CachedProcess::new, |found| found.process));
        }
        assert_eq!(cache.recent_cpu_ticks(&now, Some(500)).collect::<Vec<_>>(), [30, 0, 40]);
        assert_eq!(cache.recent_cpu_ticks(&now, None).collect::<Vec<_>>(), [30, 9_000, 40], "unknown times");
    }

    #[test]
    fn duplicate_pids_keep_the_youngest_record() {
        let mut cache = ProcessCache::default();
        cache.begin();
        let mut records = vec![record(7, 3), record(5, 1), record(7, 9), record(7, 4)];
        for _ in &records {
            cache.push(CachedProcess::new());
        }
        cache.sort(&mut records);
        let keys: Vec<_> = records.iter().map(|record| (record.key.pid, record.key.start_time)).collect();
        assert_eq!(keys, [(5, 1), (7, 9)]);
        assert_eq!(cache.current.len(), 2);
    }
}
