//! The container or unit that a cgroup file or a cgroup id specifies.

use std::sync::Arc;

use super::{ContainerResolver, UnconfirmedCgroup};
use crate::model::container_table::ContainerTable;
use crate::model::process::Membership;
use crate::resolve::cgroup_file::CgroupFile;
use crate::resolve::cgroup_owners::Owner;
use crate::resolve::cgroup_path::attribute;
use crate::resolve::systemd_unit::{Unit, unit_of};

impl ContainerResolver {
    /// The owner by id only. If cgroup v1 is also in use, a process that is in no container in the default hierarchy
    /// may be in a container in cgroup v1.
    pub(super) fn certain_owner(&self, cgroup_id: u64) -> Option<Owner> {
        match self.cgroups.owner(cgroup_id)? {
            Owner::Unresolved => None,
            Owner::Host | Owner::Unit(_) if self.has_v1 => None,
            owner => Some(owner.clone()),
        }
    }

    /// The membership that a cgroup file specifies.
    pub(super) fn place(&self, file: &CgroupFile<'_>, containers: &mut ContainerTable) -> Membership {
        let path = match (&file.container, &self.own_container) {
            (Some(found), _) => found.path,
            (None, Some(own)) => &own.path,
            (None, None) => return self.place_in_unit(file, containers),
        };
        if let Some(membership) = containers.membership_of(path) {
            return membership;
        }
        let container = match (&self.own_container, &file.container) {
            (Some(own), _) if &*own.path == path => Arc::clone(own),
            (_, Some(found)) => Arc::new(found.to_container()),
            (_, None) => return Membership::HOST,
        };
        containers.join(&container)
    }

    /// The membership of a process in no container.
    fn place_in_unit(&self, file: &CgroupFile<'_>, containers: &mut ContainerTable) -> Membership {
        // systemd knows its units by the default hierarchy, or if that is not in use, by its own one of cgroup v1.
        let mut paths = [file.default_path, file.systemd_path].into_iter().flatten();
        let unit = if self.with_units { paths.find_map(unit_of) } else { None };
        let Some(unit) = unit else { return Membership::HOST };
        match containers.membership_of(unit.path) {
            // The path is that of a container, beside which its runtime has processes of its own.
            Some(membership) if !membership.is_on_host() => Membership::HOST,
            Some(membership) => membership,
            None => match unit.to_container() {
                Some(container) => containers.join(&Arc::new(container)),
                None => Membership::HOST,
            },
        }
    }

    /// Records which cgroup has this id, for later confirmation. Returns whether the process is in a container in
    /// cgroup v1 only.
    pub(super) fn note_cgroup(
        &mut self,
        id: u64,
        file: &CgroupFile<'_>,
        membership: Membership,
        containers: &ContainerTable,
    ) -> bool {
        let Some(path) = file.default_path else { return false };
        let container = membership.slot().and_then(|slot| containers.get(slot)).map(|it| &it.container);
        let owner = match container {
            // Units can be known by cgroup v1 only, like containers. Their processes are on the host in any case.
            Some(unit) if membership.is_on_host() => match unit_of(path) {
                Some(Unit { path, .. }) if *path == *unit.path => Owner::Unit(Arc::clone(unit)),
                _ => Owner::Host,
            },
            Some(_) if attribute(path).is_none() => return true,
            Some(container) => Owner::Container(Arc::clone(container)),
            None => Owner::Host,
        };
        if matches!(self.cgroups.owner(id), None | Some(Owner::Unresolved)) {
            let unconfirmed = || UnconfirmedCgroup { path: path.into(), owner };
            self.unconfirmed_cgroups.entry(id).or_insert_with(unconfirmed);
        }
        false
    }
}
