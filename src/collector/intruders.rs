//! Processes of the host inside a container's own pid namespace, as plain `nsenter -p` leaves them.

use rustc_hash::FxHashMap;

use super::result::ContainerResult;
use crate::forest::roots::RootKinds;
use crate::membership::{Memberships, PidNamespace};
use crate::model::{ProcessRecord, Snapshot};
use crate::source::ProcessFiles;

/// Counts them for every container that has a pid namespace for itself. Known only where we are shown the
/// namespaces of all processes of the host.
pub fn count(
    snapshot: &Snapshot,
    root_kinds: &RootKinds,
    memberships: &mut Memberships,
    files: &mut impl ProcessFiles,
    results: &mut [ContainerResult],
) {
    for result in results.iter_mut() {
        result.intruders = None;
    }
    let mut intruders = FxHashMap::default();
    for (slot, index) in root_kinds.namespace_inits() {
        let namespace = memberships.pid_namespace(&snapshot.records[index], files);
        if matches!(namespace, PidNamespace::Inode(_)) {
            intruders.insert(namespace, (slot, 0));
        }
    }
    if intruders.is_empty() {
        return;
    }
    // Pid 1 is in the namespace of the procfs, even where it does not show that to us.
    let may_intrude = |record: &&ProcessRecord| {
        record.membership.slot().is_none() && !record.kernel_thread && record.key.pid != 1
    };
    for record in snapshot.records.iter().filter(may_intrude) {
        let namespace = memberships.pid_namespace(record, files);
        if namespace == PidNamespace::Hidden {
            return;
        }
        if let Some((_, count)) = intruders.get_mut(&namespace) {
            *count += 1;
        }
    }
    for (slot, count) in intruders.into_values() {
        results[slot].intruders = Some(count);
    }
}
