//! Which container each process belongs to, and what earlier collections knew of it.
//!
//! A process's cgroup is read once it is new and kept once a container was found, by (pid, start time).
//! Processes on the host are read again each time, so that nothing that enters a container is missed.
//! Zombies on cgroup v1, whose cgroup the kernel hides, are resolved by what was known of them, else by
//! their parent, else by their pid namespace.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::attribution::{CgroupFile, parse_cgroup_file};
use crate::model::{Container, Membership, ProcessRecord, ProcessState, SkipReason, Snapshot};
use crate::source::ProcessFiles;

/// What is remembered of a process for as long as it is seen.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    start_time: u64,
    membership: Membership,
    last_seen: u32,
    /// A collection saw it with a parent inside its container.
    pub had_parent_inside: bool,
    /// Whether it is pid 1 of a pid namespace of its own; `None` until it was read.
    pub is_namespace_init: Option<bool>,
    pid_namespace: PidNamespace,
    /// Unix time in seconds at which it was first seen as a zombie.
    pub zombie_since: Option<f64>,
}

/// What is known of a process's pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PidNamespace {
    /// Not read yet, or gone before it could be.
    Unknown,
    /// The kernel does not show it to us.
    Hidden,
    Inode(u64),
}

/// The layout of cgroups on this machine. The label `cgroup` of `pstree_source_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupLayout {
    V1,
    V2,
    Hybrid,
}

impl CgroupLayout {
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Hybrid => "hybrid",
        }
    }
}

/// The long memory of the collector. One for its whole life.
#[derive(Debug)]
pub struct Memberships {
    memories: FxHashMap<u32, Memory>,
    /// Seeded, since the paths are chosen by others.
    slot_of_path: HashMap<Box<str>, usize>,
    free_slots: Vec<usize>,
    collection: u32,
    has_v1: bool,
    has_v2: bool,
    /// Zombies of the running walk whose cgroup is hidden: indexes into its records.
    unresolved: Vec<usize>,
    /// All that is in no container belongs to this one: set when we look from inside a container.
    surroundings: Option<Arc<Container>>,
    has_foreign_cgroup_paths: bool,
}

impl Memberships {
    /// `surroundings` is the container that the exporter itself runs in, when it sees only that
    /// container's processes.
    #[must_use]
    pub fn new(surroundings: Option<Container>) -> Self {
        Self {
            memories: FxHashMap::default(),
            slot_of_path: HashMap::new(),
            free_slots: Vec::new(),
            collection: 0,
            has_v1: false,
            has_v2: false,
            unresolved: Vec::new(),
            surroundings: surroundings.map(Arc::new),
            has_foreign_cgroup_paths: false,
        }
    }

    /// Whether only the exporter's own container is seen, and nothing is known of a host.
    #[must_use]
    pub fn looks_from_inside(&self) -> bool {
        self.surroundings.is_some()
    }

    /// Begins a collection.
    pub fn begin(&mut self, snapshot: &mut Snapshot) {
        self.collection = self.collection.wrapping_add(1);
        self.unresolved.clear();
        snapshot.records.clear();
    }

    /// Adds one process of the walk to the snapshot, with its membership.
    ///
    /// # Errors
    /// The reason why it had to be left out: its cgroup could not be read.
    pub fn admit(
        &mut self,
        mut record: ProcessRecord,
        files: &mut impl ProcessFiles,
        snapshot: &mut Snapshot,
    ) -> Result<(), SkipReason> {
        let known =
            self.memories.get(&record.key.pid).filter(|known| known.start_time == record.key.start_time);
        let known_membership = known.map(|known| known.membership);
        record.membership = match known_membership {
            _ if record.kernel_thread => Membership::HOST,
            Some(membership) if membership != Membership::HOST => membership,
            _ => {
                let file = parse_cgroup_file(files.cgroup(record.key.pid)?);
                self.has_v1 |= file.has_v1;
                self.has_v2 |= file.has_v2;
                self.has_foreign_cgroup_paths |= file.path.starts_with("/../");
                let is_dead = record.state == ProcessState::Zombie || record.leader_exited;
                let is_hidden = is_dead && file.is_root && file.container.is_none() && known.is_none();
                if is_hidden {
                    self.unresolved.push(snapshot.records.len());
                }
                self.place(&file, snapshot)
            }
        };
        self.remember(&record, &mut snapshot.newcomers);
        snapshot.records.push(record);
        Ok(())
    }

