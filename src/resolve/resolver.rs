//! Decides which container each process belongs to.
//!
//! The cgroup of a new process is read once, and the container that was found is kept by pid and start time. It is
//! looked up again when the process moves: the kernel's task list shows another cgroup id at the next collection; by
//! `/proc` every member's cgroup is read again within a minute. Processes on the host are read again each time, so that
//! one that enters a container is seen at once.
//!
//! Processes whose cgroup the kernel does not show (zombies on cgroup v1, paths beyond PATH_MAX) belong where they
//! belonged before, else where `zombie_membership` puts them.

mod pid_namespaces;
mod zombie_membership;

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::attribution::attribute;
use super::cgroup_file::{CgroupFile, parse_cgroup_file};
use super::cgroup_owners::{CgroupOwners, Owner};
use super::process_cache::{CachedProcess, Known, PidNamespace, ProcessCache};
use super::process_files::{KernelFields, ProcessFiles};
use crate::model::cgroup_layout::CgroupLayout;
use crate::model::container::Container;
use crate::model::container_table::ContainerTable;
use crate::model::process::{Membership, ProcessRecord, ProcessState, SkipReason};
use crate::model::process_table::ProcessTable;

/// A runtime moves a process from hierarchy to hierarchy within moments, on a busy machine within seconds. A process
/// that is in a container by cgroup v1 alone for this long, and in so many collections, stays there.
const LONGEST_MOVE: Duration = Duration::from_secs(10);
const MIN_COLLECTIONS_V1_ONLY: u8 = 3;

/// By `/proc`, the cgroup of every member is read again within this time.
const REREAD_WITHIN: Duration = Duration::from_secs(50);

/// Where a process was when its cgroup file was read, a moment after the kernel showed the id of its cgroup: to be
/// confirmed before it is learned, since the process may have moved in between.
#[derive(Debug, PartialEq, Eq)]
pub struct UnconfirmedCgroup {
    /// In the default hierarchy.
    pub path: Box<str>,
    pub owner: Owner,
}

/// The memory of the attribution. One for the life of the exporter.
#[derive(Debug)]
pub struct ContainerResolver {
    cache: ProcessCache,
    /// Cgroups of the default hierarchy by id.
    pub cgroups: CgroupOwners,
    /// By id, of the last walk.
    pub unconfirmed_cgroups: FxHashMap<u64, UnconfirmedCgroup>,
    /// Everything that is in no container belongs to this one: set when we run inside a container and see only that.
    own_container: Option<Arc<Container>>,
    has_v1: bool,
    has_v2: bool,
    has_relative_paths: bool,
    /// Indexes of the processes of the running walk whose cgroup the kernel does not show.
    unresolved: Vec<usize>,
    /// Each collection reads the cgroups of one part of the members again.
    collection: u32,
    reread_parts: u32,
    max_collections_v1_only: u8,
    has_v1_only_containers: bool,
}

