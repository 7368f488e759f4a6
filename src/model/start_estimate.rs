//! Estimates how many processes a container started, for use without kernel counters.
//!
//! A collection counts the processes that it finds for the first time, and misses processes that live shorter than the
//! interval. However, a pid namespace allocates pids in ascending order (`pid_namespaces(7)`), so at least as many
//! tasks were started between two collections as the highest pid increased by. This increase is used instead if only
//! processes of this container can have caused it:
//!
//! * pid 1 of the namespace is a member of the container;
//! * no member has a second thread or entered by exec, because threads and the runtime's helpers also take pids;
//! * the pids limit rejected no fork in the meantime, because a rejected fork takes a pid;
//! * the highest pid was seen in one of the last few collections, because an increase over hours that is first noticed
//!   now is not a burst.

use super::process::{ProcessKey, ProcessRecord};

/// Number of collections for which a highest pid is used as a baseline. Not every collection finds a process that lives
/// for milliseconds.
const MAX_BASELINE_AGE: u32 = 3;

/// The pids of the members of one container in the namespace of its init.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberPids {
    init: Option<ProcessKey>,
    /// The highest pid of the members that a member started; 0 if there are none.
    highest: u32,
    /// There is a second thread, a root that is not the init, or a member in another pid namespace.
    has_other_tasks: bool,
    /// Number of members that the last collection did not find in this container.
    new_members: u64,
}

impl MemberPids {
    /// Adds one member of the container.
    pub fn add(&mut self, record: &ProcessRecord, is_root: bool, is_new: bool) {
        self.new_members += u64::from(is_new);
        self.has_other_tasks |= record.threads > 1;
        if record.ns_pid == 1 {
            self.init = Some(record.key);
        } else if is_root {
            self.has_other_tasks = true;
        } else {
            // The pid is 0 if the process exited before it could be read, as in a storm of short processes, or if the
            // process takes its pids from another namespace.
            self.highest = self.highest.max(record.ns_pid);
        }
    }
}

/// State of one container that is kept for the next collection.
#[derive(Clone, Copy, Debug, Default)]
pub struct StartBaseline {
    last: Option<Baseline>,
}

#[derive(Clone, Copy, Debug)]
struct Baseline {
    init: ProcessKey,
    highest: u32,
    /// Number of forks that the pids limit had rejected by then.
    refused: u64,
    /// Number of collections since a member first had this pid or a higher one.
    age: u32,
}

