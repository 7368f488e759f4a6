//! Determines the container of each process.
//!
//! The cgroup of a new process is read once, and its container is cached by pid and start time. If a process moves, its
//! container is looked up again: with BPF, the next collection sees another cgroup id; with `/proc`, the cgroup of
//! every member is reread within a minute. Processes on the host are reread in every collection, so a process that
//! enters a container is detected in the next collection. The same applies to processes in systemd units, which are
//! processes of the host.
//!
//! A process whose cgroup the kernel does not show (a zombie on cgroup v1, or a path longer than PATH_MAX) keeps its
//! previous container. Without one, `zombie_membership` decides.

mod pid_namespaces;
mod placement;
mod zombie_membership;

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::cgroup_file::{CgroupFile, parse_cgroup_file};
use super::cgroup_owners::{CgroupOwners, Owner};
use super::process_cache::{CachedProcess, Known, PidNamespace, ProcessCache};
use super::process_files::{KernelFields, ProcessFiles};
use crate::model::cgroup_layout::CgroupLayout;
use crate::model::container::Container;
use crate::model::container_table::ContainerTable;
use crate::model::process::{Membership, ProcessRecord, ProcessState, SkipReason};
use crate::model::process_table::ProcessTable;

/// A runtime moves a process into all hierarchies within milliseconds, on a busy machine within seconds. If a process
/// is in a container in cgroup v1 only for this long, in all collections of that time, the container uses cgroup v1
/// only.
const LONGEST_MOVE: Duration = Duration::from_secs(10);
const MIN_COLLECTIONS_V1_ONLY: u8 = 3;

/// With `/proc`, the cgroup of every member is reread within this time.
const REREAD_WITHIN: Duration = Duration::from_secs(50);

/// The cgroup path of a process, read shortly after the kernel reported the id of its cgroup. The process may have
/// moved in between, so the path is confirmed before the id is learned.
#[derive(Debug, PartialEq, Eq)]
pub struct UnconfirmedCgroup {
    /// The path in the default hierarchy.
    pub path: Box<str>,
    pub owner: Owner,
}

/// The state of the attribution. Created once per exporter.
#[derive(Debug)]
pub struct ContainerResolver {
    cache: ProcessCache,
    /// Cgroups of the default hierarchy by id.
    pub cgroups: CgroupOwners,
    /// Cgroups of the last walk, by id.
    pub unconfirmed_cgroups: FxHashMap<u64, UnconfirmedCgroup>,
    /// Processes in no container belong to this container. Set if the exporter runs in a container and no other is
    /// visible.
    own_container: Option<Arc<Container>>,
    /// Whether the services and scopes of systemd on the host are distinguished.
    with_units: bool,
    has_v1: bool,
    has_v2: bool,
    has_relative_paths: bool,
    /// Indexes of the processes of the current walk whose cgroup the kernel does not show.
    unresolved: Vec<usize>,
    /// Each collection rereads the cgroups of a part of the members.
    collection: u32,
    reread_parts: u32,
    max_collections_v1_only: u8,
    has_v1_only_containers: bool,
}

impl ContainerResolver {
    /// `own_container` is the container that the exporter runs in, if only its processes are visible. `interval` is the
    /// minimum time between two collections.
    #[must_use]
    pub fn new(own_container: Option<Container>, interval: Duration) -> Self {
        // The cast saturates: 255 collections are enough for any interval.
        let collections_of_a_move = LONGEST_MOVE.div_duration_f64(interval).ceil() as u8;
        Self {
            cache: ProcessCache::default(),
            cgroups: CgroupOwners::default(),
            unconfirmed_cgroups: FxHashMap::default(),
            own_container: own_container.map(Arc::new),
            with_units: false,
            has_v1: false,
            has_v2: false,
            has_relative_paths: false,
            unresolved: Vec::new(),
            collection: 0,
            reread_parts: 1,
            max_collections_v1_only: collections_of_a_move.max(MIN_COLLECTIONS_V1_ONLY),
            has_v1_only_containers: false,
        }
    }

    /// Distinguishes the services and scopes of systemd that are in no container.
    #[must_use]
    pub fn with_units(mut self, with_units: bool) -> Self {
        self.with_units = with_units;
        self
    }

    /// Whether systemd units are distinguished.
    #[must_use]
    pub fn has_units(&self) -> bool {
        self.with_units
    }

    /// Begins a collection. `since_last` is the time since the previous one.
    pub fn begin(&mut self, since_last: Duration) {
        self.cache.begin();
        self.unresolved.clear();
        self.unconfirmed_cgroups.clear();
        self.collection = self.collection.wrapping_add(1);
        // The cast saturates. The value is rounded, so that slightly different intervals give the same number of parts.
        self.reread_parts = (REREAD_WITHIN.div_duration_f64(since_last).round() as u32).max(1);
    }

