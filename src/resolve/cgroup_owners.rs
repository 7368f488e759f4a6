//! Maps cgroup ids of the default hierarchy to containers. A cgroup id is the inode number of its directory, and the
//! kernel never reuses it.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::cgroup_path::attribute;
use super::systemd_unit::{Unit, unit_of};
use crate::model::container::Container;

/// The owner of the processes of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Container(Arc<Container>),
    /// A systemd unit, whose processes are also those of the host.
    Unit(Arc<Container>),
    Host,
    /// Searched for and not found: the cgroup is outside the mounted hierarchy, or was removed.
    Unresolved,
}

impl Owner {
    /// The owner of the cgroup at `path` in the default hierarchy. Units are the host's unless they are wanted.
    #[must_use]
    pub fn of_path(path: &str, with_units: bool) -> Self {
        if let Some(found) = attribute(path) {
            return Self::Container(Arc::new(found.to_container()));
        }
        let unit = if with_units { unit_of(path).and_then(Unit::to_container) } else { None };
        unit.map_or(Self::Host, |unit| Self::Unit(Arc::new(unit)))
    }
}

/// All known cgroups.
#[derive(Debug, Default)]
pub struct CgroupOwners {
    owners: FxHashMap<u64, Owner>,
}

impl CgroupOwners {
    /// More cgroups than any machine has at one time. If the table exceeds this size, it is cleared.
    const MAX_KNOWN: usize = 1 << 17;

    /// The owner of a cgroup, by its own id only.
    #[must_use]
    pub fn owner(&self, id: u64) -> Option<&Owner> {
        self.owners.get(&id)
    }

    /// Records the owner of a cgroup.
    pub fn learn(&mut self, id: u64, owner: Owner) {
        if self.owners.len() >= Self::MAX_KNOWN {
            self.owners.clear();
        }
        self.owners.insert(id, owner);
    }

    /// Forgets a removed cgroup.
    pub fn forget(&mut self, id: u64) {
        self.owners.remove(&id);
    }

    /// Whether any cgroup of this container or unit is known.
    #[must_use]
    pub fn knows(&self, container: &Container) -> bool {
        self.owners
            .values()
            .any(|owner| matches!(owner, Owner::Container(it) | Owner::Unit(it) if it.path == container.path))
    }

    /// The owner of a cgroup, by its own id or by its ancestors. A cgroup below a container belongs to that container.
    /// A cgroup below a cgroup of the host or of a unit may itself be a container.
    #[must_use]
    pub fn owner_by_lineage(&self, id: u64, ancestors: &[u64]) -> Option<&Owner> {
        self.owner(id).or_else(|| {
            let owners = ancestors.iter().filter_map(|&ancestor| self.owner(ancestor));
            owners.into_iter().find(|owner| matches!(owner, Owner::Container(_)))
        })
    }
}
