//! The stages from "export choice" to "starts": which containers and nodes are exported, and their numbers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;

use super::Pipeline;
use crate::model::container::Container;
use crate::model::container_table::membership;
use crate::model::event_counts::EventCounts;
use crate::model::forest::merged_nodes::{ExportedNode, OTHER};
use crate::model::forest::node_share::max_min_cap;
use crate::model::pids::PidsReading;
use crate::model::pod::PodState;
use crate::model::rates::CountedStarts;
use crate::model::snapshot::{ContainerNumbers, ContainerState};

/// Counters of all containers above the limit, over all collections.
#[derive(Default)]
pub(super) struct OverflowCounters {
    starts: u64,
    events: EventCounts,
}

impl Pipeline {
    /// The slots of the containers that are exported individually, sorted by path, and of the containers above the
    /// limit. Containers take precedence over systemd units, then those that have existed longer.
    pub(super) fn choose_containers(&mut self) -> (Vec<usize>, Vec<usize>) {
        let mut exported: Vec<(Duration, Arc<Container>, usize)> = self
            .containers
            .present()
            .map(|(slot, entry)| (entry.present_since, Arc::clone(&entry.container), slot))
            .collect();
        self.runtimes.values_mut().for_each(|count| *count = 0);
        for (_, container, _) in &exported {
            *self.runtimes.entry(container.runtime).or_default() += 1;
        }
        let mut beyond = Vec::new();
        if exported.len() > self.bounds.max_containers {
            exported.sort_unstable_by(|(a_since, a, _), (b_since, b, _)| {
                (a.is_unit(), a_since, &a.path).cmp(&(b.is_unit(), b_since, &b.path))
            });
            beyond = exported.split_off(self.bounds.max_containers);
        }
        exported.sort_unstable_by(|(_, a, _), (_, b, _)| a.path.cmp(&b.path));
        let slots = |chosen: Vec<(Duration, Arc<Container>, usize)>| -> Vec<usize> {
            chosen.into_iter().map(|(_, _, slot)| slot).collect()
        };
        let (exported, beyond) = (slots(exported), slots(beyond));
        for &slot in &exported {
            if let Some(entry) = self.containers.get_mut(slot) {
                entry.is_in_overflow = false;
            }
        }
        (exported, beyond)
    }

    /// The exported nodes of each container.
    pub(super) fn choose_nodes(&mut self, exported: &[usize], now: Duration) -> Vec<Vec<ExportedNode>> {
        let counts = exported.iter().map(|&slot| self.nodes.count(slot));
        let cap = max_min_cap(counts, self.bounds.nodes_per_container, self.bounds.nodes_per_host);
        let Self { containers, nodes, comms, status, .. } = self;
        exported
            .iter()
            .map(|&slot| {
                let mut chosen = Vec::new();
                let admit = |name| containers.get_mut(slot).is_some_and(|entry| entry.names.admit(name, now));
                status.aggregated_nodes += nodes.select(slot, cap, comms, admit, &mut chosen);
                chosen
            })
            .collect()
    }

    /// The reading of the pids controller for each container, and the pods of these containers.
    pub(super) fn read_pids(&mut self, exported: &[usize], unix: f64) -> (Vec<PidsReading>, Vec<PodState>) {
        if !self.pids.is_available() {
            return (vec![PidsReading::default(); exported.len()], self.read_pods(exported));
        }
        let begun = Instant::now();
        self.pids.begin();
        let enclosing = self.enclosing_forests();
        let mut any = exported.is_empty();
        let readings = exported
            .iter()
            .map(|&slot| {
                let Some(entry) = self.containers.get_mut(slot) else { return PidsReading::default() };
                let mut reading = self.pids.read(&entry.container.path);
                any |= reading.current.is_some();
                if enclosing.contains(&slot) {
                    // The kernel counts the tasks of all of them, as the limit does.
                    let PidsReading { limit, nearest_limit, frozen, .. } = reading;
                    reading = PidsReading { limit, nearest_limit, frozen, ..Default::default() };
                }
                entry.pids_limit = reading.limit;
                reading
            })
            .collect();
        let pods = self.read_pods(exported);
        self.pids.end();
        let run = self.status.pids.get_or_insert_default();
        run.success = any;
        run.duration = begun.elapsed().as_secs_f64();
        if any {
            run.last_success = Some(unix);
        }
        (readings, pods)
    }

    /// The pods of these containers, sorted by uid.
    fn read_pods(&mut self, exported: &[usize]) -> Vec<PodState> {
        let mut pods: Vec<PodState> = Vec::new();
        let containers = exported.iter().filter_map(|&slot| self.containers.get(slot));
        for container in containers.map(|entry| &entry.container).filter(|it| !it.pod_uid.is_empty()) {
            // Containers are sorted by path, so those of a pod follow each other.
            if pods.last().is_some_and(|last| last.uid() == &*container.pod_uid) {
                continue;
            }
            let pids = container.pod_path().map(|path| self.pids.read_pod(path)).unwrap_or_default();
            pods.push(PodState { container: Arc::clone(container), pids });
        }
        // Two cgroups with the same uid would be duplicate series.
        pods.sort_by(|a, b| a.uid().cmp(b.uid()));
        pods.dedup_by(|a, b| a.uid() == b.uid());
        pods
    }

