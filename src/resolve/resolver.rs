//! Which container each process belongs to, and what earlier collections knew of it.
//!
//! A process's cgroup is read once it is new and kept once a container was found, by (pid, start time).
//! Processes on the host are read again each time, so that nothing that enters a container is missed; where
//! the kernel tells a process's cgroup id, only those of a cgroup that is not known.
//! Processes whose cgroup the kernel hides, as those of zombies on cgroup v1 and paths beyond PATH_MAX, are resolved
//! by what was known of them, else by their parent, else by their pid namespace.

pub use crate::model::cgroup_layout::CgroupLayout;
pub use crate::resolve::process_cache::{CachedProcess, PidNamespace};

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::model::container::Container;
use crate::model::process::{Membership, NsPids, ProcessRecord, ProcessState, SkipReason};
use crate::model::walk::{NewProcess, WalkResult};
use crate::resolve::attribution::attribute;
use crate::resolve::cgroup_file::{CgroupFile, parse_cgroup_file};
use crate::resolve::cgroup_owners::{CgroupOwners, Owner};
use crate::resolve::process_files::{KernelFields, ProcessFiles};

/// A runtime moves a process from hierarchy to hierarchy within moments, on a starved machine within seconds: what
/// stays astray for so long, and in so many collections, is in cgroup v1 alone.
const LONGEST_MOVE: Duration = Duration::from_secs(10);
const MIN_COLLECTIONS_V1_ONLY: u8 = 3;

/// Where a process was when it was asked, a moment after the kernel told the id of its cgroup.
#[derive(Debug, PartialEq, Eq)]
pub struct UnconfirmedCgroup {
    /// In the default hierarchy.
    pub path: Box<str>,
    pub owner: Owner,
}

/// The long memory of the collector. One for its whole life.
#[derive(Debug)]
pub struct ContainerResolver {
    memories: FxHashMap<u32, CachedProcess>,
    /// Seeded, since the paths are chosen by others.
    slot_of_path: HashMap<Box<str>, usize>,
    free_slots: Vec<usize>,
    collection: u32,
    has_v1: bool,
    has_v2: bool,
    /// Zombies of the running walk whose cgroup is hidden: indexes into its records.
    unresolved: Vec<usize>,
    /// All that is in no container belongs to this one: set when we look from inside a container.
    own_container: Option<Arc<Container>>,
    has_foreign_cgroup_paths: bool,
    /// Cgroups of the default hierarchy by id.
    pub cgroups: CgroupOwners,
    /// By id, of the last walk: to be confirmed before they are learned.
    pub unconfirmed_cgroups: FxHashMap<u64, UnconfirmedCgroup>,
    max_collections_v1_only: u8,
    has_v1_only_containers: bool,
}

impl ContainerResolver {
    /// `surroundings` is the container that the exporter itself runs in, when it sees only that
    /// container's processes; `interval` is the shortest time between two collections.
    #[must_use]
    pub fn new(own_container: Option<Container>, interval: Duration) -> Self {
        // A cast saturates: 255 collections do for any interval.
        let collections_of_a_move = LONGEST_MOVE.div_duration_f64(interval).ceil() as u8;
        Self {
            memories: FxHashMap::default(),
            slot_of_path: HashMap::new(),
            free_slots: Vec::new(),
            collection: 0,
            has_v1: false,
            has_v2: false,
            unresolved: Vec::new(),
            own_container: own_container.map(Arc::new),
            has_foreign_cgroup_paths: false,
            cgroups: CgroupOwners::default(),
            unconfirmed_cgroups: FxHashMap::default(),
            max_collections_v1_only: collections_of_a_move.max(MIN_COLLECTIONS_V1_ONLY),
            has_v1_only_containers: false,
        }
    }

    /// Whether only the exporter's own container is seen, and nothing is known of a host.
    #[must_use]
    pub fn looks_from_inside(&self) -> bool {
        self.own_container.is_some()
    }

    /// Begins a collection.
    pub fn begin(&mut self, walk: &mut WalkResult) {
        self.collection = self.collection.wrapping_add(1);
        self.unresolved.clear();
        self.unconfirmed_cgroups.clear();
        walk.records.clear();
    }

