//! One look at the processes, without an exporter that runs.
//!
//! Reads no more than it needs: `stat` of every process, and more only of those that may be in a container
//! that is wanted. Which they are, a container's own list of processes tells (`cgroup.procs`); it has no
//! zombies, and may be a moment old, so the dead and the children of members are looked at, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::collect::config::CollectorConfig;
use crate::model::clock::{BootClock, unix_now};
use crate::model::container_metadata::display_name;
use crate::model::forest::merged_nodes::CommInterner;
use crate::model::forest::parents_and_depths::Forest;
use crate::model::forest::root_kinds::RootKinds;
use crate::model::forest::stats::ForestStatsBySlot;
use crate::model::process::{Membership, NsPids, ProcessRecord, ProcessState, SkipReason};
use crate::model::process_table::ProcessTable;
use crate::model::snapshot::{ContainerSummary, NamedSnapshot};
use crate::model::walk::WalkResult;
use crate::names::registry::Directory;
use crate::observe::cgroupfs::pids::PidsReader;
use crate::observe::procfs::parse::parse_number;
use crate::observe::procfs::system::System;
use crate::observe::procfs::walk::{ProcFiles, ProcSource};
use crate::observe::source::SourceError;
use crate::resolve::cgroup_file::parse_cgroup_file;
use crate::resolve::process_files::ProcessFiles;
use crate::resolve::resolver::ContainerResolver;

/// More directories than a container has cgroups.
const MAX_CGROUPS: usize = 10_000;

/// What a look found.
#[derive(Debug)]
pub struct Look {
    pub snapshot: NamedSnapshot,
    /// Effective user ids by pid on the host, of all processes in containers that were looked at.
    pub users: FxHashMap<u32, u32>,
}

/// Looks at the containers in which the processes `inside` are, or at all.
///
/// # Errors
/// When there is no procfs to read.
pub fn look(
    config: &CollectorConfig,
    directory: &Directory,
    inside: Option<&[u32]>,
    with_host: bool,
) -> Result<Look, SourceError> {
    let system = System::new(&config.procfs);
    let own_container = system.own_container(config.container_name.as_deref());
    let sees_host = own_container.is_none();
    let mut source = ProcSource::open(&config.procfs)?;
    let members = inside
        .filter(|_| sees_host)
        .and_then(|pids| pids.iter().map(|&pid| members(source.files(), &config.cgroupfs, pid)).collect());
    let members: Option<FxHashSet<u32>> = members.map(|sets: Vec<_>| sets.into_iter().flatten().collect());

    let mut resolver = ContainerResolver::new(own_container, config.interval);
    let mut walk = WalkResult::default();
    resolver.begin(&mut walk);
    source.walk(|record, files| {
        let is_relevant = members.as_ref().is_none_or(|members| may_be_member(&record, members));
        resolver.admit(record, None, &mut Sparing { files, is_relevant }, &mut walk)
    })?;
    resolver.finish(source.files(), &mut walk);
    if let Some(members) = &members {
        leave_out_others(&mut walk, members);
    }
    let users = read_identities(source.files(), &mut walk.records, with_host);
    let mut forest = Forest::default();
    forest.rebuild(&mut walk.records);
    let mut roots = RootKinds::default();
    roots.classify(&walk, &forest, &mut resolver, source.files());
    let mut stats_by_slot = ForestStatsBySlot::default();
    stats_by_slot.rebuild(&walk, &forest, &roots, &mut CommInterner::default(), |_| 0.0);

    let containers =
        containers(&walk, &mut stats_by_slot, directory, &mut PidsReader::find(&config.cgroupfs));
    let snapshot = NamedSnapshot {
        containers,
        processes: Arc::new(ProcessTable {
            records: walk.records,
            containers: walk.containers,
            forest,
            roots,
        }),
        host: sees_host.then_some(stats_by_slot.host),
        host_kernel_threads: stats_by_slot.host_kernel_threads,
        clock: BootClock {
            boot_time: system.boot_time(),
            ticks_per_second: rustix::param::clock_ticks_per_second(),
        },
        collected_at: unix_now(),
        collected_at_ticks: system.uptime_ticks(),
    };
    Ok(Look { snapshot, users })
}

fn may_be_member(record: &ProcessRecord, members: &FxHashSet<u32>) -> bool {
    let is_dead = record.state == ProcessState::Zombie || record.leader_exited;
    !record.kernel_thread
        && (is_dead || members.contains(&record.key.pid) || members.contains(&record.parent_pid))
}

