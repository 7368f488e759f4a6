//! Complete cgroup paths for an exporter in its own cgroup namespace.
//!
//! In a cgroup namespace, `/proc/PID/cgroup` shows every path relative to the namespace's root, with `/..` for each
//! level above it (`cgroup_namespaces(7)`). The root of the exporter's own mount of cgroupfs is that root, and its inode
//! number is the same in a mount of the complete hierarchy, which `--path.cgroupfs` has. So its path can be found there.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;
use rustix::fs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};

use super::hierarchy::Hierarchy;
use crate::resolve::cgroup_file::parse_cgroup_lines;

/// Where a container runtime mounts the cgroups of a container.
const OWN_MOUNT: &str = "/sys/fs/cgroup";

/// The root of the exporter's cgroup namespace, in each hierarchy.
#[derive(Clone, Debug, Default)]
pub struct NamespaceRoot {
    default: Option<Root>,
    /// For the hierarchies of cgroup v1, in which runtimes use the same path.
    v1: Option<Root>,
}

#[derive(Clone, Debug)]
struct Root {
    hierarchy: Hierarchy,
    inode: u64,
    path: String,
}

impl NamespaceRoot {
    /// Finds the root below `cgroupfs`, whose hierarchies must be complete. `own_cgroup` is the exporter's own cgroup
    /// file.
    #[must_use]
    pub fn find(cgroupfs: &Path, own_cgroup: &[u8]) -> Self {
        let own = Path::new(OWN_MOUNT);
        let is_at_root = |is_v2: bool| {
            parse_cgroup_lines(own_cgroup)
                .any(|line| line.is_v2 == is_v2 && line.path == b"/" && (is_v2 || line.has_controller(b"pids")))
        };
        let default = Hierarchy::find_default(cgroupfs)
            .and_then(|it| Root::find(it, &[own.to_owned(), own.join("unified")], is_at_root(true)));
        let v1 = Hierarchy::find_v1(cgroupfs)
            .and_then(|it| Root::find(it, &[own.join("pids")], is_at_root(false)));
        Self { default, v1 }
    }

    /// Whether paths of the default hierarchy can be completed.
    #[must_use]
    pub fn has_default(&self) -> bool {
        self.default.is_some()
    }

    /// Whether paths of any hierarchy can be completed.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.default.is_some() || self.v1.is_some()
    }

    /// Checks that the root is still at its path: a cgroup of v1 can be renamed. If it is not, paths stay relative until
    /// it is found again.
    pub fn confirm(&mut self) {
        if self.v1.as_ref().is_some_and(|root| root.hierarchy.id_of(&root.path) != Some(root.inode)) {
            self.v1 = self.v1.take().and_then(|root| Root::at_inode(root.hierarchy, root.inode));
        }
    }

    /// Appends the lines of a cgroup file to `out`, with complete paths. Paths of an unknown hierarchy, and those that
    /// have more levels than the root, are not changed.
    pub fn complete(&self, file: &[u8], out: &mut Vec<u8>) {
        for line in file.split(|&byte| byte == b'\n') {
            let Some(parsed) = parse_cgroup_lines(line).next() else { continue };
            let path = line.splitn(3, |&byte| byte == b':').last().unwrap_or_default();
            let root = if parsed.is_v2 { &self.default } else { &self.v1 };
            match root.as_ref().and_then(|root| join(&root.path, parsed.path)) {
                Some((above, below)) => {
                    out.extend_from_slice(&line[..line.len() - path.len()]);
                    out.extend_from_slice(above.as_bytes());
                    out.extend_from_slice(if above.is_empty() && below.is_empty() { b"/" } else { below });
                }
                None => out.extend_from_slice(line),
            }
            out.push(b'\n');
        }
    }
}

