//! The directories of the default cgroup hierarchy (cgroup v2): from id to path.

use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;

/// The id of the root cgroup (`cgroup_setup_root` makes its directory first).
const ROOT_ID: u64 = 1;
/// More directories than any machine has; one that has more is searched no further.
const MAX_SEARCHED: usize = 200_000;
/// Of paths that wait for their turn: a container may make cgroups without end.
const MAX_WAITING_BYTES: usize = 4 << 20;

/// Where the whole of it is mounted.
#[derive(Clone, Debug)]
pub struct DefaultHierarchy {
    root: PathBuf,
}

impl DefaultHierarchy {
    /// Looks for it below `cgroupfs` (the flag `--path.cgroupfs`): there on cgroup v2, in `unified` on hybrid
    /// machines. `None` where it is missing, or where we see only a part of it, as from inside a cgroup
    /// namespace.
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

    /// The id of the cgroup at `path`, which begins with `/`. `None` where there is none now.
    #[must_use]
    pub fn id_of(&self, path: &str) -> Option<u64> {
        Some(fs::metadata(self.root.join(path.trim_start_matches('/'))).ok()?.ino())
    }

    /// Shows the paths of the wanted cgroups, and takes them out of `wanted`; those nearest to the root come first.
    /// Returns whether all directories could be read, so that what stays does not exist, or is where nobody can look.
    pub fn search(&self, wanted: &mut FxHashSet<u64>, mut found: impl FnMut(u64, &str)) -> bool {
        if wanted.remove(&ROOT_ID) {
            found(ROOT_ID, "/");
        }
        let mut left = VecDeque::from([String::new()]);
        let (mut searched, mut waiting_bytes) = (0, 0);
        let mut is_complete = true;
        while let Some(path) = left.pop_front().filter(|_| !wanted.is_empty()) {
            searched += 1;
            waiting_bytes -= path.len();
            if searched > MAX_SEARCHED {
                return false;
            }
            let entries = match fs::read_dir(self.root.join(path.trim_start_matches('/'))) {
                Ok(entries) => entries,
                // Removed meanwhile, with all that was below it.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                // Nested so deeply that no path leads there.
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
                // No runtime makes names that are no UTF-8.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = format!("{path}/{name}");
                if wanted.remove(&entry.ino()) {
                    found(entry.ino(), &path);
                }
                if waiting_bytes + path.len() > MAX_WAITING_BYTES {
                    is_complete = false;
                    continue;
                }
                waiting_bytes += path.len();
                left.push_back(path);
            }
        }
        is_complete
    }
}
