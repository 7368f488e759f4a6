//! Pids limits of the cgroups above containers. Containers share them, so each is read once per collection.

use std::path::Path;

use rustc_hash::FxHashMap;

use super::control_files::{ControlFile, ControlFiles};
use crate::observe::procfs::parse::parse_number;

/// The pids controller of one cgroup.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    pub limit: Option<u64>,
    /// Read only if there is a limit.
    pub current: Option<u64>,
}

/// The cgroups above the containers of a collection.
#[derive(Debug, Default)]
pub(super) struct Ancestors {
    /// By path, with the number of the collection that read it.
    levels: FxHashMap<Box<str>, (u64, Level)>,
    collection: u64,
}

impl Ancestors {
    /// Begins a collection: all values may have changed.
    pub(super) fn begin(&mut self) {
        self.collection += 1;
    }

    /// Ends a collection: forgets the cgroups that it did not read.
    pub(super) fn end(&mut self) {
        self.levels.retain(|_, (read_in, _)| *read_in == self.collection);
    }

    /// The cgroup at `path`, read by the first call in this collection.
    pub(super) fn level(&mut self, hierarchy: &Path, path: &str, files: &mut ControlFiles) -> Level {
        let known = self.levels.get_mut(path);
        if let Some(&mut (read_in, level)) = known
            && read_in == self.collection
        {
            return level;
        }
        let mut number = |file| parse_number(files.read(hierarchy, path, file)?);
        let limit = number(ControlFile::PidsMax);
        let current = limit.and_then(|_| number(ControlFile::PidsCurrent));
        let level = Level { limit, current };
        match known {
            Some(known) => *known = (self.collection, level),
            None => {
                self.levels.insert(path.into(), (self.collection, level));
            }
        }
        level
    }
}

/// The paths of the cgroups above `path`, from its parent to the root, which is the empty path.
pub(super) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let parent = |path: &str| path.trim_end_matches('/').rfind('/');
    std::iter::successors(parent(path), move |&end| parent(&path[..end])).map(|end| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::ancestors;

    #[test]
    fn ancestors_end_with_the_root_and_the_root_has_none() {
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a", ""]);
        assert_eq!(ancestors("/a").collect::<Vec<_>>(), [""]);
        assert_eq!(ancestors("/").count() + ancestors("").count(), 0);
    }
}
