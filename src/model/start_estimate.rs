//! How many processes a container has started at least, without the kernel's own count. Pure.
//!
//! A collection sees what runs at that moment. But a pid namespace hands out its numbers in order
//! (`pid_namespaces(7)`), so between two collections it has started at least as many tasks as the highest
//! pid seen in it has grown by. That is a number of *processes* of one container only where nothing else
//! takes pids from the same namespace. A [`StartEstimator`] looks for it:
//!
//! * The namespace is the container's own: its pid 1 is a member, so is all that has a pid there, and no
//!   process anywhere has a pid in a namespace of nobody.
//! * No member was ever seen with a second thread, for threads take pids, too.
//! * Nothing was ever seen that came in by exec, for the runtime brings its own threads; runc has half a
//!   dozen. Those of the container's start lie below the first pid that counts.
//! * No fork was refused by a pids limit, for those take a pid and give it back.
//! * The pid has grown. It wraps at `kernel.pid_max`, and then only what is seen counts.
//!
//! Nobody knows when, between the starts of two processes that were seen, the others were started. They count in
//! the proportion of time that lies within the last few collections, and not before the first: a counter that
//! makes up for hours at once would look like a storm.
//!
//! What remains, and would count too much, is an exec or a program with threads that comes and goes between
//! two collections, where none was seen before.

use crate::model::process::{Comm, Membership, ProcessKey};
use crate::model::walk::{NewProcess, WalkResult};

/// Growth is credited for so many intervals back: of processes that live for milliseconds not every collection
/// meets one.
const CREDITED_INTERVALS: u64 = 3;

/// What one collection tells of the pids of each container.
#[derive(Debug, Default)]
pub struct StartEstimator {
    /// When this and the last snapshot were taken, in clock ticks since boot.
    now: Option<u64>,
    last: Option<u64>,
    by_slot: Vec<SlotPids>,
    /// By membership.
    new_processes: Vec<NewProcess>,
    /// Somebody takes pids from a namespace whose container cannot be told.
    has_strangers: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct SlotPids {
    /// Pid 1 of a namespace just below that of the procfs.
    init: Option<Init>,
    /// Of members that a member has started.
    highest: Highest,
    latest_start: u64,
    has_members_elsewhere: bool,
    has_members_below: bool,
    /// A second thread, or a root process that is not the init.
    has_other_tasks: bool,
}

/// The highest pid, and when the process that has it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Highest {
    pid: u32,
    start_time: u64,
}

/// With its command: the runtime's own process, which has threads, becomes the container's by an exec.
type Init = (ProcessKey, Comm);

/// What is kept of one container for the next collection.
#[derive(Clone, Copy, Debug, Default)]
pub struct StartBaseline {
    counted_from: Option<PidGrowth>,
    /// At any time since its init began.
    had_other_tasks: bool,
    init: Option<Init>,
    /// When the init was first seen, in clock ticks since boot.
    first_look: u64,
}

#[derive(Clone, Copy, Debug)]
struct PidGrowth {
    highest: Highest,
    /// Start time of the youngest process that was seen by then.
    latest_start: u64,
    refused: u64,
}

impl StartEstimator {
    /// Looks at a finished snapshot, taken at `now` in clock ticks since boot; where that is not known, only what
    /// is seen counts. `is_root` tells by index which members have no parent in their container.
    pub fn take(&mut self, walk: &WalkResult, is_root: impl Fn(usize) -> bool, now: Option<u64>) {
        (self.last, self.now) = (self.now, now);
        self.by_slot.clear();
        self.by_slot.resize(walk.containers.len(), SlotPids::default());
        self.new_processes.clone_from(&walk.new_processes);
        self.new_processes.sort_unstable_by_key(|newcomer| newcomer.membership);
        self.has_strangers = false;
        for (index, record) in walk.records.iter().enumerate() {
            let Some(slot) = record.membership.slot() else {
                self.has_strangers |= record.ns_pid != 0;
                continue;
            };
            let estimator = &mut self.by_slot[slot];
            if record.ns_pid == 1 {
                estimator.init = Some((record.key, record.comm));
            } else if is_root(index) {
                estimator.has_other_tasks = true;
            } else {
                let this = Highest { pid: record.ns_pid, start_time: record.key.start_time };
                estimator.highest = estimator.highest.max(this);
            }
            estimator.latest_start = estimator.latest_start.max(record.key.start_time);
            estimator.has_other_tasks |= record.threads > 1;
            estimator.has_members_elsewhere |= record.ns_pid == 0;
            estimator.has_members_below |= record.ns_pid != 0;
        }
        self.has_strangers |= self.by_slot.iter().any(|it| it.init.is_none() && it.has_members_below);
    }

