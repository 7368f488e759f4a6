//! Complete cgroup paths for an exporter in its own cgroup namespace.
//!
//! In a cgroup namespace, `/proc/PID/cgroup` shows every path relative to the namespace's root, with `/..` for each
//! level above it (`cgroup_namespaces(7)`). The root of the exporter's own mount of cgroupfs is that root, and its inode
//! number is the same in a mount of the complete hierarchy, which `--path.cgroupfs` has. So its path can be found there.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;
use rustix::fs::statfs;

use super::hierarchy::Hierarchy;
use crate::resolve::cgroup_file::parse_cgroup_lines;

/// Where a container runtime mounts the cgroups of a container.
const OWN_MOUNT: &str = "/sys/fs/cgroup";

/// The file systems of cgroup v1 and v2 (include/uapi/linux/magic.h).
const CGROUP_SUPER_MAGIC: i64 = 0x0027_e0eb;
const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;

/// The root of the exporter's cgroup namespace, in each hierarchy in which it was found.
#[derive(Clone, Debug, Default)]
pub struct NamespaceRoot {
    default: Option<Root>,
    /// By the controllers in cgroup files. The exporter can have a different cgroup in each hierarchy of v1.
    v1: Vec<(Box<[u8]>, Option<Root>)>,
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
        let mut roots = Self::default();
        for line in parse_cgroup_lines(own_cgroup) {
            let is_at_root = line.path == b"/";
            if line.is_v2 {
                let mounts = [own.to_owned(), own.join("unified")];
                roots.default =
                    Hierarchy::find_default(cgroupfs).and_then(|it| Root::find(it, &mounts, is_at_root));
            } else {
                let name = line.controllers.strip_prefix(b"name=").unwrap_or(line.controllers);
                let name = OsStr::from_bytes(name);
                let root = Hierarchy::find_v1(&cgroupfs.join(name))
                    .and_then(|it| Root::find(it, &[own.join(name)], is_at_root));
                roots.v1.push((line.controllers.into(), root));
            }
        }
        roots
    }

    /// Whether paths of the default hierarchy can be completed.
    #[must_use]
    pub fn has_default(&self) -> bool {
        self.default.is_some()
    }

    /// Whether paths of any hierarchy can be completed.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.default.is_some() || self.v1.iter().any(|(_, root)| root.is_some())
    }

    /// Checks that the roots are still at their paths: a cgroup of v1 can be renamed.
    pub fn confirm(&mut self) {
        for (_, root) in &mut self.v1 {
            if root.as_ref().is_some_and(|it| it.hierarchy.id_of(&it.path) != Some(it.inode)) {
                *root = root.take().and_then(|it| Root::at_inode(it.hierarchy, it.inode));
            }
        }
    }

    /// Appends the lines of a cgroup file to `out`, with complete paths. On v1, processes of the exporter's own container
    /// cannot be told from exiting ones, so only the default hierarchy shows their container. Omits hierarchies whose root is unknown, and
    /// paths that have more levels than the root: they could have the path of another container.
    pub fn complete(&self, file: &[u8], out: &mut Vec<u8>) {
        for line in file.split(|&byte| byte == b'\n') {
            let Some(parsed) = parse_cgroup_lines(line).next() else { continue };
            let of_v1 = || self.v1.iter().find(|(controllers, _)| **controllers == *parsed.controllers);
            let root = match parsed.is_v2 {
                true => self.default.as_ref(),
                false => of_v1().and_then(|(_, root)| root.as_ref()),
            };
            let Some((mut above, below)) = root.and_then(|root| join(&root.path, parsed.path)) else {
                continue;
            };
            if !parsed.is_v2 && parsed.path == b"/" {
                // On v1, an exiting process has this path in every namespace (`proc_cgroup_show`, kernel/cgroup/cgroup.c).
                above = "";
            }
            let path = line.splitn(3, |&byte| byte == b':').last().unwrap_or_default();
            out.extend_from_slice(&line[..line.len() - path.len()]);
            out.extend_from_slice(above.as_bytes());
            out.extend_from_slice(if above.is_empty() && below.is_empty() { b"/" } else { below });
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
    while let Some(rest) = below.strip_prefix(b"/..").filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
    {
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
        let roots = NamespaceRoot { default: root("/kubepods/burstable/pod1/own"), v1: Vec::new() };
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
        ] {
            assert_eq!(
                complete(&roots, &format!("0::{relative}\n")),
                format!("0::{expected}\n"),
                "{relative}"
            );
        }
        assert_eq!(complete(&roots, "0::/../../../../../x\n"), "", "more levels than there are");
        let at_root = NamespaceRoot { default: root("/"), v1: Vec::new() };
        assert_eq!(complete(&at_root, "0::/\n0::/x\n"), "0::/\n0::/x\n");
    }

    #[test]
    fn each_hierarchy_has_its_own_root() {
        let v1 = |controllers: &[u8], path| (controllers.into(), root(path));
        let roots = NamespaceRoot {
            default: root("/a/own"),
            v1: vec![v1(b"cpu,pids", "/b/c/own"), v1(b"name=systemd", "/"), (b"memory"[..].into(), None)],
        };
        let file = "12:cpu,pids:/../x\n9:memory:/../z\n7:freezer:/\n1:name=systemd:/\n0::/../y\n";
        assert_eq!(complete(&roots, file), "12:cpu,pids:/b/c/x\n1:name=systemd:/\n0::/a/y\n");
        let exiting = "12:cpu,pids:/\n1:name=systemd:/\n0::/\n";
        assert_eq!(complete(&roots, exiting), "12:cpu,pids:/\n1:name=systemd:/\n0::/a/own\n");
    }
}