    /// Adds one process of the walk to the snapshot, with its membership.
    ///
    /// # Errors
    /// The reason why it had to be left out: its cgroup could not be read.
    pub fn admit(
        &mut self,
        mut record: ProcessRecord,
        details: Option<&KernelFields>,
        files: &mut impl ProcessFiles,
        walk: &mut WalkResult,
    ) -> Result<(), SkipReason> {
        let known =
            self.memories.get(&record.key.pid).filter(|known| known.start_time == record.key.start_time);
        let is_new = known.is_none();
        let was_hidden = known.is_none_or(|known| known.is_hidden);
        let mut is_hidden = false;
        let known_pid_below = known.map(|known| known.ns_pid);
        let settled =
            known.filter(|known| known.membership != Membership::HOST && known.collections_v1_only == 0);
        let mut is_astray = false;
        record.membership = if record.kernel_thread {
            Membership::HOST
        } else if let Some(settled) = settled {
            settled.membership
        } else if let Some(owner) = details.and_then(|details| self.certain_owner(details.cgroup_id)) {
            match owner {
                Owner::Container(container) => self.place(&container, walk),
                Owner::Host | Owner::Hidden => Membership::HOST,
            }
        } else {
            let file = parse_cgroup_file(files.cgroup(record.key.pid)?);
            self.note_layout(&file);
            let is_dead = record.state == ProcessState::Zombie || record.leader_exited;
            let is_hidden_zombie = is_new && is_dead && file.is_root && file.container.is_none();
            is_hidden = was_hidden && !file.has_v1 && !file.has_v2;
            if is_hidden || is_hidden_zombie {
                self.unresolved.push(walk.records.len());
            }
            let membership = self.place_file(&file, walk);
            is_astray = details.is_some_and(|details| self.sight(details.cgroup_id, &file, membership, walk));
            membership
        };
        let inner = match details {
            Some(details) => Some(details.inner),
            None if is_new && !record.kernel_thread => files.ns_pids(record.key.pid),
            None => None,
        };
        record.ns_pid = known_pid_below.unwrap_or_else(|| inner.and_then(|inner| inner.below).unwrap_or(0));
        let is_init = inner.map(|inner| self.is_init(inner));
        let memory = self.remember(&record, &mut walk.new_processes);
        if is_new {
            memory.is_namespace_init = is_init;
            if let Some(details) = details {
                memory.pid_namespace = PidNamespace::Inode(details.pid_namespace);
            }
        }
        memory.is_hidden = is_hidden;
        memory.collections_v1_only = if is_astray { memory.collections_v1_only.saturating_add(1) } else { 0 };
        self.has_v1_only_containers |= memory.collections_v1_only >= self.max_collections_v1_only;
        walk.records.push(record);
        Ok(())
    }

    fn note_layout(&mut self, file: &CgroupFile<'_>) {
        self.has_v1 |= file.has_v1;
        self.has_v2 |= file.has_v2;
        self.has_foreign_cgroup_paths |= file.path.starts_with("/../");
    }

    /// The owner by id alone. Where there is cgroup v1, too, a process outside the containers of the default
    /// hierarchy may still be in one.
    fn certain_owner(&self, cgroup_id: u64) -> Option<Owner> {
        match self.cgroups.owner(cgroup_id)? {
            Owner::Container(container) => Some(Owner::Container(Arc::clone(container))),
            Owner::Host if !self.has_v1 => Some(Owner::Host),
            Owner::Host | Owner::Hidden => None,
        }
    }

    /// Notes which cgroup has this id, to be confirmed: the process may have been moved since the kernel
    /// told the id. Returns whether it is in a container by cgroup v1 alone.
    fn sight(&mut self, id: u64, file: &CgroupFile<'_>, membership: Membership, walk: &WalkResult) -> bool {
        let Some(path) = file.default_path else { return false };
        let container = membership.slot().and_then(|slot| walk.containers[slot].as_ref());
        let owner = match container {
            Some(_) if attribute(path).is_none() => return true,
            Some(container) => Owner::Container(Arc::clone(container)),
            None => Owner::Host,
        };
        if !matches!(self.cgroups.owner(id), Some(Owner::Container(_) | Owner::Host)) {
            let sighting = || UnconfirmedCgroup { path: path.into(), owner };
            self.unconfirmed_cgroups.entry(id).or_insert_with(sighting);
        }
        false
    }

