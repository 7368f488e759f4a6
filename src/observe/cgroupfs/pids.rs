//! The pids controller of each container, and whether it is frozen, out of the files of cgroupfs.
//!
//! `cgroups(7)`; Documentation/admin-guide/cgroup-v1/pids.rst and freezer-subsystem.rst, and cgroup-v2.rst
//! of the kernel. A file that is not there gives no value, never a 0.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::model::pids::PidsReading;
use crate::observe::procfs::parse::{parse_keyed, parse_number};

/// The cgroupfs of one machine.
#[derive(Debug)]
pub struct PidsReader {
    /// The hierarchy that has the pids controller.
    pids: Option<PathBuf>,
    freezer: Option<Freezer>,
    /// `pids.max` by directory, within one collection: containers share their ancestors.
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
    /// Finds the hierarchies below `root` (the flag `--path.cgroupfs`): one for all on cgroup v2, one for
    /// each controller on v1 and hybrid machines.
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

    /// Whether there is anything to read.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.pids.is_some()
    }

    /// Begins a collection: limits may have changed.
    pub fn begin(&mut self) {
        self.ancestor_limits.clear();
    }

    /// Reads the files of the container at `path`, which begins with `/`.
    pub fn read(&mut self, path: &str) -> PidsReading {
        let mut reading = PidsReading { frozen: self.frozen(path), ..PidsReading::default() };
        let Some(hierarchy) = self.pids.take() else {
            return reading;
        };
        let directory = hierarchy.join(path.trim_start_matches('/'));
        reading.current = self.number(&directory, "pids.current");
        if reading.current.is_some() {
            reading.peak = self.number(&directory, "pids.peak");
            reading.limit_hits = self.file(&directory, "pids.events").and_then(|it| parse_keyed(it, b"max"));
            let own = self.number(&directory, "pids.max");
            let above = self.limit_above(&hierarchy, &directory);
            // From Linux 6.11 on, cgroup v2 counts where the limit is, not where the fork was.
            if above.is_some_and(|above| own.is_none_or(|own| above <= own))
                && directory.join("pids.events.local").exists()
            {
                reading.limit_hits = None;
            }
            reading.limit = own.into_iter().chain(above).min();
            reading.refused = match (own, above) {
                (None, None) => Some(reading.limit_hits.unwrap_or(0)),
                (Some(_), None) => reading.limit_hits,
                (_, Some(_)) => None,
            };
        }
        self.pids = Some(hierarchy);
        reading
    }

    /// The smallest of the ancestors' limits.
    fn limit_above(&mut self, hierarchy: &Path, directory: &Path) -> Option<u64> {
        let mut limit = None;
        for ancestor in directory.ancestors().skip(1).take_while(|ancestor| ancestor.starts_with(hierarchy)) {
            let above = match self.ancestor_limits.get(ancestor) {
                Some(&known) => known,
                None => {
                    let read = self.number(ancestor, "pids.max");
                    self.ancestor_limits.insert(ancestor.to_owned(), read);
                    read
                }
            };
            limit = limit.into_iter().chain(above).min();
        }
        limit
    }

    fn frozen(&mut self, path: &str) -> Option<bool> {
        let freezer = self.freezer.take()?;
        let frozen = match &freezer {
            Freezer::V1(root) => {
                let directory = root.join(path.trim_start_matches('/'));
                // FREEZING is on its way: some of the processes do not run any more.
                self.file(&directory, "freezer.state").map(|state| state != b"THAWED")
            }
            Freezer::V2(root) => {
                let directory = root.join(path.trim_start_matches('/'));
                self.file(&directory, "cgroup.events")
                    .and_then(|it| parse_keyed(it, b"frozen"))
                    .map(|it| it != 0)
            }
        };
        self.freezer = Some(freezer);
        frozen
    }

    /// `max` is no number, so an unlimited `pids.max` is `None`.
    fn number(&mut self, directory: &Path, name: &str) -> Option<u64> {
        parse_number(self.file(directory, name)?)
    }

    /// One read: these files have a line or a few, which the kernel hands out whole.
    fn file(&mut self, directory: &Path, name: &str) -> Option<&[u8]> {
        self.file_path.clear();
        self.file_path.push(directory);
        self.file_path.push(name);
        let length = File::open(&self.file_path).ok()?.read(&mut self.buffer).ok()?;
        Some(self.buffer[..length].trim_ascii())
    }
}
