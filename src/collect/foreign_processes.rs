//! Processes of the host inside a container's own pid namespace, as plain `nsenter -p` leaves them.

use rustc_hash::FxHashMap;

use crate::collect::result::ContainerResult;
use crate::model::forest::root_kinds::RootKinds;
use crate::model::process::ProcessRecord;
use crate::model::walk::WalkResult;
use crate::resolve::process_cache::PidNamespace;
use crate::resolve::process_files::ProcessFiles;
use crate::resolve::resolver::ContainerResolver;

/// Counts them for every container that has a pid namespace for itself. Known only where we are shown the
/// namespaces of all processes of the host.
pub fn count(
    walk: &WalkResult,
    root_kinds: &RootKinds,
    resolver: &mut ContainerResolver,
    files: &mut impl ProcessFiles,
    results: &mut [ContainerResult],
) {
    for result in results.iter_mut() {
        result.foreign_processes = None;
    }
    let mut foreign_processes = FxHashMap::default();
    for (slot, index) in root_kinds.namespace_inits() {
        let namespace = resolver.pid_namespace(&walk.records[index], files);
        if matches!(namespace, PidNamespace::Inode(_)) {
            foreign_processes.insert(namespace, (slot, 0));
        }
    }
    if foreign_processes.is_empty() {
        return;
    }
    // Pid 1 is in the namespace of the procfs, even where it does not show that to us.
    let may_intrude = |record: &&ProcessRecord| {
        record.membership.slot().is_none() && !record.kernel_thread && record.key.pid != 1
    };
    for record in walk.records.iter().filter(may_intrude) {
        let namespace = resolver.pid_namespace(record, files);
        if namespace == PidNamespace::Hidden {
            return;
        }
        if let Some((_, count)) = foreign_processes.get_mut(&namespace) {
            *count += 1;
        }
    }
    for (slot, count) in foreign_processes.into_values() {
        results[slot].foreign_processes = Some(count);
    }
}