    /// How many processes the container in this slot has started since the last time, at least. `refused` is
    /// how many forks its pids limit has refused so far; `None` where that cannot be told.
    pub fn starts(&self, slot: usize, refused: Option<u64>, mark: &mut StartBaseline) -> u64 {
        let estimator = self.by_slot[slot];
        if mark.init != estimator.init {
            let first_look = self.now.unwrap_or_default();
            *mark = StartBaseline { init: estimator.init, first_look, ..StartBaseline::default() };
        }
        mark.had_other_tasks |= estimator.has_other_tasks;
        let is_sound = estimator.init.is_some()
            && !estimator.has_members_elsewhere
            && !mark.had_other_tasks
            && !self.has_strangers;
        let before = mark.counted_from.take();
        let highest = before.map_or(Highest::default(), |before| before.highest).max(estimator.highest);
        mark.counted_from = refused.filter(|_| is_sound && highest.pid != 0).map(|refused| PidGrowth {
            highest,
            latest_start: estimator.latest_start,
            refused,
        });
        let new_processes = self.newcomers_of(slot);
        let Some(before) = before else {
            return new_processes.len() as u64;
        };
        let is_above = |newcomer: &NewProcess| newcomer.ns_pid > before.highest.pid;
        // What has a lower pid was counted when the pid grew past it, unless it started later.
        let is_uncounted = |newcomer: &NewProcess| {
            newcomer.ns_pid == 0 || !is_above(newcomer) && newcomer.start_time > before.latest_start
        };
        let count =
            |what: &dyn Fn(&NewProcess) -> bool| new_processes.iter().filter(|it| what(it)).count() as u64;
        let seen = count(&is_above);
        let above = match mark.counted_from {
            Some(now) if now.refused == before.refused => {
                seen.max(self.credited(before.highest, now.highest, mark.first_look))
            }
            _ => seen,
        };
        above + count(&is_uncounted)
    }

    /// How much of the growth from one pid to another lies within the last few collections.
    fn credited(&self, from: Highest, to: Highest, first_look: u64) -> u64 {
        let (Some(now), Some(last)) = (self.now, self.last) else { return 0 };
        let growth = u64::from(to.pid - from.pid);
        let window = CREDITED_INTERVALS.saturating_mul(now.saturating_sub(last));
        let begin = from.start_time.max(first_look).max(now.saturating_sub(window));
        let inside = to.start_time.saturating_sub(begin);
        match to.start_time.saturating_sub(from.start_time) {
            // Within one tick.
            0 if to.start_time >= begin => growth,
            0 => 0,
            span => (u128::from(growth) * u128::from(inside) / u128::from(span)) as u64,
        }
    }

