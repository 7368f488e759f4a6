//! Reads the pids controller and the freezer of containers, and the pids controller of pods, from cgroupfs.
//!
//! Sources: `cgroups(7)`; in the kernel, Documentation/admin-guide/cgroup-v1/pids.rst, freezer-subsystem.rst and
//! cgroup-v2.rst. If a file does not exist, its value is `None`, never 0.

use std::path::{Path, PathBuf};

use super::ancestors::{Ancestors, Level, ancestors};
use super::control_files::{ControlFile, ControlFiles};
use crate::model::pids::{NearestLimit, PidsReading, PodPids};
use crate::observe::procfs::parse::{parse_keyed, parse_number};

/// The cgroupfs of one host.
#[derive(Debug)]
pub struct PidsReader {
    /// The hierarchy with the pids controller.
    pids: Option<PathBuf>,
    freezer: Option<Freezer>,
    ancestors: Ancestors,
    files: ControlFiles,
    /// Whether the kernel counts a refused fork in the cgroup whose limit refused it (cgroup v2, Linux 6.11 or later), not
    /// in the cgroup of the process that forked. `None` until a cgroup shows it.
    counts_at_limit: Option<bool>,
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
        let (ancestors, files) = (Ancestors::default(), ControlFiles::new());
        Self { pids, freezer, ancestors, files, counts_at_limit: None }
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

    /// Begins a collection. Within one, the cgroups above containers are read once.
    pub fn begin(&mut self) {
        self.ancestors.begin();
    }

    /// Ends a collection: closes the files of cgroups that were not read in it.
    pub fn end(&mut self) {
        self.ancestors.end();
        self.files.end();
    }

    /// Reads the files of the container at `path`, which begins with `/`, and the limits of the cgroups above it.
    pub fn read(&mut self, path: &str) -> PidsReading {
        let Self { pids, freezer, ancestors: above, files, counts_at_limit } = self;
        let frozen = freezer.as_ref().and_then(|freezer| read_frozen(freezer, path, files));
        let mut reading = PidsReading { frozen, ..PidsReading::default() };
        let Some(hierarchy) = pids else {
            return reading;
        };
        let mut number = |file| parse_number(files.read(hierarchy, path, file)?);
        reading.current = number(ControlFile::PidsCurrent);
        // A cgroup without a pids controller of its own is counted by the next one above it. A cgroup that does not exist
        // may be one of another cgroup namespace, to which the limits found here do not apply.
        if reading.current.is_none() && !directory(hierarchy, path).is_dir() {
            return reading;
        }
        let own = Level { current: reading.current, limit: number(ControlFile::PidsMax) };
        let mut limit_above = None;
        let mut nearest = nearest_limit(own, false);
        for ancestor in ancestors(path) {
            let level = above.level(hierarchy, ancestor, files);
            limit_above = limit_above.into_iter().chain(level.limit).min();
            nearest = nearest.into_iter().chain(nearest_limit(level, true)).reduce(NearestLimit::nearer);
        }
        reading.nearest_limit = nearest;
        reading.limit = own.limit.into_iter().chain(limit_above).min();
        if reading.current.is_some() {
            reading.peak = parse_number_of(files.read(hierarchy, path, ControlFile::PidsPeak));
            // The limit above is reached first.
            let is_unreachable = limit_above.is_some_and(|above| own.limit.is_none_or(|own| above < own));
            if !is_unreachable || !find_out_counts_at_limit(counts_at_limit, hierarchy, path) {
                reading.limit_hits = events(files.read(hierarchy, path, ControlFile::PidsEvents));
            }
            reading.refused = match (own.limit, limit_above) {
                (None, None) => Some(reading.limit_hits.unwrap_or(0)),
                (Some(_), None) => reading.limit_hits,
                (_, Some(_)) => None,
            };
        }
        reading
    }

    /// Reads the files of the pod at `path`, a cgroup above those of its containers.
    pub fn read_pod(&mut self, path: &str) -> PodPids {
        let Self { pids: Some(hierarchy), ancestors, files, .. } = self else {
            return PodPids::default();
        };
        let level = ancestors.level(hierarchy, path, files);
        let current =
            level.current.or_else(|| parse_number_of(files.read(hierarchy, path, ControlFile::PidsCurrent)));
        if current.is_none() {
            return PodPids::default();
        }
        let peak = parse_number_of(files.read(hierarchy, path, ControlFile::PidsPeak));
        // Before Linux 6.11, and on cgroup v1, refused forks are counted at the containers. `pids.events` also counts those
        // at the limits of the containers.
        let limit_hits = events(files.read(hierarchy, path, ControlFile::PidsEventsLocal));
        PodPids { current, limit: level.limit, peak, limit_hits }
    }
}

fn directory(hierarchy: &Path, path: &str) -> PathBuf {
    hierarchy.join(path.trim_start_matches('/'))
}

fn parse_number_of(file: Option<&[u8]>) -> Option<u64> {
    parse_number(file?)
}

/// The number of refused forks in `pids.events` and `pids.events.local`.
fn events(file: Option<&[u8]>) -> Option<u64> {
    parse_keyed(file?, b"max")
}

fn nearest_limit(level: Level, is_above: bool) -> Option<NearestLimit> {
    Some(NearestLimit { current: level.current?, limit: level.limit?, is_above })
}

/// Whether the kernel counts refused forks at the limit: then cgroups have a `pids.events.local`. `known` keeps the answer.
fn find_out_counts_at_limit(known: &mut Option<bool>, hierarchy: &Path, path: &str) -> bool {
    if let Some(known) = *known {
        return known;
    }
    let directory = directory(hierarchy, path);
    let has_local = directory.join(ControlFile::PidsEventsLocal.name()).exists();
    // The cgroup may have been removed.
    if has_local || directory.join(ControlFile::PidsEvents.name()).exists() {
        *known = Some(has_local);
    }
    has_local
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