    /// Finds the container of one process of the walk, and appends the process to `records`. `kernel` has its fields in
    /// the kernel's task list.
    ///
    /// # Errors
    /// The reason why the process must be skipped: its cgroup cannot be read.
    pub fn resolve(
        &mut self,
        mut record: ProcessRecord,
        kernel: Option<&KernelFields>,
        files: &mut impl ProcessFiles,
        containers: &mut ContainerTable,
        records: &mut Vec<ProcessRecord>,
    ) -> Result<(), SkipReason> {
        let known = self.cache.known(record.key);
        if let Some(known) = &known {
            record.usage.never_less_than(known.record.usage);
        }
        let mut process = known.as_ref().map_or_else(CachedProcess::new, |known| known.process);
        record.membership = if record.kernel_thread {
            Membership::HOST
        } else if let Some(membership) = self.settled(&record, known.as_ref(), kernel) {
            membership
        } else if let Some(owner) = kernel.and_then(|kernel| self.certain_owner(kernel.cgroup_id)) {
            process.collections_v1_only = 0;
            process.is_unreadable = false;
            match owner {
                Owner::Container(container) | Owner::Unit(container) => containers.join(&container),
                Owner::Host | Owner::Unresolved => Membership::HOST,
            }
        } else {
            let file = parse_cgroup_file(files.cgroup(record.key.pid)?);
            self.by_cgroup_file(
                &file,
                &record,
                (known.as_ref(), kernel),
                &mut process,
                containers,
                records.len(),
            )
        };
        if let Some(kernel) = kernel {
            process.cgroup_id = kernel.cgroup_id;
        }
        if known.as_ref().is_some_and(|known| known.record.membership != record.membership) {
            process.had_parent_inside = false;
        }
        self.identify(&mut record, known.as_ref(), kernel, &mut process, files);
        if let Some(slot) = record.membership.slot()
            && let Some(container) = containers.get_mut(slot)
        {
            container.add_member(&record);
        }
        self.cache.push(process);
        records.push(record);
        Ok(())
    }

    /// The cached membership of a process that needs no new lookup.
    fn settled(
        &self,
        record: &ProcessRecord,
        known: Option<&Known>,
        kernel: Option<&KernelFields>,
    ) -> Option<Membership> {
        let Known { record: before, process } =
            known.filter(|known| known.record.membership != Membership::HOST)?;
        if process.collections_v1_only > 0 {
            return None;
        }
        // The kernel does not show v1 paths of zombies or paths longer than PATH_MAX, so a reread is useless.
        let is_final = is_dead(record) || process.is_unreadable;
        let is_settled = match kernel {
            // A process of a unit may enter a container, as one of the host.
            _ if before.membership.is_on_host() => is_final,
            Some(kernel) => kernel.cgroup_id == process.cgroup_id || is_final,
            None => is_final || !(process.was_at_root || self.is_to_be_read_again(record.key.pid)),
        };
        is_settled.then_some(before.membership)
    }

    fn is_to_be_read_again(&self, pid: u32) -> bool {
        // Distributes pids evenly, even if they are multiples of one number.
        let spread = pid.wrapping_mul(0x9E37_79B1) >> 16;
        spread % self.reread_parts == self.collection % self.reread_parts
    }

    /// The membership according to the cgroup file of the process. `index` is the index of its future record.
    fn by_cgroup_file(
        &mut self,
        file: &CgroupFile<'_>,
        record: &ProcessRecord,
        (known, kernel): (Option<&Known>, Option<&KernelFields>),
        process: &mut CachedProcess,
        containers: &mut ContainerTable,
        index: usize,
    ) -> Membership {
        self.has_v1 |= file.has_v1;
        self.has_v2 |= file.has_v2;
        self.has_relative_paths |= file.path.starts_with("/../");
        let was_unreadable = known.is_none_or(|known| known.process.is_unreadable);
        process.is_unreadable = was_unreadable && !file.has_v1 && !file.has_v2;
        let is_dead_at_root = is_dead(record) && file.is_root && file.container.is_none();
        if process.is_unreadable || (known.is_none() && is_dead_at_root) {
            self.unresolved.push(index);
        }
        let before = known.map_or(Membership::HOST, |known| known.record.membership);
        if before != Membership::HOST && !file.has_v1 && !file.has_v2 {
            // It moved to a path that the kernel does not show.
            return before;
        }
        let is_at_root = file.container.is_none() && file.is_root;
        if before != Membership::HOST && kernel.is_none() && is_at_root && !process.was_at_root {
            // The process may be exiting. The move counts only if the next collection finds it alive and still in the
            // root cgroup.
            process.was_at_root = true;
            return before;
        }
        process.was_at_root = false;
        let membership = self.place(file, containers);
        let is_v1_only =
            kernel.is_some_and(|kernel| self.note_cgroup(kernel.cgroup_id, file, membership, containers));
        process.collections_v1_only =
            if is_v1_only { process.collections_v1_only.saturating_add(1) } else { 0 };
        self.has_v1_only_containers |= process.collections_v1_only >= self.max_collections_v1_only;
        membership
    }

