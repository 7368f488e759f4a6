//! The control files of containers and of the cgroups above them, a limited number of which stay open between
//! collections.
//!
//! To open and close a file of cgroupfs takes several times as long as to read it.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

/// A file of a cgroup. The freezer may be in another hierarchy than the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ControlFile {
    PidsCurrent,
    PidsPeak,
    PidsEvents,
    PidsEventsLocal,
    PidsMax,
    /// `freezer.state` of cgroup v1.
    FreezerState,
    /// `cgroup.events` of cgroup v2.
    CgroupEvents,
}

impl ControlFile {
    const COUNT: usize = 7;

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PidsCurrent => "pids.current",
            Self::PidsPeak => "pids.peak",
            Self::PidsEvents => "pids.events",
            Self::PidsEventsLocal => "pids.events.local",
            Self::PidsMax => "pids.max",
            Self::FreezerState => "freezer.state",
            Self::CgroupEvents => "cgroup.events",
        }
    }

    /// Whether some kernels lack the file. Then a cgroup never gets it.
    fn depends_on_kernel(self) -> bool {
        matches!(self, Self::PidsPeak | Self::PidsEventsLocal)
    }
}

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Closed,
    Open(File),
    /// The kernel lacks the file.
    Missing,
}

/// The open files of one cgroup.
#[derive(Debug, Default)]
struct OpenFiles {
    slots: [Slot; ControlFile::COUNT],
    is_in_use: bool,
}

impl OpenFiles {
    fn count(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot, Slot::Open(_))).count()
    }
}

/// Reads control files, and keeps them open if the limit allows it.
#[derive(Debug)]
pub(super) struct ControlFiles {
    /// By the path of the cgroup.
    open: FxHashMap<Box<str>, OpenFiles>,
    count: usize,
    max_open: usize,
    file_path: PathBuf,
    buffer: [u8; 1024],
}

impl ControlFiles {
    pub(super) fn new() -> Self {
        let open = FxHashMap::default();
        Self { open, count: 0, max_open: 0, file_path: PathBuf::new(), buffer: [0; 1024] }
    }

    /// Sets how many files may stay open.
    pub(super) fn keep_open(&mut self, max: usize) {
        self.max_open = max;
    }

    /// Ends a collection: closes the files of cgroups that it did not read.
    pub(super) fn end(&mut self) {
        self.open.retain(|_, cgroup| std::mem::take(&mut cgroup.is_in_use));
        self.count = self.open.values().map(OpenFiles::count).sum();
    }

    /// Reads a file of the cgroup at `path` below `hierarchy`. The path begins with `/`; the path of the root may be
    /// empty. The kernel returns a file of a few lines in a single read. `None` if the file does not exist.
    pub(super) fn read(&mut self, hierarchy: &Path, path: &str, file: ControlFile) -> Option<&[u8]> {
        if let Some(cgroup) = self.open.get_mut(path) {
            cgroup.is_in_use = true;
            match &cgroup.slots[file as usize] {
                Slot::Open(open) => {
                    if let Ok(length) = open.read_at(&mut self.buffer, 0) {
                        return Some(self.buffer[..length].trim_ascii());
                    }
                    // The cgroup was removed (ENODEV). A restarted container has a new cgroup at the same path.
                    self.count -= cgroup.count();
                    cgroup.slots = Default::default();
                }
                Slot::Missing => return None,
                Slot::Closed => {}
            }
        }
        self.file_path.clear();
        self.file_path.push(hierarchy);
        self.file_path.push(path.trim_start_matches('/'));
        self.file_path.push(file.name());
        let opened = match File::open(&self.file_path) {
            Ok(opened) => opened,
            Err(error) => {
                if error.kind() == ErrorKind::NotFound
                    && file.depends_on_kernel()
                    && let Some(cgroup) = self.open.get_mut(path)
                {
                    cgroup.slots[file as usize] = Slot::Missing;
                }
                return None;
            }
        };
        let length = opened.read_at(&mut self.buffer, 0).ok()?;
        if self.count < self.max_open {
            let cgroup = match self.open.get_mut(path) {
                Some(cgroup) => cgroup,
                None => self.open.entry(path.into()).or_default(),
            };
            cgroup.is_in_use = true;
            cgroup.slots[file as usize] = Slot::Open(opened);
            self.count += 1;
        }
        Some(self.buffer[..length].trim_ascii())
    }
}
