//! The pid namespace of a process, and whether the process is pid 1 in it. This distinguishes the container's init from
//! processes that entered later.

use super::ContainerResolver;
use crate::model::forest::root_kinds::RootOrigin;
use crate::model::process::{NsPids, SkipReason};
use crate::resolve::process_cache::PidNamespace;
use crate::resolve::process_files::ProcessFiles;

impl ContainerResolver {
    /// The origin of a root process.
    pub fn origin(&mut self, index: usize, pid: u32, files: &mut impl ProcessFiles) -> RootOrigin {
        if self.cache.get(index).had_parent_inside {
            RootOrigin::HadParentInside
        } else {
            RootOrigin::Entered { is_namespace_init: self.is_namespace_init(index, pid, files) }
        }
    }

    /// Whether a process is pid 1 in a pid namespace below that of the procfs. Read once per process.
    pub(super) fn is_namespace_init(
        &mut self,
        index: usize,
        pid: u32,
        files: &mut impl ProcessFiles,
    ) -> bool {
        if let Some(known) = self.cache.get(index).is_namespace_init {
            return known;
        }
        let is_init = files.ns_pids(pid).is_some_and(|ns_pids| self.is_init(ns_pids));
        self.cache.get_mut(index).is_namespace_init = Some(is_init);
        is_init
    }

    pub(super) fn is_init(&self, ns_pids: NsPids) -> bool {
        ns_pids.pid == 1 && (ns_pids.level > 0 || self.is_inside())
    }

    /// The pid namespace of a process. Read once, because a process cannot change its own pid namespace.
    pub fn pid_namespace(&mut self, index: usize, pid: u32, files: &mut impl ProcessFiles) -> PidNamespace {
        let process = self.cache.get_mut(index);
        if process.pid_namespace == PidNamespace::Unknown {
            process.pid_namespace = match files.pid_namespace(pid) {
                Ok(inode) => PidNamespace::Inode(inode),
                Err(SkipReason::Denied) => PidNamespace::Denied,
                Err(SkipReason::Vanished | SkipReason::Malformed) => PidNamespace::Unknown,
            };
        }
        process.pid_namespace
    }
}
