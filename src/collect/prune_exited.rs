//! Drops processes that exited during the walk, if a container would otherwise have more tasks than its limit allows.
//!
//! A walk is not atomic. If processes fork and exit during the walk, it can find a process that then exits and, later
//! in the list, the process that replaced it. A container at its pids limit would then appear to exceed the limit.

use crate::model::container_table::ContainerTable;
use crate::model::process::{ProcessKey, ProcessRecord};
use crate::resolve::resolver::ContainerResolver;

/// If a container has more tasks than its pids limit allows, removes its processes that have exited by now. All other
/// processes existed when the walk ended. `is_listed` reads from procfs.
pub(super) fn prune_exited(
    resolver: &mut ContainerResolver,
    containers: &mut ContainerTable,
    records: &mut Vec<ProcessRecord>,
    mut is_listed: impl FnMut(ProcessKey) -> bool,
) {
    let exceeding: Vec<usize> = containers
        .present()
        .filter(|(_, entry)| entry.pids_limit.is_some_and(|limit| entry.tasks > limit))
        .map(|(slot, _)| slot)
        .collect();
    if !exceeding.is_empty() {
        resolver.retain(containers, records, |record| {
            !record.membership.slot().is_some_and(|slot| exceeding.contains(&slot)) || is_listed(record.key)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::process::{Comm, Membership, NsPids, ProcessState, SkipReason};
    use crate::model::usage::Usage;
    use crate::resolve::process_files::ProcessFiles;
    use std::time::Duration;

    /// Pids 10 and up are in container `a`, 20 and up in `b`, the others on the host.
    struct Files(Vec<u8>);

    impl ProcessFiles for Files {
        fn cgroup(&mut self, pid: u32) -> Result<&[u8], SkipReason> {
            self.0 = match pid / 10 {
                0 => b"0::/init.scope\n".to_vec(),
                1 => format!("0::/docker/{}\n", "a".repeat(64)).into_bytes(),
                _ => format!("0::/docker/{}\n", "b".repeat(64)).into_bytes(),
            };
            Ok(&self.0)
        }

        fn ns_pids(&mut self, _: u32) -> Option<NsPids> {
            None
        }

        fn pid_namespace(&mut self, _: u32) -> Result<u64, SkipReason> {
            Err(SkipReason::Denied)
        }
    }

    /// Three processes are in `a` and two in `b`. Returns the pids that remain under these limits, and how many were
    /// read.
    fn left(limits: [Option<u64>; 2]) -> (Vec<u32>, usize) {
        let mut resolver = ContainerResolver::new(None, Duration::from_secs(5));
        let mut containers = ContainerTable::new(100);
        let mut records = Vec::new();
        let mut files = Files(Vec::new());
        containers.begin(Duration::from_secs(1));
        resolver.begin(Duration::from_secs(5));
        for pid in [2, 10, 11, 12, 20, 21] {
            let record = ProcessRecord {
                key: ProcessKey { start_time: 1, pid },
                parent_pid: 0,
                // A zombie has no threads.
                threads: u32::from(pid % 2 == 0),
                state: ProcessState::Sleeping,
                kernel_thread: false,
                comm: Comm::default(),
                membership: Membership::HOST,
                leader_exited: false,
                has_terminal: false,
                ns_pid: 0,
                usage: Usage::default(),
            };
            resolver
                .resolve(record, None, &mut files, &mut containers, &mut records)
                .expect("it has a cgroup file");
        }
        resolver.finish(&mut files, &mut containers, &mut records);
        for (pid, limit) in [10, 20].into_iter().zip(limits) {
            let record = records.iter().find(|record| record.key.pid == pid).expect("it is there");
            let slot = record.membership.slot().expect("in a container");
            containers.get_mut(slot).expect("an entry").pids_limit = limit;
        }
        let mut reads = 0;
        prune_exited(&mut resolver, &mut containers, &mut records, |key| {
            reads += 1;
            ![2, 11, 21].contains(&key.pid)
        });
        (records.iter().map(|record| record.key.pid).collect(), reads)
    }

    #[test]
    fn only_members_of_a_container_above_its_limit_are_read_again() {
        let all = vec![2, 10, 11, 12, 20, 21];
        assert_eq!(left([None, None]), (all.clone(), 0));
        assert_eq!(left([Some(3), Some(2)]), (all, 0));
        assert_eq!(left([Some(2), Some(2)]), (vec![2, 10, 12, 20, 21], 3));
        assert_eq!(left([Some(3), Some(1)]), (vec![2, 10, 11, 12, 20], 2));
    }
}
