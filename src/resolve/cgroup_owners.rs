//! Which container each cgroup of the default hierarchy belongs to, by the id of the cgroup: the inode number of its
//! directory, which the kernel never uses twice.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::container::Container;

/// Where the processes of a cgroup belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Container(Arc<Container>),
    Host,
    /// Searched and not found: it is outside what is mounted, or removed.
    Unresolved,
}

/// The cgroups that are known.
#[derive(Debug, Default)]
pub struct CgroupOwners {
    owners: FxHashMap<u64, Owner>,
}

impl CgroupOwners {
    /// More cgroups than any machine has at a time. Beyond it the table starts empty again.
    const MAX_KNOWN: usize = 1 << 17;

    /// The owner of a cgroup by its own id alone.
    #[must_use]
    pub fn owner(&self, id: u64) -> Option<&Owner> {
        self.owners.get(&id)
    }

    /// Notes the owner of a cgroup.
    pub fn learn(&mut self, id: u64, owner: Owner) {
        if self.owners.len() >= Self::MAX_KNOWN {
            self.owners.clear();
        }
        self.owners.insert(id, owner);
    }

    /// For a cgroup that is removed.
    pub fn forget(&mut self, id: u64) {
        self.owners.remove(&id);
    }

    /// Whether any cgroup of this container is known.
    #[must_use]
    pub fn knows(&self, container: &Container) -> bool {
        self.owners
            .values()
            .any(|owner| matches!(owner, Owner::Container(known) if known.path == container.path))
    }

    /// The owner of a cgroup by its own id or by the cgroups above it. A cgroup inside a container belongs to the
    /// container; one below a cgroup of the host may be a container itself.
    #[must_use]
    pub fn owner_by_lineage(&self, id: u64, ancestors: &[u64]) -> Option<&Owner> {
        self.owner(id).or_else(|| {
            let owners = ancestors.iter().filter_map(|&ancestor| self.owner(ancestor));
            owners.into_iter().find(|owner| matches!(owner, Owner::Container(_)))
        })
    }
}
