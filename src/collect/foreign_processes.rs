//! Finds processes that are in a container's pid namespace but not in its cgroup, for example after `nsenter -p`.

use rustc_hash::FxHashMap;

use crate::model::process::ProcessRecord;
use crate::model::process_table::ProcessTable;
use crate::resolve::process_cache::PidNamespace;
use crate::resolve::process_files::ProcessFiles;
use crate::resolve::resolver::ContainerResolver;

/// Counts these processes by slot, for every container with its own pid namespace. Empty if the kernel does not show
/// the namespaces of all processes of the host.
pub(super) fn count(
    table: &ProcessTable,
    resolver: &mut ContainerResolver,
    files: &mut impl ProcessFiles,
) -> FxHashMap<usize, u64> {
    let records = &table.records;
    let mut namespaces = FxHashMap::default();
    let inits = table.roots.namespace_inits();
    for (slot, index) in inits.filter(|&(_, index)| !records[index].membership.is_on_host()) {
        let namespace = resolver.pid_namespace(index, records[index].key.pid, files);
        if matches!(namespace, PidNamespace::Inode(_)) {
            namespaces.insert(namespace, (slot, 0));
        }
    }
    if namespaces.is_empty() {
        return FxHashMap::default();
    }
    // Pid 1 is in the namespace of the procfs, even if the kernel does not show its namespace to us.
    let may_be_foreign = |record: &ProcessRecord| {
        record.membership.is_on_host() && !record.kernel_thread && record.key.pid != 1
    };
    for (index, record) in records.iter().enumerate().filter(|(_, record)| may_be_foreign(record)) {
        let namespace = resolver.pid_namespace(index, record.key.pid, files);
        if namespace == PidNamespace::Denied {
            return FxHashMap::default();
        }
        if let Some((_, count)) = namespaces.get_mut(&namespace) {
            *count += 1;
        }
    }
    namespaces.into_values().collect()
}