impl ContainerResolver {
    /// `own_container` is the container that the exporter itself runs in, when it sees only that container's processes;
    /// `interval` is the shortest time between two collections.
    #[must_use]
    pub fn new(own_container: Option<Container>, interval: Duration) -> Self {
        // A cast saturates: 255 collections are enough for any interval.
        let collections_of_a_move = LONGEST_MOVE.div_duration_f64(interval).ceil() as u8;
        Self {
            cache: ProcessCache::default(),
            cgroups: CgroupOwners::default(),
            unconfirmed_cgroups: FxHashMap::default(),
            own_container: own_container.map(Arc::new),
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

    /// Begins a collection. `since_last` is the time since the one before.
    pub fn begin(&mut self, since_last: Duration) {
        self.cache.begin();
        self.unresolved.clear();
        self.unconfirmed_cgroups.clear();
        self.collection = self.collection.wrapping_add(1);
        // A cast saturates. Rounded, so that intervals that differ by a moment give the same number of parts.
        self.reread_parts = (REREAD_WITHIN.div_duration_f64(since_last).round() as u32).max(1);
    }

    /// Finds the container of one process of the walk, and appends the process to `records`. `kernel` is what the
    /// kernel's task list has of it.
    ///
    /// # Errors
    /// The reason why it has to be left out: its cgroup cannot be read.
    pub fn resolve(
        &mut self,
        mut record: ProcessRecord,
        kernel: Option<&KernelFields>,
        files: &mut impl ProcessFiles,
        containers: &mut ContainerTable,
        records: &mut Vec<ProcessRecord>,
    ) -> Result<(), SkipReason> {
        let known = self.cache.known(record.key);
        let mut process = known.as_ref().map_or_else(CachedProcess::new, |known| known.process);
        record.membership = if record.kernel_thread {
            Membership::HOST
        } else if let Some(membership) = self.settled(&record, known.as_ref(), kernel) {
            membership
        } else if let Some(owner) = kernel.and_then(|kernel| self.certain_owner(kernel.cgroup_id)) {
            process.collections_v1_only = 0;
            process.is_unreadable = false;
            match owner {
                Owner::Container(container) => Membership::container(containers.slot_of(&container)),
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

    /// The membership of a process that needs no new look-up.
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
        // The kernel shows neither v1 paths of the dead nor paths beyond PATH_MAX: there is nothing to read again.
        let is_final = is_dead(record) || process.is_unreadable;
        let is_settled = match kernel {
            Some(kernel) => kernel.cgroup_id == process.cgroup_id || is_final,
            None => is_final || !(process.was_at_root || self.is_to_be_read_again(record.key.pid)),
        };
        is_settled.then_some(before.membership)
    }

    fn is_to_be_read_again(&self, pid: u32) -> bool {
        // Spreads pids that are multiples of one number.
        let spread = pid.wrapping_mul(0x9E37_79B1) >> 16;
        spread % self.reread_parts == self.collection % self.reread_parts
    }

    /// The owner by id alone. Where there is cgroup v1, too, a process that is in no container of the default hierarchy
    /// may still be in one.
    fn certain_owner(&self, cgroup_id: u64) -> Option<Owner> {
        match self.cgroups.owner(cgroup_id)? {
            Owner::Container(container) => Some(Owner::Container(Arc::clone(container))),
            Owner::Host if !self.has_v1 => Some(Owner::Host),
            Owner::Host | Owner::Unresolved => None,
        }
    }

    /// The membership by the process's cgroup file. `index` is the place that its record gets.
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
            // It may be exiting: believed when it is still alive, and still there, in the next collection.
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

    /// Where a cgroup file puts its process.
    fn place(&self, file: &CgroupFile<'_>, containers: &mut ContainerTable) -> Membership {
        let path = match (&file.container, &self.own_container) {
            (Some(found), _) => found.path,
            (None, Some(own)) => &own.path,
            (None, None) => return Membership::HOST,
        };
        if let Some(membership) = containers.membership_of(path) {
            return membership;
        }
        let container = match (&self.own_container, &file.container) {
            (Some(own), _) if &*own.path == path => Arc::clone(own),
            (_, Some(found)) => Arc::new(found.to_container()),
            (_, None) => return Membership::HOST,
        };
        Membership::container(containers.slot_of(&container))
    }

    /// Notes which cgroup has this id, to be confirmed. Returns whether the process is in a container by cgroup v1
    /// alone.
    fn note_cgroup(
        &mut self,
        id: u64,
        file: &CgroupFile<'_>,
        membership: Membership,
        containers: &ContainerTable,
    ) -> bool {
        let Some(path) = file.default_path else { return false };
        let container = membership.slot().and_then(|slot| containers.get(slot)).map(|it| &it.container);
        let owner = match container {
            Some(_) if attribute(path).is_none() => return true,
            Some(container) => Owner::Container(Arc::clone(container)),
            None => Owner::Host,
        };
        if !matches!(self.cgroups.owner(id), Some(Owner::Container(_) | Owner::Host)) {
            let unconfirmed = || UnconfirmedCgroup { path: path.into(), owner };
            self.unconfirmed_cgroups.entry(id).or_insert_with(unconfirmed);
        }
        false
    }

    /// Fills in the pids of the process in its namespaces: by the kernel's list, else read once.
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

    /// Ends the walk: resolves the processes whose cgroup the kernel does not show, and sorts the records by pid.
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

    /// Leaves out the processes that `is_kept` rejects. After [`Self::finish`].
    pub fn retain(
        &mut self,
        containers: &mut ContainerTable,
        records: &mut Vec<ProcessRecord>,
        is_kept: impl FnMut(&ProcessRecord) -> bool,
    ) {
        self.cache.retain(records, is_kept);
        containers.count_members(records);
    }

    /// Notes that a process has a parent inside its container: without it, it is an orphan later.
    pub fn note_parent_inside(&mut self, index: usize) {
        self.cache.get_mut(index).had_parent_inside = true;
    }

    /// Unix time in seconds at which a zombie was first seen as one; `now` for one that is new.
    pub fn zombie_since(&mut self, index: usize, now: f64) -> f64 {
        *self.cache.get_mut(index).zombie_since.get_or_insert(now)
    }

    /// The processes as the last collection knew them.
    #[must_use]
    pub fn cache(&self) -> &ProcessCache {
        &self.cache
    }

    /// Ends a successful collection.
    pub fn end(&mut self, table: Arc<ProcessTable>) {
        self.cache.end(table);
    }

    /// Whether only the exporter's own container is visible, and nothing is known of a host.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.own_container.is_some()
    }

    /// Whether there are containers that the default hierarchy does not tell apart: their runtime uses cgroup v1 alone.
    #[must_use]
    pub fn has_v1_only_containers(&self) -> bool {
        self.has_v1_only_containers
    }

    /// The layout as the cgroup files so far show it: the kernel prints the line of a hierarchy only where it is in
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

    /// Whether paths were seen that lie outside the exporter's own cgroup namespace, so that ids are not the same as
    /// those of other programs.
    #[must_use]
    pub fn has_relative_cgroup_paths(&self) -> bool {
        self.has_relative_paths
    }
}

/// No live leader: the kernel shows such a process as a zombie.
fn is_dead(record: &ProcessRecord) -> bool {
    record.state == ProcessState::Zombie || record.leader_exited
}
