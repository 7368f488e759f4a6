//! A walk takes its time: of processes that fork and die all the while it meets some that die and, later in the list,
//! those that took their place. In a container at its pids limit that would show as more than the limit allows.

use crate::model::process::ProcessKey;
use crate::model::walk::WalkResult;

/// Where more tasks were met than a container may have, leaves those out that are gone by now: all others were there
/// when the walk ended. `limit` is the pids limit by slot, as far as it is known; `is_listed` reads.
pub fn prune_exited(
    walk: &mut WalkResult,
    limit: impl Fn(usize) -> Option<u64>,
    mut is_listed: impl FnMut(ProcessKey) -> bool,
) {
    let mut tasks = vec![0; walk.containers.len()];
    for record in &walk.records {
        if let Some(slot) = record.membership.slot() {
            // A zombie has no thread, and takes a pid.
            tasks[slot] += u64::from(record.threads.max(1));
        }
    }
    let has_surplus = |slot: usize| limit(slot).is_some_and(|limit| tasks[slot] > limit);
    if (0..tasks.len()).any(has_surplus) {
        walk.records
            .retain(|record| !record.membership.slot().is_some_and(has_surplus) || is_listed(record.key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::process::{Comm, Membership, ProcessRecord, ProcessState};

    fn walk(slots: &[Option<usize>]) -> WalkResult {
        let record = |(index, slot): (usize, &Option<usize>)| ProcessRecord {
            key: ProcessKey { start_time: 1, pid: index as u32 },
            parent_pid: 0,
            threads: u32::from(index % 2 == 0),
            state: ProcessState::Sleeping,
            kernel_thread: false,
            comm: Comm::default(),
            membership: slot.map_or(Membership::HOST, Membership::container),
            leader_exited: false,
            ns_pid: 0,
        };
        let records = slots.iter().enumerate().map(record).collect();
        WalkResult { records, containers: vec![None, None], new_processes: Vec::new() }
    }

    fn left(limits: [Option<u64>; 2]) -> (Vec<u32>, usize) {
        let mut walk = walk(&[Some(0), Some(0), None, Some(1), Some(0), Some(1)]);
        let mut reads = 0;
        prune_exited(
            &mut walk,
            |slot| limits[slot],
            |key| {
                reads += 1;
                ![0, 2, 5].contains(&key.pid)
            },
        );
        (walk.records.iter().map(|record| record.key.pid).collect(), reads)
    }

    #[test]
    fn only_members_of_a_container_above_its_limit_are_looked_at() {
        let all = vec![0, 1, 2, 3, 4, 5];
        assert_eq!(left([None, None]), (all.clone(), 0));
        assert_eq!(left([Some(3), Some(2)]), (all, 0));
        assert_eq!(left([Some(2), Some(2)]), (vec![1, 2, 3, 4, 5], 3));
        assert_eq!(left([Some(3), Some(1)]), (vec![0, 1, 2, 3, 4], 2));
    }
}
