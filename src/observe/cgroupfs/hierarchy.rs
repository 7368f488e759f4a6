//! Ids and paths of the cgroups of a hierarchy. An id is the inode number of the directory.

use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;

use crate::observe::procfs::parse::parse_number;

/// Limit on the directories of one search, more than any real host has.
const MAX_DIRECTORIES: usize = 200_000;
/// Limit on the queued paths: a container can create any number of cgroups.
const MAX_QUEUE_BYTES: usize = 4 << 20;

/// A mount of a complete hierarchy.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    root: PathBuf,
}

impl Hierarchy {
    /// The id of the root cgroup (`cgroup_setup_root` creates its directory first).
    pub const ROOT_ID: u64 = 1;

    /// Finds the default hierarchy (cgroup v2) below `cgroupfs` (the flag `--path.cgroupfs`): there on cgroup v2, in
    /// `unified` on hybrid hosts. `None` if it is missing, or if only a part of it is mounted, as inside a cgroup
    /// namespace.
    #[must_use]
    pub fn find_default(cgroupfs: &Path) -> Option<Self> {
        let roots = [cgroupfs.to_owned(), cgroupfs.join("unified")];
        roots
            .into_iter()
            .map(Self::at)
            .find(|it| it.root.join("cgroup.controllers").exists() && it.is_complete())
    }

    /// The hierarchy of cgroup v1 at `root`, under the same conditions.
    #[must_use]
    pub fn find_v1(root: &Path) -> Option<Self> {
        Some(Self::at(root)).filter(Self::is_complete)
    }

    /// The hierarchy mounted at `root`.
    pub(super) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn is_complete(&self) -> bool {
        fs::metadata(&self.root).is_ok_and(|root| root.ino() == Self::ROOT_ID)
    }

    /// The path of the cgroup whose `cgroup.procs` lists a process of the exporter's pid namespace.
    #[must_use]
    pub fn path_of_process(&self, pid: u32) -> Option<String> {
        let lists = |path: &str| {
            let file = self.root.join(path.trim_start_matches('/')).join("cgroup.procs");
            fs::read(file).is_ok_and(|pids| {
                pids.split(|&byte| byte == b'\n').any(|line| parse_number(line) == Some(u64::from(pid)))
            })
        };
        let mut found = lists("/").then(|| "/".to_owned());
        if found.is_some() {
            return found;
        }
        self.visit(|_, path| {
            if lists(path) {
                found = Some(path.to_owned());
            }
            found.is_none()
        });
        found
    }

    /// The id of the cgroup at `path`, which begins with `/`. `None` if it does not exist.
    #[must_use]
    pub fn id_of(&self, path: &str) -> Option<u64> {
        Some(fs::metadata(self.root.join(path.trim_start_matches('/'))).ok()?.ino())
    }

    /// Finds the paths of cgroups. Calls `found` with each id and its path, and removes the id from `ids`. Returns
    /// whether all directories were read: then the remaining cgroups do not exist, or are nested so deep that they have
    /// no usable path.
    pub fn search(&self, ids: &mut FxHashSet<u64>, mut found: impl FnMut(u64, &str)) -> bool {
        if ids.remove(&Self::ROOT_ID) {
            found(Self::ROOT_ID, "/");
        }
        if ids.is_empty() {
            return true;
        }
        self.visit(|id, path| {
            if ids.remove(&id) {
                found(id, path);
            }
            !ids.is_empty()
        })
    }

    /// Calls `visit` with the id and the path of every cgroup below the root, by breadth-first search, until it returns
    /// false. Returns whether all directories that had to be read were read.
    fn visit(&self, mut visit: impl FnMut(u64, &str) -> bool) -> bool {
        let mut queue = VecDeque::from([String::new()]);
        let (mut directories, mut queue_bytes) = (0, 0);
        let mut is_complete = true;
        while let Some(path) = queue.pop_front() {
            directories += 1;
            queue_bytes -= path.len();
            if directories > MAX_DIRECTORIES {
                return false;
            }
            let entries = match fs::read_dir(self.root.join(path.trim_start_matches('/'))) {
                Ok(entries) => entries,
                // It was removed during the search, with everything below it.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                // It is nested so deep that its path is too long.
                Err(error) if error.kind() == ErrorKind::InvalidFilename => continue,
                Err(_) => {
                    is_complete = false;
                    continue;
                }
            };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                // Container runtimes use only names in UTF-8.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = format!("{path}/{name}");
                if !visit(entry.ino(), &path) {
                    return is_complete;
                }
                if queue_bytes + path.len() > MAX_QUEUE_BYTES {
                    is_complete = false;
                    continue;
                }
                queue_bytes += path.len();
                queue.push_back(path);
            }
        }
        is_complete
    }
}
