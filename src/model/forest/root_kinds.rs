//! Why each root process of a container has no parent inside: it is the init, it entered by exec, or it was orphaned.

use super::parents_and_depths::Forest;
use crate::model::process::ProcessRecord;

/// The label `kind` of root processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RootKind {
    /// The process that the runtime started the container with.
    Init,
    /// Entered from outside: `docker exec`, a health check, `nsenter` into the cgroup.
    Exec,
    /// An orphan: an earlier collection saw it with a parent inside, and now its parent is outside.
    Adopted,
}

impl RootKind {
    /// In the order of the discriminants.
    pub const ALL: [Self; 3] = [Self::Init, Self::Exec, Self::Adopted];

    /// The value of the label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Exec => "exec",
            Self::Adopted => "adopted",
        }
    }
}

/// What is known of a root process beyond the forest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootOrigin {
    /// An earlier collection saw it with a parent inside its container.
    HadParentInside,
    /// It never had one.
    Entered {
        /// Whether it is pid 1 of a pid namespace of its own.
        is_namespace_init: bool,
    },
}

/// The kinds of all roots of one process table. Kept and refilled.
#[derive(Debug, Default)]
pub struct RootKinds {
    kinds: Vec<Option<RootKind>>,
    /// By container slot, the candidate for its init.
    init_of_slot: Vec<Option<Candidate>>,
}

/// Pid 1 of a namespace of its own is preferred; among equals the oldest.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    index: usize,
    is_namespace_init: bool,
}

impl RootKinds {
    /// Finds the kind of every root in a container. One root of each container is its init: pid 1 of a pid namespace of
    /// its own, else (with `--pid=host` or `--pid=container:`) the oldest that is no orphan, since the runtime's process
    /// was there before any other. `slots` is the number of container slots; `origin` is asked once for each root.
    pub fn classify(
        &mut self,
        records: &[ProcessRecord],
        forest: &Forest,
        slots: usize,
        mut origin: impl FnMut(usize) -> RootOrigin,
    ) {
        self.kinds.clear();
        self.kinds.resize(records.len(), None);
        self.init_of_slot.clear();
        self.init_of_slot.resize(slots, None);
        for (index, record) in records.iter().enumerate() {
            let Some(slot) = record.membership.slot().filter(|_| forest.parent(index).is_none()) else {
                continue;
            };
            let is_namespace_init = match origin(index) {
                RootOrigin::HadParentInside => {
                    self.kinds[index] = Some(RootKind::Adopted);
                    continue;
                }
                RootOrigin::Entered { is_namespace_init } => is_namespace_init,
            };
            self.kinds[index] = Some(RootKind::Exec);
            let candidate = Candidate { index, is_namespace_init };
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

    /// `None` for a process that is not a root of a container.
    #[must_use]
    pub fn kind(&self, index: usize) -> Option<RootKind> {
        self.kinds[index]
    }
}
