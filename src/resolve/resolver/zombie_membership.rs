//! The container of a process whose cgroup the kernel does not show: a zombie on cgroup v1, or a path longer than
//! PATH_MAX.
//!
//! Such a process belongs to the container of its parent, or else to the container that owns its pid namespace.

use rustc_hash::FxHashMap;

use super::ContainerResolver;
use crate::model::process::{Membership, ProcessRecord};
use crate::resolve::process_cache::PidNamespace;
use crate::resolve::process_files::ProcessFiles;

impl ContainerResolver {
    /// Resolves by parent, oldest processes first so that parents come before children; then by pid namespace.
    pub(super) fn resolve_by_relatives(
        &mut self,
        files: &mut impl ProcessFiles,
        records: &mut [ProcessRecord],
    ) {
        let mut unresolved = std::mem::take(&mut self.unresolved);
        unresolved.sort_unstable_by_key(|&index| records[index].key);
        // The records may not be sorted by pid yet.
        let index_of: FxHashMap<u32, usize> =
            records.iter().enumerate().map(|(index, record)| (record.key.pid, index)).collect();
        let mut owners: Option<FxHashMap<PidNamespace, Membership>> = None;
        for &index in &unresolved {
            let record = records[index];
            let parent = index_of.get(&record.parent_pid).map(|&parent| &records[parent]);
            let by_parent = parent.filter(|parent| parent.key.start_time <= record.key.start_time);
            let mut membership = by_parent.map_or(Membership::HOST, |parent| parent.membership);
            if membership.is_on_host() {
                let namespace = self.pid_namespace(index, record.key.pid, files);
                let owners = owners.get_or_insert_with(|| self.namespace_owners(files, records));
                membership = owners.get(&namespace).copied().unwrap_or(membership);
            }
            records[index].membership = membership;
        }
        self.unresolved = unresolved;
    }

    /// Maps each pid namespace of a container to the container whose process is pid 1 in it. If the oldest process of a
    /// container has not been read yet, reads it.
    fn namespace_owners(
        &mut self,
        files: &mut impl ProcessFiles,
        records: &[ProcessRecord],
    ) -> FxHashMap<PidNamespace, Membership> {
        let mut oldest: FxHashMap<usize, usize> = FxHashMap::default();
        for (index, record) in records.iter().enumerate() {
            if let Some(slot) = record.membership.slot().filter(|_| !record.membership.is_on_host()) {
                let oldest = oldest.entry(slot).or_insert(index);
                if record.key < records[*oldest].key {
                    *oldest = index;
                }
            }
        }
        let mut owners = FxHashMap::default();
        for index in oldest.into_values() {
            let pid = records[index].key.pid;
            let is_init = self.is_namespace_init(index, pid, files);
            let namespace = self.pid_namespace(index, pid, files);
            if is_init && matches!(namespace, PidNamespace::Inode(_)) {
                owners.insert(namespace, records[index].membership);
            }
        }
        owners
    }
}
