//! Why each root process of a container has no parent in the container: it is the init, it entered by exec, or it was
//! orphaned.

use super::parents_and_depths::Forest;
use crate::model::process::ProcessRecord;

/// The label `kind` of root processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RootKind {
    /// The first process, which the runtime started.
    Init,
    /// Entered from outside: `docker exec`, a health check, `nsenter` into the cgroup.
    Exec,
    /// An orphan: an earlier collection found it with a parent in the container, and now its parent is outside.
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

/// What is known about a root process in addition to the forest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootOrigin {
    /// An earlier collection found it with a parent in its container.
    HadParentInside,
    /// No collection found it with a parent in its container.
    Entered {
        /// Whether it is pid 1 of its own pid namespace.
        is_namespace_init: bool,
    },
}

/// The kinds of all roots of one process table. Reused for every collection.
#[derive(Debug, Default)]
pub struct RootKinds {
    kinds: Vec<Option<RootKind>>,
    /// The candidate for the init of each container, by slot.
    init_of_slot: Vec<Option<Candidate>>,
}

/// Pid 1 of its own pid namespace takes precedence, then the oldest process.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    index: usize,
    is_namespace_init: bool,
}

impl RootKinds {
    /// Determines the kind of every root in a container. One root of each container is its init: pid 1 of its own pid
    /// namespace, or else (with `--pid=host` or `--pid=container:`) the oldest root that is not an orphan, because the
    /// runtime starts the init first. `slots` is the number of container slots. `origin` is called once for each root.
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
            // Nothing enters a unit from outside. Further roots lost their parent, such as a shim of containerd, or were
            // started by systemd, such as ExecReload=.
            let is_in_unit = record.membership.is_on_host();
            self.kinds[index] = Some(if is_in_unit { RootKind::Adopted } else { RootKind::Exec });
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

    /// Container slot and record index of each init that is pid 1 of its own pid namespace.
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
