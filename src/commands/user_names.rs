//! The user names of trees. A container has its own names, and so has the host; names of another system would be wrong.

use std::path::Path;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use tokio::runtime::Runtime;

use crate::model::forest::root_kinds::RootKind;
use crate::model::process::{ProcessKey, ProcessState};
use crate::model::process_table::ProcessTable;
use crate::model::snapshot::ContainerSummary;
use crate::model::user_names::UserNames;
use crate::observe::procfs::passwd::UserNameReaders;
use crate::observe::procfs::reader_pool::ReadTimeouts;
use crate::observe::procfs::start_clock::StartClock;
use crate::observe::procfs::system::System;
use crate::view::tree::{Process, Tree};

/// Limit on all names together, since containers choose the length of their files. Containers that do not fit have no
/// names.
const MAX_NAMES: usize = 200_000;

/// A runtime needs less time to prepare a container after it started its first process.
const SETTLED_SECONDS: u64 = 10;

/// User names by container path. The path of the host, including its systemd units, is empty.
pub(super) struct UserNameCache {
    /// `None` if no thread can be created, as when pids are exhausted. A tree is more important than its names.
    readers: Option<UserNameReaders>,
    system: System,
    clock: StartClock,
    known: FxHashMap<Box<str>, Known>,
}

struct Known {
    /// The processes whose root directories were searched, the most certain one first. The kernel may show that of
    /// another user's process only to root, but always that of this program.
    owners: Vec<ProcessKey>,
    names: Arc<UserNames>,
    /// Whether the names can be kept.
    is_settled: bool,
}

impl UserNameCache {
    /// Creates the threads that read names.
    pub(super) fn start(procfs: &Path, timeouts: ReadTimeouts) -> Self {
        let readers = UserNameReaders::start(procfs, timeouts).ok();
        let (system, clock) = (System::new(procfs), StartClock::new(procfs));
        Self { readers, system, clock, known: FxHashMap::default() }
    }

    /// The names of each tree, which are read once. Forgets all others.
    pub(super) fn of(
        &mut self,
        table: &ProcessTable,
        trees: &[(Option<&ContainerSummary>, Tree)],
        runtime: &Runtime,
    ) -> Vec<Arc<UserNames>> {
        let record_of = |pid| table.index_of(pid).map(|index| &table.records[index]);
        let own = self.system.own_pid().and_then(record_of);
        // In another cgroup namespace, the cgroup of this program does not tell in which container it runs.
        let own_on_host = own.filter(|_| self.system.shows_full_cgroup_paths());
        let on_host =
            [record_of(1), own_on_host].into_iter().flatten().filter(|it| it.membership.is_on_host());
        let host: Vec<ProcessKey> = on_host.map(|it| it.key).collect();
        let wanted: Vec<(Box<str>, Vec<ProcessKey>)> = trees
            .iter()
            .map(|(summary, tree)| match summary.filter(|summary| !summary.container.is_unit()) {
                Some(summary) => {
                    let own = own.filter(|own| own.membership == summary.membership).map(|own| own.key);
                    (summary.container.path.clone(), init_of(tree).into_iter().chain(own).collect())
                }
                None => ("".into(), host.clone()),
            })
            .collect();
        let mut before = std::mem::take(&mut self.known);
        for (path, owners) in &wanted {
            let is_current = |known: &Known| known.owners == *owners && known.is_settled;
            if let Some(known) = before.remove(path).filter(is_current) {
                self.known.insert(path.clone(), known);
            }
        }
        let mut seen = FxHashSet::default();
        let new: Vec<&(Box<str>, Vec<ProcessKey>)> =
            wanted.iter().filter(|(path, _)| !self.known.contains_key(path) && seen.insert(path)).collect();
        if let Some(readers) = &self.readers
            && new.iter().any(|(_, owners)| !owners.is_empty())
        {
            let keys = new.iter().flat_map(|(_, owners)| owners.iter().copied());
            let now = self.clock.ticks();
            let total: usize = self.known.values().map(|known| known.names.len()).sum();
            let mut found = runtime.block_on(readers.read(keys, MAX_NAMES.saturating_sub(total)));
            for (path, owners) in new {
                let names = owners.iter().find_map(|owner| found.remove(owner)).unwrap_or_default();
                let is_settled = owners.iter().all(|owner| is_settled(*owner, now));
                let known = Known { owners: owners.clone(), names: Arc::new(names), is_settled };
                self.known.insert(path.clone(), known);
            }
        }
        let names_of = |path| self.known.get(path).map(|known| Arc::clone(&known.names)).unwrap_or_default();
        wanted.iter().map(|(path, _)| names_of(path)).collect()
    }
}

/// Whether a process is so old that it has its own root directory: the runtime starts it in that of the host.
fn is_settled(owner: ProcessKey, now: Option<u64>) -> bool {
    let age = now.map_or(0, |now| now.saturating_sub(owner.start_time));
    age >= SETTLED_SECONDS * rustix::param::clock_ticks_per_second()
}

/// The process that the runtime started. Others may have entered with the root directory of another system.
fn init_of(tree: &Tree) -> Option<ProcessKey> {
    let is_init =
        |process: &&Process| process.kind == Some(RootKind::Init) && process.state != ProcessState::Zombie;
    tree.processes.iter().find(is_init).map(|process| process.key)
}