/// Passes on what is asked of relevant processes; the others are on the host, whatever else is true of them.
struct Sparing<'a> {
    files: &'a mut ProcFiles,
    is_relevant: bool,
}

impl ProcessFiles for Sparing<'_> {
    fn cgroup(&mut self, pid: u32) -> Result<&[u8], SkipReason> {
        if self.is_relevant { self.files.cgroup(pid) } else { Ok(b"0::/\n") }
    }

    /// Read later, for members alone.
    fn ns_pids(&mut self, _pid: u32) -> Option<NsPids> {
        None
    }

    fn pid_namespace(&mut self, pid: u32) -> Result<u64, SkipReason> {
        self.files.pid_namespace(pid)
    }
}

/// The pids in the container around a process, as the kernel lists them. `None` where that process is in no
/// container, or no list can be read.
fn members(files: &mut ProcFiles, cgroupfs: &Path, pid: u32) -> Option<FxHashSet<u32>> {
    let path = parse_cgroup_file(files.cgroup(pid).ok()?).container?.path.trim_start_matches('/').to_owned();
    let hierarchies = ["pids", "unified", ""].map(|name| cgroupfs.join(name).join(&path));
    let mut left: Vec<PathBuf> =
        hierarchies.into_iter().find(|it| it.join("cgroup.procs").exists()).into_iter().collect();
    let mut members = FxHashSet::default();
    let mut seen = 0;
    while let Some(directory) = left.pop() {
        seen += 1;
        if seen > MAX_CGROUPS {
            return None;
        }
        // One that was removed has no members; a threaded one shows them in a cgroup above.
        let list = fs::read(directory.join("cgroup.procs")).unwrap_or_default();
        let pids = list.split(|&b| b == b'\n').filter_map(parse_number);
        members.extend(pids.filter_map(|pid| u32::try_from(pid).ok()));
        let below = fs::read_dir(&directory).into_iter().flatten().flatten();
        left.extend(below.filter(|it| it.file_type().is_ok_and(|kind| kind.is_dir())).map(|it| it.path()));
    }
    (!members.is_empty()).then_some(members)
}

/// The dead of other containers were looked at, too: they are of no use without the living.
fn leave_out_others(walk: &mut WalkResult, members: &FxHashSet<u32>) {
    let slots = walk.records.iter().filter(|record| members.contains(&record.key.pid));
    let wanted: FxHashSet<usize> = slots.filter_map(|record| record.membership.slot()).collect();
    for record in &mut walk.records {
        if record.membership.slot().is_some_and(|slot| !wanted.contains(&slot)) {
            record.membership = Membership::HOST;
        }
    }
    for (slot, container) in walk.containers.iter_mut().enumerate() {
        if !wanted.contains(&slot) {
            *container = None;
        }
    }
}

/// Reads `status` of every process that may be shown.
fn read_identities(
    files: &mut ProcFiles,
    records: &mut [ProcessRecord],
    with_host: bool,
) -> FxHashMap<u32, u32> {
    let mut users = FxHashMap::default();
    for record in records {
        let may_be_shown = record.membership != Membership::HOST || (with_host && !record.kernel_thread);
        if may_be_shown && let Some((inner, user)) = files.identity(record.key.pid) {
            record.ns_pid = inner.below.unwrap_or(0);
            users.insert(record.key.pid, user);
        }
    }
    users
}

fn containers(
    walk: &WalkResult,
    stats_by_slot: &mut ForestStatsBySlot,
    directory: &Directory,
    pids: &mut PidsReader,
) -> Vec<ContainerSummary> {
    let mut containers: Vec<ContainerSummary> = walk
        .containers
        .iter()
        .enumerate()
        .filter_map(|(slot, container)| {
            let container = container.as_ref()?;
            let metadata = directory.get(&*container.container_id);
            let reading = pids.read(&container.path);
            Some(ContainerSummary {
                membership: Membership::container(slot),
                name: display_name(container, metadata.map(|it| &**it)).into(),
                container: Arc::clone(container),
                metadata: metadata.map(Arc::clone),
                stats: std::mem::take(&mut stats_by_slot.containers[slot]),
                pids_current: reading.current,
                pids_limit: reading.limit,
                paused: reading.frozen.or(metadata.map(|it| it.paused)),
                starts: None,
            })
        })
        .collect();
    containers.sort_by(|a, b| a.container.path.cmp(&b.container.path));
    containers
}
