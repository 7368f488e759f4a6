//! Reads the pids controller and the freezer of a container from cgroupfs.
//!
//! Sources: `cgroups(7)`; in the kernel, Documentation/admin-guide/cgroup-v1/pids.rst, freezer-subsystem.rst and
//! cgroup-v2.rst. If a file does not exist, its value is `None`, never 0.

use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use super::control_files::{ControlFile, ControlFiles};
use crate::model::pids::PidsReading;
use crate::observe::procfs::parse::{parse_keyed, parse_number};

/// The cgroupfs of one host.
#[derive(Debug)]
pub struct PidsReader {
    /// The hierarchy with the pids controller.
    pids: Option<PathBuf>,
    freezer: Option<Freezer>,
    /// `pids.max` by path, cached for one collection, because containers share ancestors.
    ancestor_limits: FxHashMap<Box<str>, Option<u64>>,
    files: ControlFiles,
}

#[derive(Debug)]
enum Freezer {
    /// `freezer.state` of cgroup v1.
    V1(PathBuf),
    /// `frozen` in `cgroup.events` of cgroup v2.
    V2(PathBuf),
}

impl PidsReader {
    /// Finds the hierarchies below `root` (the flag `--path.cgroupfs`): one for all controllers on cgroup v2, one for each
    /// controller on v1 and hybrid hosts.
    #[must_use]
    pub fn find(root: &Path) -> Self {
        let is_v2 = root.join("cgroup.controllers").exists();
        let existing = |path: PathBuf| path.is_dir().then_some(path);
        let (pids, freezer) = if is_v2 {
            (Some(root.to_owned()), Some(Freezer::V2(root.to_owned())))
        } else {
            let unified = existing(root.join("unified"));
            let freezer = existing(root.join("freezer")).map(Freezer::V1);
            (
                existing(root.join("pids")).or_else(|| unified.clone()),
                freezer.or_else(|| unified.map(Freezer::V2)),
            )
        };
        Self { pids, freezer, ancestor_limits: FxHashMap::default(), files: ControlFiles::new() }
    }

    /// Whether there is a pids controller.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.pids.is_some()
    }

    /// Keeps up to `max` files open between collections.
    pub fn keep_open(&mut self, max: usize) {
        self.files.keep_open(max);
    }

    /// Starts a collection: clears the cached limits, which may have changed.
    pub fn begin(&mut self) {
        self.ancestor_limits.clear();
    }

    /// Ends a collection: closes the files of containers that were not read in it.
    pub fn end(&mut self) {
        self.files.end();
    }

    /// Reads the files of the container at `path`, which begins with `/`.
    pub fn read(&mut self, path: &str) -> PidsReading {
        let Self { pids, freezer, ancestor_limits, files } = self;
        let frozen = freezer.as_ref().and_then(|freezer| read_frozen(freezer, path, files));
        let mut reading = PidsReading { frozen, ..PidsReading::default() };
        let Some(hierarchy) = pids else {
            return reading;
        };
        let mut number = |file| parse_number(files.read(hierarchy, path, file)?);
        reading.current = number(ControlFile::PidsCurrent);
        if reading.current.is_some() {
            reading.peak = number(ControlFile::PidsPeak);
            let own = number(ControlFile::PidsMax);
            reading.limit_hits = files
                .read(hierarchy, path, ControlFile::PidsEvents)
                .and_then(|events| parse_keyed(events, b"max"));
            let ancestor_limit = ancestor_limit(hierarchy, path, ancestor_limits);
            // Since Linux 6.11, cgroup v2 counts at the cgroup with the limit, not at the cgroup of the fork.
            if ancestor_limit.is_some_and(|limit| own.is_none_or(|own| limit <= own))
                && hierarchy.join(path.trim_start_matches('/')).join("pids.events.local").exists()
            {
                reading.limit_hits = None;
            }
            reading.limit = own.into_iter().chain(ancestor_limit).min();
            reading.refused = match (own, ancestor_limit) {
                (None, None) => Some(reading.limit_hits.unwrap_or(0)),
                (Some(_), None) => reading.limit_hits,
                (_, Some(_)) => None,
            };
        }
        reading
    }
}

/// The smallest limit of the cgroups above the container's own. `known` has the limits that were read already.
fn ancestor_limit(hierarchy: &Path, path: &str, known: &mut FxHashMap<Box<str>, Option<u64>>) -> Option<u64> {
    let mut limit = None;
    let mut ancestor = path;
    while let Some((above, _)) = ancestor.rsplit_once('/') {
        ancestor = above;
        let ancestor_limit = match known.get(ancestor) {
            Some(&known) => known,
            None => {
                let file = hierarchy.join(ancestor.trim_start_matches('/')).join("pids.max");
                let read = std::fs::read(file).ok().and_then(|bytes| parse_number(bytes.trim_ascii()));
                known.insert(ancestor.into(), read);
                read
            }
        };
        limit = limit.into_iter().chain(ancestor_limit).min();
    }
    limit
}

fn read_frozen(freezer: &Freezer, path: &str, files: &mut ControlFiles) -> Option<bool> {
    match freezer {
        // FREEZING: some of the processes are already stopped.
        Freezer::V1(root) => {
            files.read(root, path, ControlFile::FreezerState).map(|state| state != b"THAWED")
        }
        Freezer::V2(root) => {
            let events = files.read(root, path, ControlFile::CgroupEvents)?;
            parse_keyed(events, b"frozen").map(|frozen| frozen != 0)
        }
    }
}