impl Root {
    fn find(hierarchy: Hierarchy, own_mounts: &[PathBuf], is_at_root: bool) -> Option<Self> {
        let inode = own_mounts.iter().find_map(|mount| own_inode(mount));
        match inode.filter(|&inode| inode != Hierarchy::ROOT_ID) {
            Some(inode) => Self::at_inode(hierarchy, inode),
            // The container has no mount of its own cgroups. The exporter's cgroup is the root if its path is `/`.
            None if is_at_root => {
                let path = hierarchy.path_of_process(std::process::id())?;
                let inode = hierarchy.id_of(&path)?;
                Some(Self { hierarchy, inode, path })
            }
            None => None,
        }
    }

    fn at_inode(hierarchy: Hierarchy, inode: u64) -> Option<Self> {
        let mut found = None;
        hierarchy.search(&mut FxHashSet::from_iter([inode]), |_, path| found = Some(path.to_owned()));
        found.map(|path| Self { hierarchy, inode, path })
    }
}

/// The inode number of a mount of cgroupfs. `None` if the directory is missing or in another file system.
fn own_inode(mount: &Path) -> Option<u64> {
    let kind = statfs(mount).ok()?.f_type;
    let is_cgroupfs = kind == CGROUP2_SUPER_MAGIC || kind == CGROUP_SUPER_MAGIC;
    is_cgroupfs.then(|| fs::metadata(mount).ok().map(|it| it.ino()))?
}

/// The parts of the complete path of `relative`, which begins with `/`: a part of `root`, and the rest. `None` if
/// `relative` has more levels upwards than `root` has components.
fn join<'a>(root: &'a str, relative: &'a [u8]) -> Option<(&'a str, &'a [u8])> {
    let (mut above, mut below) = (root.trim_end_matches('/'), relative);
    while let Some(rest) = below.strip_prefix(b"/..").filter(|rest| rest.is_empty() || rest.starts_with(b"/")) {
        above = above.rsplit_once('/')?.0;
        below = rest;
    }
    if below == b"/" {
        below = b"";
    }
    Some((above, below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(path: &str) -> Option<Root> {
        Some(Root { hierarchy: Hierarchy::at("/none"), inode: 42, path: path.to_owned() })
    }

    fn complete(roots: &NamespaceRoot, file: &str) -> String {
        let mut out = Vec::new();
        roots.complete(file.as_bytes(), &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn relative_paths_become_complete() {
        let roots = NamespaceRoot { default: root("/kubepods/burstable/pod1/own"), v1: None };
        for (relative, expected) in [
            ("/", "/kubepods/burstable/pod1/own"),
            ("/below", "/kubepods/burstable/pod1/own/below"),
            ("/../other", "/kubepods/burstable/pod1/other"),
            ("/../../pod2/x:y", "/kubepods/burstable/pod2/x:y"),
            ("/../../../besteffort/pod3/x", "/kubepods/besteffort/pod3/x"),
            ("/../../../../system.slice/a.service (deleted)", "/system.slice/a.service"),
            ("/../../../..", "/"),
            ("/../../../../", "/"),
            // `..` is also the beginning of a name.
            ("/..x", "/kubepods/burstable/pod1/own/..x"),
            // More levels than there are: never another container's path.
            ("/../../../../../x", "/../../../../../x"),
        ] {
            assert_eq!(complete(&roots, &format!("0::{relative}\n")), format!("0::{expected}\n"), "{relative}");
        }
    }

    #[test]
    fn each_hierarchy_has_its_own_root() {
        let roots = NamespaceRoot { default: root("/a/own"), v1: root("/b/c/own") };
        let file = "12:cpu,pids:/../x\n1:name=systemd:/\n0::/../y\n";
        assert_eq!(complete(&roots, file), "12:cpu,pids:/b/c/x\n1:name=systemd:/b/c/own\n0::/a/y\n");
        let only_v1 = NamespaceRoot { default: None, ..roots };
        assert_eq!(complete(&only_v1, "5:pids:/../x\n0::/../y\n"), "5:pids:/b/c/x\n0::/../y\n");
    }
}
