//! CPU time and memory of a container by path of commands: the paths that use most have their own series, all others are summed.

use std::sync::Arc;
use std::time::Duration;

use super::busiest::{Busiest, NamedSeries};
use super::comm_interner::CommInterner;
use super::forest::merged_nodes::{MergedNodes, OTHER};
use super::name_budget::NameBudget;

/// Paths of one container with their own series, of each family.
const MAX_PATHS: usize = 5;
/// New paths of one container that get a series of memory within an hour.
const NEW_PATHS_PER_HOUR: u32 = 50;
/// Paths of one collection that can become one of the busiest.
const MAX_CANDIDATES: usize = 32;

/// The paths of one collection, and the sum of all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathUsage {
    /// Clock ticks since the first collection. That of processes that exited stays with their path.
    pub cpu_ticks: Vec<NamedSeries<u64>>,
    pub other_cpu_ticks: u64,
    pub resident_pages: Vec<NamedSeries<u64>>,
    pub other_resident_pages: u64,
}

/// What is kept of one container between collections.
#[derive(Debug)]
pub struct PathUsageCounters {
    cpu: Busiest<u64>,
    cpu_ticks: u64,
    names: NameBudget,
}

impl PathUsageCounters {
    #[must_use]
    pub fn new(now: Duration) -> Self {
        Self { cpu: Busiest::new(now), cpu_ticks: 0, names: NameBudget::new(NEW_PATHS_PER_HOUR, now) }
    }

    /// Adds the CPU time of a collection in which the container is not exported on its own.
    pub fn add_unnamed(&mut self, cpu_ticks: u64) {
        self.cpu_ticks = self.cpu_ticks.saturating_add(cpu_ticks);
    }

    /// Adds the nodes of a collection. Their CPU time is that since the previous one.
    pub fn update(
        &mut self,
        nodes: &MergedNodes,
        slot: usize,
        comms: &CommInterner,
        now: Duration,
    ) -> PathUsage {
        let usage = nodes.usage(slot);
        self.add_unnamed(usage.cpu_ticks);
        for (node, ticks) in nodes.biggest(slot, |usage| usage.cpu_ticks).take(MAX_CANDIDATES) {
            if let Some(path) = nodes.path(node, comms) {
                self.cpu.add(&path, ticks);
            }
        }
        self.cpu.choose(MAX_PATHS, now);
        let resident_pages = self.biggest_in_memory(nodes, slot, comms, now);
        let sum = |series: &[NamedSeries<u64>]| {
            series.iter().fold(0, |sum: u64, series| sum.saturating_add(series.count))
        };
        PathUsage {
            cpu_ticks: self.cpu.named().to_vec(),
            other_cpu_ticks: self.cpu_ticks.saturating_sub(sum(self.cpu.named())),
            other_resident_pages: usage.resident_pages.saturating_sub(sum(&resident_pages)),
            resident_pages,
        }
    }

