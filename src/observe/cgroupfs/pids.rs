//! Reads the pids controller and the freezer of a container from cgroupfs.
//!
//! Sources: `cgroups(7)`; in the kernel, Documentation/admin-guide/cgroup-v1/pids.rst, freezer-subsystem.rst and
//! cgroup-v2.rst. If a file does not exist, its value is `None`, never 0.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::model::pids::PidsReading;
use crate::observe::procfs::parse::{parse_keyed, parse_number};

/// The cgroupfs of one host.
#[derive(Debug)]
pub struct PidsReader {
    /// The hierarchy with the pids controller.
    pids: Option<PathBuf>,
    freezer: Option<Freezer>,
    /// `pids.max` by directory, cached for one collection, because containers share ancestors.
    ancestor_limits: HashMap<PathBuf, Option<u64>>,
    file_path: PathBuf,
    buffer: [u8; 1024],
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
        Self { pids, freezer, ancestor_limits: HashMap::new(), file_path: PathBuf::new(), buffer: [0; 1024] }
    }

    /// Whether there is a pids controller.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.pids.is_some()
    }

    /// Starts a collection: clears the cached limits, which may have changed.
    pub fn begin(&mut self) {
        self.ancestor_limits.clear();
    }

    /// Reads the files of the container at `path`, which begins with `/`.
    pub fn read(&mut self, path: &str) -> PidsReading {
        let mut reading = PidsReading { frozen: self.read_frozen(path), ..PidsReading::default() };
        let Some(hierarchy) = self.pids.take() else {
            return reading;
        };
        let directory = hierarchy.join(path.trim_start_matches('/'));
        reading.current = self.read_number(&directory, "pids.current");
        if reading.current.is_some() {
            reading.peak = self.read_number(&directory, "pids.peak");
            reading.limit_hits =
                self.read_file(&directory, "pids.events").and_then(|it| parse_keyed(it, b"max"));
            let own = self.read_number(&directory, "pids.max");
            let ancestor_limit = self.ancestor_limit(&hierarchy, &directory);
            // Since Linux 6.11, cgroup v2 counts at the cgroup with the limit, not at the cgroup of the fork.
            if ancestor_limit.is_some_and(|limit| own.is_none_or(|own| limit <= own))
                && directory.join("pids.events.local").exists()
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
        self.pids = Some(hierarchy);
        reading
    }

    /// The smallest limit of the cgroups above the container's own.
    fn ancestor_limit(&mut self, hierarchy: &Path, directory: &Path) -> Option<u64> {
        let mut limit = None;
        for ancestor in directory.ancestors().skip(1).take_while(|ancestor| ancestor.starts_with(hierarchy)) {
            let ancestor_limit = match self.ancestor_limits.get(ancestor) {
                Some(&known) => known,
                None => {
                    let read = self.read_number(ancestor, "pids.max");
                    self.ancestor_limits.insert(ancestor.to_owned(), read);
                    read
                }
            };
            limit = limit.into_iter().chain(ancestor_limit).min();
        }
        limit
    }

    fn read_frozen(&mut self, path: &str) -> Option<bool> {
        let freezer = self.freezer.take()?;
        let frozen = match &freezer {
            Freezer::V1(root) => {
                let directory = root.join(path.trim_start_matches('/'));
                // FREEZING: some of the processes are already stopped.
                self.read_file(&directory, "freezer.state").map(|state| state != b"THAWED")
            }
            Freezer::V2(root) => {
                let directory = root.join(path.trim_start_matches('/'));
                self.read_file(&directory, "cgroup.events")
                    .and_then(|it| parse_keyed(it, b"frozen"))
                    .map(|it| it != 0)
            }
        };
        self.freezer = Some(freezer);
        frozen
    }

    /// Reads a number. `None` for `max`, the value of an unlimited `pids.max`.
    fn read_number(&mut self, directory: &Path, name: &str) -> Option<u64> {
        parse_number(self.read_file(directory, name)?)
    }

    /// Reads a file of a few lines, which the kernel returns in a single read.
    fn read_file(&mut self, directory: &Path, name: &str) -> Option<&[u8]> {
        self.file_path.clear();
        self.file_path.push(directory);
        self.file_path.push(name);
        let length = File::open(&self.file_path).ok()?.read(&mut self.buffer).ok()?;
        Some(self.buffer[..length].trim_ascii())
    }
}
