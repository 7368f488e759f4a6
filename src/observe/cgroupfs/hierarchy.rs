//! Ids and paths of the cgroups of the default hierarchy (cgroup v2). An id is the inode number of the directory.

use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;

/// The id of the root cgroup (`cgroup_setup_root` creates its directory first).
const ROOT_ID: u64 = 1;
/// Limit on the directories of one search, more than any real host has.
const MAX_DIRECTORIES: usize = 200_000;
/// Limit on the queued paths: a container can create any number of cgroups.
const MAX_QUEUE_BYTES: usize = 4 << 20;

/// A mount of the complete default hierarchy.
#[derive(Clone, Debug)]
pub struct DefaultHierarchy {
    root: PathBuf,
}

impl DefaultHierarchy {
    /// Finds it below `cgroupfs` (the flag `--path.cgroupfs`): there on cgroup v2, in `unified` on hybrid hosts. `None`
    /// if it is missing, or if only a part of it is mounted, as inside a cgroup namespace.
    #[must_use]
    pub fn find(cgroupfs: &Path) -> Option<Self> {
        [cgroupfs.to_owned(), cgroupfs.join("unified")]
            .into_iter()
            .find(|root| {
                root.join("cgroup.controllers").exists()
                    && fs::metadata(root).is_ok_and(|root| root.ino() == ROOT_ID)
            })
            .map(|root| Self { root })
    }

    /// The id of the cgroup at `path`, which begins with `/`. `None` if it does not exist.
    #[must_use]
    pub fn id_of(&self, path: &str) -> Option<u64> {
        Some(fs::metadata(self.root.join(path.trim_start_matches('/'))).ok()?.ino())
    }

    /// Finds the paths of cgroups by breadth-first search. Calls `found` with each id and its path, and removes the id
    /// from `ids`. Returns whether all directories were read: then the remaining cgroups do not exist, or are nested so
    /// deep that they have no usable path.
    pub fn search(&self, ids: &mut FxHashSet<u64>, mut found: impl FnMut(u64, &str)) -> bool {
        if ids.remove(&ROOT_ID) {
            found(ROOT_ID, "/");
        }
        let mut queue = VecDeque::from([String::new()]);
        let (mut directories, mut queue_bytes) = (0, 0);
        let mut is_complete = true;
        while let Some(path) = queue.pop_front().filter(|_| !ids.is_empty()) {
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
                if ids.remove(&entry.ino()) {
                    found(entry.ino(), &path);
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
