//! How each root process came into its container. Pure but for what membership reads once per new root.

use crate::model::forest::parents_and_depths::Forest;
use crate::model::walk::WalkResult;
use crate::resolve::process_files::ProcessFiles;
use crate::resolve::resolver::ContainerResolver;

/// The label `kind` of root processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RootKind {
    /// The process that the runtime started the container with.
    Init,
    /// Came in from outside: `docker exec`, a health check, `nsenter` into the cgroup.
    Exec,
    /// An orphan: it was seen with a parent inside, and now has one outside.
    Adopted,
}

impl RootKind {
    pub const ALL: [Self; 3] = [Self::Init, Self::Exec, Self::Adopted];

    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Exec => "exec",
            Self::Adopted => "adopted",
        }
    }
}

/// The kinds of all roots of one snapshot. Kept and refilled.
#[derive(Debug, Default)]
pub struct RootKinds {
    kinds: Vec<Option<RootKind>>,
    /// By container slot, the candidate for its init.
    init_of_slot: Vec<Option<Candidate>>,
}

/// Pid 1 of a namespace of its own comes before all others; among equals the oldest.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    index: usize,
    is_namespace_init: bool,
}

impl RootKinds {
    /// Tells the kind of every root in a container. One root of each is its init: pid 1 of a pid namespace
    /// of its own, else (with `--pid=host` or `--pid=container:`) the oldest that is no orphan, for the
    /// runtime's process was there before any other.
    pub fn classify(
        &mut self,
        walk: &WalkResult,
        forest: &Forest,
        resolver: &mut ContainerResolver,
        files: &mut impl ProcessFiles,
    ) {
        let records = &walk.records;
        self.kinds.clear();
        self.kinds.resize(records.len(), None);
        self.init_of_slot.clear();
        self.init_of_slot.resize(walk.containers.len(), None);

        for (index, record) in records.iter().enumerate() {
            let Some(slot) = record.membership.slot() else {
                continue;
            };
            let Some(memory) = resolver.memory_mut(record) else {
                continue;
            };
            if forest.parent(index).is_some() {
                memory.had_parent_inside = true;
                continue;
            }
            if memory.had_parent_inside {
                self.kinds[index] = Some(RootKind::Adopted);
                continue;
            }
            self.kinds[index] = Some(RootKind::Exec);
            let candidate = Candidate { index, is_namespace_init: resolver.is_namespace_init(record, files) };
            let best = self.init_of_slot[slot].get_or_insert(candidate);
            let rank = |it: &Candidate| (!it.is_namespace_init, records[it.index].key);
            if rank(&candidate) < rank(best) {
                *best = candidate;
            }
        }
        for candidate in self.init_of_slot.iter().flatten() {
            self.kinds[candidate.index] = Some(RootKind::Init);
        }
    }

    /// Slot and record of each container's init that is pid 1 of a pid namespace of its own.
    pub fn namespace_inits(&self) -> impl Iterator<Item = (usize, usize)> {
        let candidates = self.init_of_slot.iter().enumerate();
        candidates.filter_map(|(slot, candidate)| {
            candidate.filter(|candidate| candidate.is_namespace_init).map(|candidate| (slot, candidate.index))
        })
    }

    /// `None` for a process that is no root of a container.
    #[must_use]
    pub fn kind(&self, index: usize) -> Option<RootKind> {
        self.kinds[index]
    }
}