    /// Fills in the pids of the process in its namespaces, from the kernel's task list or else from a file that is read
    /// once.
    fn identify(
        &self,
        record: &mut ProcessRecord,
        known: Option<&Known>,
        kernel: Option<&KernelFields>,
        process: &mut CachedProcess,
        files: &mut impl ProcessFiles,
    ) {
        if let Some(known) = known {
            record.ns_pid = known.record.ns_pid;
            return;
        }
        let ns_pids = match kernel {
            Some(kernel) => Some(kernel.ns_pids),
            None if !record.kernel_thread => files.ns_pids(record.key.pid),
            None => None,
        };
        record.ns_pid = ns_pids.and_then(|ns_pids| ns_pids.below).unwrap_or(0);
        process.is_namespace_init = ns_pids.map(|ns_pids| self.is_init(ns_pids));
        if let Some(kernel) = kernel {
            process.pid_namespace = PidNamespace::Inode(kernel.pid_namespace);
        }
    }

    /// Ends the walk. Resolves the processes whose cgroup the kernel does not show, and sorts the records by pid.
    pub fn finish(
        &mut self,
        files: &mut impl ProcessFiles,
        containers: &mut ContainerTable,
        records: &mut Vec<ProcessRecord>,
    ) {
        let walked = records.len();
        let has_unresolved = !self.unresolved.is_empty() && self.own_container.is_none();
        if has_unresolved {
            self.resolve_by_relatives(files, records);
        }
        self.cache.sort(records);
        if has_unresolved || records.len() != walked {
            containers.count_members(records);
        }
    }

    /// Removes the processes that `is_kept` rejects. Call this after [`Self::finish`].
    pub fn retain(
        &mut self,
        containers: &mut ContainerTable,
        records: &mut Vec<ProcessRecord>,
        is_kept: impl FnMut(&ProcessRecord) -> bool,
    ) {
        self.cache.retain(records, is_kept);
        containers.count_members(records);
    }

    /// Records that a process has a parent in its container. If it later has none, it is an orphan.
    pub fn note_parent_inside(&mut self, index: usize) {
        self.cache.get_mut(index).had_parent_inside = true;
    }

    /// Unix time in seconds when a process was first seen as a zombie; `now` for a new zombie.
    pub fn zombie_since(&mut self, index: usize, now: f64) -> f64 {
        *self.cache.get_mut(index).zombie_since.get_or_insert(now)
    }

    /// The records of the last collection.
    #[must_use]
    pub fn cache(&self) -> &ProcessCache {
        &self.cache
    }

    /// Ends a successful collection.
    pub fn end(&mut self, table: Arc<ProcessTable>) {
        self.cache.end(table);
    }

    /// Whether only the exporter's own container is visible, and not the host.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.own_container.is_some()
    }

    /// Whether there are containers that the default hierarchy does not distinguish, because their runtime uses cgroup
    /// v1 only.
    #[must_use]
    pub fn has_v1_only_containers(&self) -> bool {
        self.has_v1_only_containers
    }

    /// The layout according to the cgroup files read so far. The kernel prints the line of a hierarchy only if it is in
    /// use. `None` before the first file.
    #[must_use]
    pub fn cgroup_layout(&self) -> Option<CgroupLayout> {
        match (self.has_v1, self.has_v2) {
            (true, true) => Some(CgroupLayout::Hybrid),
            (true, false) => Some(CgroupLayout::V1),
            (false, true) => Some(CgroupLayout::V2),
            (false, false) => None,
        }
    }

    /// Whether a path outside the exporter's own cgroup namespace was seen. If so, ids differ from those of other
    /// programs.
    #[must_use]
    pub fn has_relative_cgroup_paths(&self) -> bool {
        self.has_relative_paths
    }
}

/// Whether the leader has exited: the kernel then shows the process as a zombie.
fn is_dead(record: &ProcessRecord) -> bool {
    record.state == ProcessState::Zombie || record.leader_exited
}