    fn biggest_in_memory(
        &mut self,
        nodes: &MergedNodes,
        slot: usize,
        comms: &CommInterner,
        now: Duration,
    ) -> Vec<NamedSeries<u64>> {
        self.names.refill(NEW_PATHS_PER_HOUR, now);
        let mut series: Vec<NamedSeries<u64>> = Vec::with_capacity(MAX_PATHS);
        for (node, pages) in nodes.biggest(slot, |usage| usage.resident_pages).take(MAX_CANDIDATES) {
            if series.len() == MAX_PATHS {
                break;
            }
            let path = nodes.path(node, comms).filter(|path| path != OTHER);
            if let Some(path) = path.filter(|_| self.names.admit(nodes.name_hash(node), now)) {
                series.push(NamedSeries { name: Arc::from(path), count: pages, recent: 0 });
            }
        }
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::forest::parents_and_depths::Forest;
    use crate::model::process::{Comm, Membership, ProcessKey, ProcessRecord, ProcessState};
    use crate::model::usage::Usage;

    /// Processes of one container: pid, parent, command, CPU time since the previous collection, pages.
    type Processes<'a> = &'a [(u32, u32, &'a str, u32, u64)];

    #[derive(Default)]
    struct Container {
        comms: CommInterner,
        nodes: MergedNodes,
        counters: Option<PathUsageCounters>,
        seconds: u64,
    }

    impl Container {
        fn collect(&mut self, processes: Processes<'_>) -> PathUsage {
            self.seconds += 5;
            let now = Duration::from_secs(self.seconds);
            let records: Vec<ProcessRecord> = processes
                .iter()
                .map(|&(pid, parent_pid, comm, _, resident_pages)| ProcessRecord {
                    key: ProcessKey { start_time: u64::from(pid), pid },
                    parent_pid,
                    threads: 1,
                    state: ProcessState::Sleeping,
                    kernel_thread: false,
                    comm: Comm::new(comm.as_bytes()),
                    membership: Membership::container(0),
                    leader_exited: false,
                    has_terminal: false,
                    ns_pid: pid,
                    usage: Usage { cpu_ticks: 0, resident_pages },
                })
                .collect();
            let recent: Vec<u32> = processes.iter().map(|process| process.3).collect();
            let mut forest = Forest::default();
            forest.rebuild(&records);
            self.comms.intern_all(&records, &[], |_| None);
            self.nodes.rebuild((&records, &recent), &forest, 1, &self.comms);
            let counters = self.counters.get_or_insert_with(|| PathUsageCounters::new(now));
            counters.update(&self.nodes, 0, &self.comms, now)
        }
    }

    fn series(series: &[NamedSeries<u64>]) -> Vec<(&str, u64)> {
        series.iter().map(|series| (&*series.name, series.count)).collect()
    }

    #[test]
    fn cpu_time_of_processes_that_exited_stays_with_their_path() {
        let mut container = Container::default();
        container.collect(&[(1, 0, "sh", 3, 10), (2, 1, "burn", 90, 20), (3, 1, "burn", 60, 20)]);
        let usage = container.collect(&[(1, 0, "sh", 1, 10)]);
        assert_eq!(series(&usage.cpu_ticks), [("sh;burn", 150), ("sh", 4)]);
        assert_eq!(usage.other_cpu_ticks, 0);
        assert_eq!(series(&usage.resident_pages), [("sh", 10)]);
    }

    #[test]
    fn five_paths_have_series_and_the_sums_are_exact() {
        let mut container = Container::default();
        let names: Vec<String> = (0..40).map(|number| format!("c{number}")).collect();
        let processes: Vec<(u32, u32, &str, u32, u64)> =
            (1..).zip(&names).map(|(pid, name)| (pid, 0, &**name, 1000 - pid, u64::from(pid))).collect();
        let usage = container.collect(&processes);
        assert_eq!(series(&usage.cpu_ticks).len(), 5);
        assert_eq!(series(&usage.cpu_ticks)[0], ("c0", 999));
        assert_eq!(
            series(&usage.resident_pages),
            [("c39", 40), ("c38", 39), ("c37", 38), ("c36", 37), ("c35", 36)]
        );
        let named: u64 = usage.cpu_ticks.iter().map(|series| series.count).sum();
        assert_eq!(named + usage.other_cpu_ticks, (1..=40).map(|pid| 1000 - pid).sum::<u64>());
        assert_eq!(190 + usage.other_resident_pages, (1..=40).sum::<u64>());
    }

    #[test]
    fn random_paths_are_limited() {
        let mut container = Container::default();
        let mut seen = std::collections::BTreeSet::new();
        for round in 0..500 {
            let names: Vec<String> = (0..20).map(|number| format!("r{round}-{number}")).collect();
            let processes: Vec<(u32, u32, &str, u32, u64)> =
                (1..).zip(&names).map(|(pid, name)| (pid, 0, &**name, 10 + round, 10)).collect();
            let usage = container.collect(&processes);
            assert!(usage.cpu_ticks.len() <= MAX_PATHS && usage.resident_pages.len() <= MAX_PATHS);
            let all = usage.cpu_ticks.iter().chain(&usage.resident_pages);
            seen.extend(all.map(|series| Arc::clone(&series.name)));
        }
        // The budgets of both families for the first hour, and what they gained meanwhile.
        assert!(seen.len() <= 2 * 90, "{}", seen.len());
    }
}