impl StartBaseline {
    /// The minimum number of processes that the container started since the last collection. `refused` is the number of
    /// forks that its pids limit has rejected so far; `None` if unknown.
    pub fn update(&mut self, members: &MemberPids, refused: Option<u64>) -> u64 {
        let next = members
            .init
            .zip(refused)
            .filter(|_| !members.has_other_tasks)
            .map(|(init, refused)| Baseline { init, highest: members.highest, refused, age: 0 });
        let last = std::mem::replace(&mut self.last, next);
        let (Some(last), Some(next)) = (last, &mut self.last) else { return members.new_members };
        // Pids wrap around at `kernel.pid_max`. A new pid that is lower starts a new baseline.
        let is_comparable = last.init == next.init && last.refused == next.refused && last.highest > 0;
        if is_comparable && next.highest <= last.highest && (members.new_members == 0 || next.highest == 0) {
            *next = Baseline { age: last.age + 1, ..last };
        }
        if is_comparable && next.highest > last.highest && last.age < MAX_BASELINE_AGE {
            members.new_members.max(u64::from(next.highest - last.highest))
        } else {
            members.new_members
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::process::{Comm, Membership, ProcessState};
    use crate::model::usage::Usage;

    #[derive(Clone, Copy, Default)]
    struct Member {
        ns_pid: u32,
        threads: u32,
        is_exec: bool,
    }

    #[derive(Default)]
    struct Web {
        baseline: StartBaseline,
        seen: Vec<u32>,
        init_start: u64,
    }

    impl Web {
        fn collect(&mut self, members: &[Member], refused: Option<u64>) -> u64 {
            let mut pids = MemberPids::default();
            for member in members {
                let record = ProcessRecord {
                    key: ProcessKey { start_time: self.init_start, pid: 1_000 + member.ns_pid },
                    parent_pid: 1,
                    threads: member.threads.max(1),
                    state: ProcessState::Sleeping,
                    kernel_thread: false,
                    comm: Comm::default(),
                    membership: Membership::container(0),
                    leader_exited: false,
                    has_terminal: false,
                    ns_pid: member.ns_pid,
                    usage: Usage::default(),
                };
                let is_root = member.is_exec || member.ns_pid == 1;
                pids.add(&record, is_root, !self.seen.contains(&member.ns_pid));
            }
            self.seen = members.iter().map(|member| member.ns_pid).collect();
            self.baseline.update(&pids, refused)
        }

        fn pids(&mut self, pids: &[u32]) -> u64 {
            let members: Vec<_> = pids.iter().map(|&ns_pid| Member { ns_pid, ..Member::default() }).collect();
            self.collect(&members, Some(0))
        }
    }

    #[test]
    fn growth_of_the_highest_pid_counts_processes_that_came_and_went() {
        let mut web = Web::default();
        assert_eq!(web.pids(&[1, 5]), 2, "at first what is seen");
        assert_eq!(web.pids(&[1, 105]), 100);
        assert_eq!(web.pids(&[1, 105]), 0);
        assert_eq!(web.pids(&[1]), 0);
        assert_eq!(web.pids(&[1, 110, 107]), 5, "107 is among the five");
    }

    #[test]
    fn pids_before_the_first_child_are_the_runtime_s() {
        let mut web = Web::default();
        assert_eq!(web.pids(&[1]), 1);
        assert_eq!(web.pids(&[1, 8]), 1);
        assert_eq!(web.pids(&[1, 20]), 12);
    }

    #[test]
    fn growth_that_began_long_ago_is_not_a_burst() {
        let mut web = Web::default();
        web.pids(&[1, 2]);
        for _ in 0..MAX_BASELINE_AGE {
            assert_eq!(web.pids(&[1, 2]), 0);
        }
        assert_eq!(web.pids(&[1, 2, 20_000]), 1, "only the process that is seen");
        assert_eq!(web.pids(&[1, 2, 20_100]), 100);
    }

    #[test]
    fn pids_that_wrap_begin_a_new_baseline() {
        let mut web = Web::default();
        web.pids(&[1, 30_000]);
        assert_eq!(web.pids(&[1, 300]), 1);
        assert_eq!(web.pids(&[1, 310]), 10);
    }

    #[test]
    fn pid_growth_is_ignored_if_other_tasks_take_pids() {
        let member = |ns_pid| Member { ns_pid, ..Member::default() };
        for other in [Member { threads: 2, ..member(3) }, Member { is_exec: true, ..member(3) }] {
            let mut web = Web::default();
            web.collect(&[member(1), member(2), other], Some(0));
            assert_eq!(web.collect(&[member(1), member(2), other, member(100)], Some(0)), 1);
            assert_eq!(web.collect(&[member(1), member(2), member(200)], Some(0)), 1, "no baseline yet");
        }
    }

    #[test]
    fn a_process_that_exits_before_its_pid_is_read_hides_no_growth() {
        let mut web = Web::default();
        web.pids(&[1, 10]);
        assert_eq!(web.pids(&[1, 0]), 1, "only the process that is seen");
        assert_eq!(web.pids(&[1, 110]), 100);
    }

    #[test]
    fn refused_forks_take_pids_but_start_nothing() {
        let member = |ns_pid| Member { ns_pid, ..Member::default() };
        let mut web = Web::default();
        let mut collect = |pid, refused| web.collect(&[member(1), member(2), member(pid)], refused);
        collect(10, Some(0));
        assert_eq!(collect(50, Some(40)), 1);
        assert_eq!(collect(60, Some(40)), 10);
        assert_eq!(collect(70, None), 1);
        assert_eq!(collect(80, Some(40)), 1, "no baseline");
        assert_eq!(collect(90, Some(40)), 10);
    }

    #[test]
    fn a_container_that_restarts_begins_a_new_baseline() {
        let mut web = Web::default();
        web.pids(&[1, 500]);
        web.init_start = 900;
        web.seen.clear();
        assert_eq!(web.pids(&[1, 700]), 2);
        assert_eq!(web.pids(&[1, 710]), 10);
    }
}