    /// Where a cgroup file puts its process.
    fn place_file(&mut self, file: &CgroupFile<'_>, walk: &mut WalkResult) -> Membership {
        let path = match (&file.container, &self.own_container) {
            (Some(found), _) => found.path,
            (None, Some(own_container)) => &own_container.path,
            (None, None) => return Membership::HOST,
        };
        if let Some(&slot) = self.slot_of_path.get(path) {
            return Membership::container(slot);
        }
        let container = match (&self.own_container, &file.container) {
            (Some(own_container), _) if &*own_container.path == path => Arc::clone(own_container),
            (_, Some(found)) => Arc::new(found.to_container()),
            (_, None) => return Membership::HOST,
        };
        self.place(&container, walk)
    }

    /// The slot of a container, a new one where it is new.
    fn place(&mut self, container: &Arc<Container>, walk: &mut WalkResult) -> Membership {
        if let Some(&slot) = self.slot_of_path.get(&container.path) {
            return Membership::container(slot);
        }
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            walk.containers.push(None);
            walk.containers.len() - 1
        });
        self.slot_of_path.insert(container.path.clone(), slot);
        walk.containers[slot] = Some(Arc::clone(container));
        Membership::container(slot)
    }

    fn remember(
        &mut self,
        record: &ProcessRecord,
        new_processes: &mut Vec<NewProcess>,
    ) -> &mut CachedProcess {
        let fresh = CachedProcess {
            start_time: record.key.start_time,
            membership: record.membership,
            last_seen: self.collection,
            had_parent_inside: false,
            is_namespace_init: None,
            pid_namespace: PidNamespace::Unknown,
            ns_pid: record.ns_pid,
            zombie_since: None,
            collections_v1_only: 0,
            is_hidden: false,
        };
        match self.memories.entry(record.key.pid) {
            Entry::Occupied(entry) if entry.get().start_time == fresh.start_time => {
                let memory = entry.into_mut();
                if memory.membership != record.membership {
                    new_processes.push(NewProcess::of(record));
                }
                memory.membership = record.membership;
                memory.last_seen = self.collection;
                memory
            }
            entry => {
                new_processes.push(NewProcess::of(record));
                entry.insert_entry(fresh).into_mut()
            }
        }
    }

    /// What is known of a process of the present snapshot.
    pub fn memory_mut(&mut self, record: &ProcessRecord) -> Option<&mut CachedProcess> {
        self.memories.get_mut(&record.key.pid).filter(|memory| memory.start_time == record.key.start_time)
    }

    /// Ends the walk: resolves hidden zombies, forgets what is gone, frees the slots of containers without
    /// a process.
    pub fn finish(&mut self, files: &mut impl ProcessFiles, walk: &mut WalkResult) {
        self.resolve_hidden_zombies(files, walk);
        let collection = self.collection;
        self.memories.retain(|_, memory| memory.last_seen == collection);

        let mut is_used = vec![false; walk.containers.len()];
        for slot in walk.records.iter().filter_map(|record| record.membership.slot()) {
            is_used[slot] = true;
        }
        for (slot, container) in walk.containers.iter_mut().enumerate() {
            if !is_used[slot]
                && let Some(container) = container.take()
            {
                self.slot_of_path.remove(&container.path);
                self.free_slots.push(slot);
            }
        }
    }

    /// By parent, parents before children as far as their ages tell; then by pid namespace.
    fn resolve_hidden_zombies(&mut self, files: &mut impl ProcessFiles, walk: &mut WalkResult) {
        if self.unresolved.is_empty() || self.looks_from_inside() {
            return;
        }
        let mut unresolved = std::mem::take(&mut self.unresolved);
        unresolved.sort_unstable_by_key(|&index| walk.records[index].key);
        let mut owners: Option<FxHashMap<PidNamespace, Membership>> = None;
        for &index in &unresolved {
            let record = walk.records[index];
            let parent = self.memories.get(&record.parent_pid);
            let by_parent = parent.filter(|parent| {
                parent.last_seen == self.collection && parent.start_time <= record.key.start_time
            });
            let mut membership = by_parent.map_or(Membership::HOST, |parent| parent.membership);
            if membership == Membership::HOST {
                let namespace = self.pid_namespace(&record, files);
                let owners = owners.get_or_insert_with(|| self.namespace_owners(files, walk));
                membership = owners.get(&namespace).copied().unwrap_or(Membership::HOST);
            }
            walk.records[index].membership = membership;
            self.remember(&walk.records[index], &mut walk.new_processes);
        }
        self.unresolved = unresolved;
    }

    /// The pid namespaces that containers have for themselves, each by the container whose process is
    /// pid 1 in it. Reads what is not yet known of the oldest process of each container.
    pub fn namespace_owners(
        &mut self,
        files: &mut impl ProcessFiles,
        walk: &WalkResult,
    ) -> FxHashMap<PidNamespace, Membership> {
        let mut oldest: FxHashMap<usize, &ProcessRecord> = FxHashMap::default();
        for record in &walk.records {
            if let Some(slot) = record.membership.slot() {
                let oldest = oldest.entry(slot).or_insert(record);
                if record.key < oldest.key {
                    *oldest = record;
                }
            }
        }
        let mut owners = FxHashMap::default();
        for record in oldest.into_values() {
            let is_init = self.is_namespace_init(record, files);
            let namespace = self.pid_namespace(record, files);
            if is_init && matches!(namespace, PidNamespace::Inode(_)) {
                owners.insert(namespace, record.membership);
            }
        }
        owners
    }

    /// Whether a process is pid 1 in a pid namespace below that of the procfs. Read once.
    pub fn is_namespace_init(&mut self, record: &ProcessRecord, files: &mut impl ProcessFiles) -> bool {
        let Some(memory) = self.memory_mut(record) else {
            return false;
        };
        if let Some(known) = memory.is_namespace_init {
            return known;
        }
        let is_init = files.ns_pids(record.key.pid).is_some_and(|inner| self.is_init(inner));
        if let Some(memory) = self.memory_mut(record) {
            memory.is_namespace_init = Some(is_init);
        }
        is_init
    }

    fn is_init(&self, inner: NsPids) -> bool {
        inner.pid == 1 && (inner.level > 0 || self.looks_from_inside())
    }

    /// Whether there are containers that the default hierarchy does not tell apart: their runtime uses
    /// cgroup v1 alone.
    #[must_use]
    pub fn has_v1_only_containers(&self) -> bool {
        self.has_v1_only_containers
    }

    /// The pid namespace of a process, read once: no process can change its own.
    pub fn pid_namespace(&mut self, record: &ProcessRecord, files: &mut impl ProcessFiles) -> PidNamespace {
        let Some(memory) = self.memory_mut(record) else { return PidNamespace::Unknown };
        if memory.pid_namespace == PidNamespace::Unknown {
            memory.pid_namespace = match files.pid_namespace(record.key.pid) {
                Ok(inode) => PidNamespace::Inode(inode),
                Err(SkipReason::Denied) => PidNamespace::Hidden,
                Err(SkipReason::Vanished | SkipReason::Malformed) => PidNamespace::Unknown,
            };
        }
        memory.pid_namespace
    }

    /// The layout as the cgroup files seen so far show it: the kernel prints the line of a hierarchy only
    /// where it is in use. `None` before the first.
    #[must_use]
    pub fn cgroup_layout(&self) -> Option<CgroupLayout> {
        match (self.has_v1, self.has_v2) {
            (true, true) => Some(CgroupLayout::Hybrid),
            (true, false) => Some(CgroupLayout::V1),
            (false, true) => Some(CgroupLayout::V2),
            (false, false) => None,
        }
    }

    /// Whether paths were seen that lie outside the exporter's own cgroup namespace, so that ids are not
    /// spelled as others spell them.
    #[must_use]
    pub fn has_foreign_cgroup_paths(&self) -> bool {
        self.has_foreign_cgroup_paths
    }
}