    fn newcomers_of(&self, slot: usize) -> &[NewProcess] {
        let membership = Membership::container(slot);
        let begin = self.new_processes.partition_point(|newcomer| newcomer.membership < membership);
        let end = self.new_processes.partition_point(|newcomer| newcomer.membership <= membership);
        &self.new_processes[begin..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::process::{ProcessRecord, ProcessState};

    const WEB: usize = 0;
    const OTHER: usize = 1;

    /// A process by its pid in the namespace below, which is also when it started.
    fn process(slot: Option<usize>, ns_pid: u32, threads: u32) -> ProcessRecord {
        ProcessRecord {
            key: ProcessKey { start_time: u64::from(ns_pid), pid: 1_000 + ns_pid },
            parent_pid: 1,
            threads,
            state: ProcessState::Sleeping,
            kernel_thread: false,
            comm: Comm::default(),
            membership: slot.map_or(Membership::HOST, Membership::container),
            leader_exited: false,
            ns_pid,
        }
    }

    #[derive(Default)]
    struct Machine {
        now: u64,
        estimator: StartEstimator,
        mark: StartBaseline,
        seen: Vec<ProcessKey>,
    }

    impl Machine {
        /// Parent 0 stands for one outside the container.
        fn collect(&mut self, records: &[ProcessRecord], refused: Option<u64>) -> u64 {
            let new = records.iter().filter(|record| !self.seen.contains(&record.key));
            let new_processes = new.map(NewProcess::of).collect();
            self.seen = records.iter().map(|record| record.key).collect();
            let walk = WalkResult { records: records.to_vec(), containers: vec![None, None], new_processes };
            let is_root = |index: usize| {
                let record: &ProcessRecord = &records[index];
                record.ns_pid == 1 || record.parent_pid == 0
            };
            // In the tick in which the youngest was started, unless time has gone on.
            let youngest = records.iter().map(|record| record.key.start_time).max().unwrap_or_default();
            self.now = self.now.max(youngest);
            self.estimator.take(&walk, is_root, Some(self.now));
            self.estimator.starts(WEB, refused, &mut self.mark)
        }

        fn web(&mut self, pids: &[u32]) -> u64 {
            let records: Vec<_> = pids.iter().map(|&pid| process(Some(WEB), pid, 1)).collect();
            self.collect(&records, Some(0))
        }
    }

    #[test]
    fn a_pid_that_grows_counts_what_came_and_went() {
        let mut machine = Machine::default();
        assert_eq!(machine.web(&[1, 5]), 2, "at first what is seen");
        assert_eq!(machine.web(&[1, 105]), 100);
        assert_eq!(machine.web(&[1, 105]), 0);
        assert_eq!(machine.web(&[1]), 0);
        assert_eq!(machine.web(&[1, 110, 107]), 5, "107 is among the five");
    }

    #[test]
    fn what_a_growth_has_counted_is_not_counted_again() {
        let mut machine = Machine::default();
        machine.web(&[1, 2]);
        assert_eq!(machine.web(&[1, 20]), 18);
        // The walk had passed the place of 15 before that was there.
        assert_eq!(machine.web(&[1, 15, 20]), 0);
        // Pids have wrapped: started later than all that was seen.
        let wrapped =
            ProcessRecord { key: ProcessKey { start_time: 99, pid: 7 }, ..process(Some(WEB), 3, 1) };
        assert_eq!(
            machine.collect(&[process(Some(WEB), 1, 1), process(Some(WEB), 20, 1), wrapped], Some(0)),
            1
        );
    }

    #[test]
    fn only_what_is_seen_counts_where_others_take_pids_too() {
        let one = |pid| process(Some(WEB), pid, 1);
        let elsewhere = ProcessRecord { key: ProcessKey { start_time: 9, pid: 9 }, ..one(0) };
        let exec = ProcessRecord { parent_pid: 0, ..one(4) };
        for stranger in
            [process(Some(WEB), 3, 2), process(None, 3, 1), process(Some(OTHER), 3, 1), elsewhere, exec]
        {
            let mut machine = Machine::default();
            machine.collect(&[one(1), one(2), stranger], Some(0));
            assert_eq!(machine.collect(&[one(1), one(2), stranger, one(100)], Some(0)), 1, "{stranger:?}");
        }
        // Another container with an init takes pids from its own namespace.
        let mut machine = Machine::default();
        let other = process(Some(OTHER), 1, 1);
        machine.collect(&[one(1), one(2), other], Some(0));
        assert_eq!(machine.collect(&[one(1), one(2), other, one(100)], Some(0)), 98);
    }

    #[test]
    fn what_the_runtime_took_before_the_first_child_is_no_start() {
        let mut machine = Machine::default();
        assert_eq!(machine.web(&[1]), 1);
        assert_eq!(machine.web(&[1, 8]), 1);
        assert_eq!(machine.web(&[1]), 0);
        assert_eq!(machine.web(&[1, 20]), 12, "from 8 on");
    }

    #[test]
    fn threads_and_execs_that_were_seen_once_are_not_forgotten() {
        let one = |pid, threads| process(Some(WEB), pid, threads);
        for other in [one(3, 2), ProcessRecord { parent_pid: 0, ..one(3, 1) }] {
            let mut machine = Machine::default();
            machine.collect(&[one(1, 1), one(2, 1)], Some(0));
            machine.collect(&[one(1, 1), one(2, 1), other], Some(0));
            machine.collect(&[one(1, 1), one(2, 1)], Some(0));
            assert_eq!(machine.collect(&[one(1, 1), one(2, 1), one(50, 1)], Some(0)), 1);
        }
    }

    #[test]
    fn the_runtime_s_threads_are_forgotten_once_it_is_the_container_s_init() {
        let named =
            |comm: &[u8], threads| ProcessRecord { comm: Comm::new(comm), ..process(Some(WEB), 1, threads) };
        let child = |pid| process(Some(WEB), pid, 1);
        let mut machine = Machine::default();
        machine.collect(&[named(b"runc:[2:INIT]", 6)], Some(0));
        machine.collect(&[named(b"sh", 1), child(8)], Some(0));
        assert_eq!(machine.collect(&[named(b"sh", 1), child(50)], Some(0)), 42);
    }

    #[test]
    fn refused_forks_take_pids_but_are_no_starts() {
        let one = |pid| process(Some(WEB), pid, 1);
        let mut machine = Machine::default();
        let mut collect = |pid, refused| machine.collect(&[one(1), one(2), one(pid)], refused);
        collect(10, Some(0));
        assert_eq!(collect(50, Some(40)), 1);
        assert_eq!(collect(60, Some(40)), 10);
        assert_eq!(collect(70, None), 1);
        assert_eq!(collect(80, Some(40)), 1, "nothing to grow from");
        assert_eq!(collect(90, Some(40)), 10);
    }

    #[test]
    fn a_container_that_starts_anew_begins_anew() {
        let mut machine = Machine::default();
        machine.web(&[1, 500]);
        let init = ProcessRecord { key: ProcessKey { start_time: 900, pid: 1 }, ..process(Some(WEB), 1, 1) };
        let child = |pid| {
            let key = ProcessKey { start_time: 900 + u64::from(pid), pid: 1_000 + pid };
            ProcessRecord { key, ..process(Some(WEB), pid, 1) }
        };
        assert_eq!(machine.collect(&[init], Some(0)), 1);
        assert_eq!(machine.collect(&[init, child(7)], Some(0)), 1);
        assert_eq!(machine.collect(&[init, child(17)], Some(0)), 10);
    }

    /// A child with this pid, started at this tick.
    fn child(pid: u32, start_time: u64) -> ProcessRecord {
        ProcessRecord { key: ProcessKey { start_time, pid: 1_000 + pid }, ..process(Some(WEB), pid, 1) }
    }

    #[test]
    fn a_past_that_nobody_saw_is_not_made_up_for_at_once() {
        let mut machine = Machine::default();
        let (init, worker) = (child(1, 100), child(2, 100));
        // 20,000 forks lie between the worker and the first look, and then it is calm for minutes.
        let look = |machine: &mut Machine, now: u64, more: &[ProcessRecord]| {
            machine.now = now;
            machine.collect(&[&[init, worker][..], more].concat(), Some(0))
        };
        assert_eq!(look(&mut machine, 3_000, &[]), 2);
        for now in (3_500..10_000).step_by(500) {
            assert_eq!(look(&mut machine, now, &[]), 0);
        }
        let one = child(20_010, 9_990);
        let counted = look(&mut machine, 10_000, &[one]);
        // Three intervals of 500 out of the 9,890 ticks since the worker.
        assert!((2_900..3_100).contains(&counted), "{counted}");
        // Seen again it counts no more; what comes right behind it counts in full.
        assert_eq!(look(&mut machine, 10_500, &[one]), 0);
        assert_eq!(look(&mut machine, 11_000, &[one, child(20_110, 10_900)]), 100);
    }

    #[test]
    fn what_was_before_the_first_look_does_not_count() {
        let mut machine = Machine::default();
        let (init, worker) = (child(1, 100), child(2, 100));
        machine.now = 100_000;
        machine.collect(&[init, worker], Some(0));
        machine.now = 100_500;
        let counted = machine.collect(&[init, worker, child(20_010, 100_450)], Some(0));
        assert!((50..150).contains(&counted), "450 of 100,350 ticks: {counted}");
    }

    #[test]
    fn without_a_clock_only_what_is_seen_counts() {
        let mut estimator = StartEstimator::default();
        let mut mark = StartBaseline::default();
        let mut look = |records: Vec<ProcessRecord>, new: &ProcessRecord| {
            let new_processes = vec![NewProcess::of(new)];
            let walk = WalkResult { records, containers: vec![None], new_processes };
            estimator.take(&walk, |index| index == 0, None);
            estimator.starts(WEB, Some(0), &mut mark)
        };
        let (init, worker, late) = (child(1, 100), child(2, 100), child(500, 200));
        look(vec![init, worker], &worker);
        assert_eq!(look(vec![init, worker, late], &late), 1);
    }
}