    /// The slot of the container that a cgroup file names, a new one where it is new.
    fn place(&mut self, file: &CgroupFile<'_>, snapshot: &mut Snapshot) -> Membership {
        let path = match (&file.container, &self.surroundings) {
            (Some(found), _) => found.path,
            (None, Some(surroundings)) => &surroundings.path,
            (None, None) => return Membership::HOST,
        };
        if let Some(&slot) = self.slot_of_path.get(path) {
            return Membership::container(slot);
        }
        let container = match (&self.surroundings, &file.container) {
            (Some(surroundings), _) if &*surroundings.path == path => Arc::clone(surroundings),
            (_, Some(found)) => Arc::new(found.to_container()),
            (_, None) => return Membership::HOST,
        };
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            snapshot.containers.push(None);
            snapshot.containers.len() - 1
        });
        self.slot_of_path.insert(container.path.clone(), slot);
        snapshot.containers[slot] = Some(container);
        Membership::container(slot)
    }

    fn remember(&mut self, record: &ProcessRecord, newcomers: &mut Vec<Membership>) {
        let fresh = Memory {
            start_time: record.key.start_time,
            membership: record.membership,
            last_seen: self.collection,
            had_parent_inside: false,
            is_namespace_init: None,
            pid_namespace: PidNamespace::Unknown,
            zombie_since: None,
        };
        match self.memories.entry(record.key.pid) {
            Entry::Occupied(entry) if entry.get().start_time == fresh.start_time => {
                let memory = entry.into_mut();
                if memory.membership != record.membership {
                    newcomers.push(record.membership);
                }
                memory.membership = record.membership;
                memory.last_seen = self.collection;
            }
            entry => {
                newcomers.push(record.membership);
                entry.insert_entry(fresh);
            }
        }
    }

    /// What is known of a process of the present snapshot.
    pub fn memory_mut(&mut self, record: &ProcessRecord) -> Option<&mut Memory> {
        self.memories.get_mut(&record.key.pid).filter(|memory| memory.start_time == record.key.start_time)
    }

    /// Ends the walk: resolves hidden zombies, forgets what is gone, frees the slots of containers without
    /// a process.
    pub fn finish(&mut self, files: &mut impl ProcessFiles, snapshot: &mut Snapshot) {
        self.resolve_hidden_zombies(files, snapshot);
        let collection = self.collection;
        self.memories.retain(|_, memory| memory.last_seen == collection);

        let mut is_used = vec![false; snapshot.containers.len()];
        for slot in snapshot.records.iter().filter_map(|record| record.membership.slot()) {
            is_used[slot] = true;
        }
        for (slot, container) in snapshot.containers.iter_mut().enumerate() {
            if !is_used[slot]
                && let Some(container) = container.take()
            {
                self.slot_of_path.remove(&container.path);
                self.free_slots.push(slot);
            }
        }
    }

    /// By parent, parents before children as far as their ages tell; then by pid namespace.
    fn resolve_hidden_zombies(&mut self, files: &mut impl ProcessFiles, snapshot: &mut Snapshot) {
        if self.unresolved.is_empty() || self.looks_from_inside() {
            return;
        }
        let mut unresolved = std::mem::take(&mut self.unresolved);
        unresolved.sort_unstable_by_key(|&index| snapshot.records[index].key);
        let mut owners: Option<FxHashMap<PidNamespace, Membership>> = None;
        for &index in &unresolved {
            let record = snapshot.records[index];
            let parent = self.memories.get(&record.parent_pid);
            let by_parent = parent.filter(|parent| {
                parent.last_seen == self.collection && parent.start_time <= record.key.start_time
            });
            let mut membership = by_parent.map_or(Membership::HOST, |parent| parent.membership);
            if membership == Membership::HOST {
                let namespace = self.pid_namespace(&record, files);
                let owners = owners.get_or_insert_with(|| self.namespace_owners(files, snapshot));
                membership = owners.get(&namespace).copied().unwrap_or(Membership::HOST);
            }
            snapshot.records[index].membership = membership;
            self.remember(&snapshot.records[index], &mut snapshot.newcomers);
        }
        self.unresolved = unresolved;
    }

    /// The pid namespaces that containers have for themselves, each by the container whose process is
    /// pid 1 in it. Reads what is not yet known of the oldest process of each container.
    pub fn namespace_owners(
        &mut self,
        files: &mut impl ProcessFiles,
        snapshot: &Snapshot,
    ) -> FxHashMap<PidNamespace, Membership> {
        let mut oldest: FxHashMap<usize, &ProcessRecord> = FxHashMap::default();
        for record in &snapshot.records {
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
        let looks_from_inside = self.looks_from_inside();
        let Some(memory) = self.memory_mut(record) else {
            return false;
        };
        *memory.is_namespace_init.get_or_insert_with(|| {
            files
                .inner_pid(record.key.pid)
                .is_some_and(|inner| inner.pid == 1 && (inner.nesting > 0 || looks_from_inside))
        })
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