    /// Units, and the exporter's own container, whose cgroup contains that of another forest, such as user managers. The
    /// pids controller counts the tasks of all of them together.
    fn enclosing_forests(&self) -> FxHashSet<usize> {
        let mut enclosing = FxHashSet::default();
        if !self.resolver.has_units() && !self.resolver.is_inside() {
            return enclosing;
        }
        for (_, entry) in self.containers.present().filter(|(_, entry)| &*entry.container.path != "/") {
            let mut path = &*entry.container.path;
            while let Some((above, _)) = path.rsplit_once('/') {
                path = above;
                let membership = self.containers.membership_of(if path.is_empty() { "/" } else { path });
                enclosing.extend(membership.and_then(|it| it.slot()));
            }
        }
        enclosing
    }

    /// Estimated number of processes that a container started since the last collection.
    fn count_starts(&mut self, slot: usize, refused: Option<u64>) -> u64 {
        // Processes that already run when the exporter starts are not new.
        let is_first = self.status.collections == 0;
        let Some(entry) = self.containers.get_mut(slot) else { return 0 };
        let starts = entry.start_baseline.update(&self.member_pids[slot], refused);
        if is_first { 0 } else { starts }
    }

    pub(super) fn container_state(
        &mut self,
        slot: usize,
        nodes: Vec<ExportedNode>,
        reading: PidsReading,
        foreign_processes: Option<u64>,
        now: Duration,
    ) -> Option<Arc<ContainerState>> {
        let starts = self.count_starts(slot, reading.refused);
        let is_counted = self.events.is_some();
        let entry = self.containers.get_mut(slot)?;
        entry.observed_starts += starts;
        if is_counted && entry.events.is_none() && self.resolver.cgroups.knows(&entry.container) {
            entry.events = Some(EventCounts::default());
        }
        let events = entry.events.filter(|_| is_counted);
        let max_commands = self.bounds.commands_per_container as usize;
        entry.commands.choose(max_commands, now);
        let usage = self
            .exports_usage
            .then(|| Box::new(entry.usage_counters(now).update(&self.nodes, slot, &self.comms, now)));
        let counted = CountedStarts {
            at: now,
            forks: events.map(|events| events.forks),
            observed: entry.observed_starts,
        };
        let before = entry.counted_starts.replace(counted).filter(|_| entry.present_since < now);
        Some(Arc::new(ContainerState {
            membership: membership(&entry.container, slot),
            container: Arc::clone(&entry.container),
            numbers: ContainerNumbers {
                stats: std::mem::take(&mut self.stats.containers[slot]),
                nodes,
                observed_starts: entry.observed_starts,
                events,
                recent_events: events.map(|_| entry.new_events),
                commands: events.filter(|_| max_commands > 0).map(|_| entry.commands.named().to_vec()),
                usage,
                starts: before.and_then(|before| counted.rate_since(&before)),
                pids_current: reading.current,
                pids_limit: reading.limit,
                nearest_limit: reading.nearest_limit,
                pids_peak: reading.peak,
                pids_limit_hits: reading.limit_hits.map(|hits| entry.limit_hits.update(hits)),
                frozen: reading.frozen,
                foreign_processes,
            },
            present_since: entry.present_since,
        }))
    }

    /// The sum of all containers above the limit; `None` if there are none.
    pub(super) fn sum_up_overflow(&mut self, beyond: &[usize], now: Duration) -> Option<ContainerNumbers> {
        if beyond.is_empty() {
            return None;
        }
        let mut overflow = ContainerNumbers::default();
        for &slot in beyond {
            overflow.stats.merge(&self.stats.containers[slot]);
            self.status.aggregated_nodes += self.nodes.count(slot) as u64;
            self.overflow.starts += self.count_starts(slot, None);
            if let Some(entry) = self.containers.get_mut(slot) {
                entry.is_in_overflow = true;
                self.overflow.events += entry.new_events;
                if self.exports_usage {
                    entry.usage_counters(now).add_unnamed(self.nodes.usage(slot).cpu_ticks);
                }
            }
        }
        overflow.observed_starts = self.overflow.starts;
        let mut events = self.overflow.events;
        events += self.containers.overflow_residual();
        overflow.events = self.events.is_some().then_some(events);
        overflow.nodes = vec![ExportedNode {
            processes: overflow.stats.processes,
            zombies: overflow.stats.zombies(),
            ..ExportedNode::root(OTHER)
        }];
        Some(overflow)
    }
}
