//! Limits what a collection reads to the containers whose trees the user requests.
//!
//! `stat` is read for every process. Other files are read only for processes that may be in a selected container, which
//! are listed in the container's `cgroup.procs`. That list omits zombies and may be slightly outdated, so zombies and
//! children of members are also read.

use std::fs;
use std::path::{Path, PathBuf};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::process::{Membership, NsPids, ProcessRecord, ProcessState, SkipReason};
use crate::observe::procfs::parse::parse_number;
use crate::observe::procfs::walk::ProcFiles;
use crate::resolve::cgroup_file::parse_cgroup_file;
use crate::resolve::process_files::ProcessFiles;

/// Limit on the directories of one container, more than any container has cgroups.
const MAX_CGROUPS: usize = 10_000;

/// What a collection for trees reads.
#[derive(Debug, Default)]
pub struct Selection {
    /// The pids of the members of the selected containers; `None` for all containers.
    pub members: Option<FxHashSet<u32>>,
    /// Whether users of processes on the host are also read.
    pub with_host: bool,
}

impl Selection {
    /// Selects the containers of these processes. Selects all containers if one of the processes is in no container, or
    /// if a list cannot be read.
    pub(super) fn around(pids: &[u32], files: &mut ProcFiles, cgroupfs: &Path) -> Self {
        let members: Option<Vec<_>> = pids.iter().map(|&pid| members(files, cgroupfs, pid)).collect();
        Self { members: members.map(|sets| sets.into_iter().flatten().collect()), with_host: false }
    }

    /// Whether a process may be in a selected container.
    pub(super) fn is_candidate(&self, record: &ProcessRecord) -> bool {
        let Some(members) = &self.members else { return true };
        let is_dead = record.state == ProcessState::Zombie || record.leader_exited;
        !record.kernel_thread
            && (is_dead || members.contains(&record.key.pid) || members.contains(&record.parent_pid))
    }

    /// Moves processes of other containers to the host. Of those containers, only zombies were read.
    pub(super) fn exclude_others(&self, records: &mut [ProcessRecord]) {
        let Some(members) = &self.members else { return };
        let selected: FxHashSet<usize> = records
            .iter()
            .filter(|record| members.contains(&record.key.pid))
            .filter_map(|record| record.membership.slot())
            .collect();
        for record in records {
            if record.membership.slot().is_some_and(|slot| !selected.contains(&slot)) {
                record.membership = Membership::HOST;
            }
        }
    }

    /// Reads `status` of every process that a tree may show. Fills in the pids and returns effective users by pid.
    pub(super) fn read_users(
        &self,
        files: &mut ProcFiles,
        records: &mut [ProcessRecord],
    ) -> FxHashMap<u32, u32> {
        let mut users = FxHashMap::default();
        for record in records {
            let may_be_shown =
                record.membership != Membership::HOST || (self.with_host && !record.kernel_thread);
            if may_be_shown && let Some((ns_pids, user)) = files.identity(record.key.pid) {
                record.ns_pid = ns_pids.below.unwrap_or(0);
                users.insert(record.key.pid, user);
            }
        }
        users
    }
}

/// The files of candidates. Other processes are treated as processes of the host without reading their files.
pub(super) struct CandidateFiles<'a> {
    pub files: &'a mut ProcFiles,
    pub is_candidate: bool,
}

impl ProcessFiles for CandidateFiles<'_> {
    fn cgroup(&mut self, pid: u32) -> Result<&[u8], SkipReason> {
        if self.is_candidate { self.files.cgroup(pid) } else { Ok(b"0::/\n") }
    }

    /// Read later, and only for members.
    fn ns_pids(&mut self, _pid: u32) -> Option<NsPids> {
        None
    }

    fn pid_namespace(&mut self, pid: u32) -> Result<u64, SkipReason> {
        self.files.pid_namespace(pid)
    }
}

/// The pids in the container of a process, as listed by the kernel. `None` if the process is in no container, or if no
/// list can be read.
fn members(files: &mut ProcFiles, cgroupfs: &Path, pid: u32) -> Option<FxHashSet<u32>> {
    let path = parse_cgroup_file(files.cgroup(pid).ok()?).container?.path.trim_start_matches('/').to_owned();
    let hierarchies = ["pids", "unified", ""].map(|name| cgroupfs.join(name).join(&path));
    let mut left: Vec<PathBuf> =
        hierarchies.into_iter().find(|it| it.join("cgroup.procs").exists()).into_iter().collect();
    let mut members = FxHashSet::default();
    let mut read = 0;
    while let Some(directory) = left.pop() {
        read += 1;
        if read > MAX_CGROUPS {
            return None;
        }
        // A removed cgroup has no members. The members of a threaded cgroup are listed in an ancestor.
        let list = fs::read(directory.join("cgroup.procs")).unwrap_or_default();
        let pids = list.split(|&b| b == b'\n').filter_map(parse_number);
        members.extend(pids.filter_map(|pid| u32::try_from(pid).ok()));
        let below = fs::read_dir(&directory).into_iter().flatten().flatten();
        left.extend(below.filter(|it| it.file_type().is_ok_and(|kind| kind.is_dir())).map(|it| it.path()));
    }
    (!members.is_empty()).then_some(members)
}
