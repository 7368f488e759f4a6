//! The control files of containers, a limited number of which stay open between collections.
//!
//! To open and close a file of cgroupfs takes several times as long as to read it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

/// A file that is read for each container. The freezer may be in another hierarchy than the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ControlFile {
    PidsCurrent,
    PidsPeak,
    PidsEvents,
    PidsMax,
    /// `freezer.state` of cgroup v1.
    FreezerState,
    /// `cgroup.events` of cgroup v2.
    CgroupEvents,
}

impl ControlFile {
    const COUNT: usize = 6;

    fn name(self) -> &'static str {
        match self {
            Self::PidsCurrent => "pids.current",
            Self::PidsPeak => "pids.peak",
            Self::PidsEvents => "pids.events",
            Self::PidsMax => "pids.max",
            Self::FreezerState => "freezer.state",
            Self::CgroupEvents => "cgroup.events",
        }
    }
}

/// The open files of one container.
#[derive(Debug, Default)]
struct OpenFiles {
    files: [Option<File>; ControlFile::COUNT],
    is_in_use: bool,
}

/// Reads control files, and keeps them open if the limit allows it.
#[derive(Debug)]
pub(super) struct ControlFiles {
    /// By the path of the container.
    open: FxHashMap<Box<str>, OpenFiles>,
    max_open: usize,
    file_path: PathBuf,
    buffer: [u8; 1024],
}

impl ControlFiles {
    pub(super) fn new() -> Self {
        Self { open: FxHashMap::default(), max_open: 0, file_path: PathBuf::new(), buffer: [0; 1024] }
    }

    /// Sets how many files may stay open.
    pub(super) fn keep_open(&mut self, max: usize) {
        self.max_open = max;
    }

    /// Ends a collection: closes the files of containers that it did not read.
    pub(super) fn end(&mut self) {
        self.open.retain(|_, container| std::mem::take(&mut container.is_in_use));
    }

    /// Reads a file of the container at `path`, which begins with `/`, below `hierarchy`. The kernel returns a file of
    /// a few lines in a single read. `None` if the file does not exist.
    pub(super) fn read(&mut self, hierarchy: &Path, path: &str, file: ControlFile) -> Option<&[u8]> {
        if let Some(container) = self.open.get_mut(path) {
            container.is_in_use = true;
            let slot = &mut container.files[file as usize];
            if let Some(open) = slot {
                if let Ok(length) = open.read_at(&mut self.buffer, 0) {
                    return Some(self.buffer[..length].trim_ascii());
                }
                // The cgroup was removed (ENODEV). A restarted container has a new cgroup at the same path.
                *slot = None;
            }
        }
        self.file_path.clear();
        self.file_path.push(hierarchy);
        self.file_path.push(path.trim_start_matches('/'));
        self.file_path.push(file.name());
        let opened = File::open(&self.file_path).ok()?;
        let length = opened.read_at(&mut self.buffer, 0).ok()?;
        let may_stay_open = match self.open.get(path) {
            Some(_) => true,
            None => (self.open.len() + 1) * ControlFile::COUNT <= self.max_open,
        };
        if may_stay_open {
            let container = self.open.entry(path.into()).or_default();
            container.is_in_use = true;
            container.files[file as usize] = Some(opened);
        }
        Some(self.buffer[..length].trim_ascii())
    }
}
