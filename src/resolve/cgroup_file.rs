//! Parses the bytes of `/proc/PID/cgroup` and finds the container of the process. Pure.

use super::cgroup_path::{Attribution, attribute};

/// One line of `/proc/PID/cgroup` (`cgroups(7)`): `hierarchy-ID:controller-list:cgroup-path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupLine<'a> {
    /// The line of the default hierarchy (cgroup v2), `0::`.
    pub is_v2: bool,
    /// The controllers of a cgroup v1 hierarchy, separated by commas.
    pub controllers: &'a [u8],
    /// Without the suffix ` (deleted)` of a removed cgroup.
    pub path: &'a [u8],
}

impl CgroupLine<'_> {
    /// Whether this is the hierarchy of a controller of cgroup v1.
    #[must_use]
    pub fn has_controller(&self, name: &[u8]) -> bool {
        self.controllers.split(|&b| b == b',').any(|controller| controller == name)
    }
}

/// The lines of `/proc/PID/cgroup`. Lines are split at the first two colons only, because paths may contain colons.
/// Malformed lines are ignored.
pub fn parse_cgroup_lines(bytes: &[u8]) -> impl Iterator<Item = CgroupLine<'_>> {
    bytes.split(|&b| b == b'\n').filter_map(|line| {
        let mut parts = line.splitn(3, |&b| b == b':');
        let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        path.starts_with(b"/").then(|| CgroupLine {
            is_v2: id == b"0" && controllers.is_empty(),
            controllers,
            path: path.strip_suffix(b" (deleted)").unwrap_or(path),
        })
    })
}

/// The content of one `/proc/PID/cgroup`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CgroupFile<'a> {
    pub container: Option<Attribution<'a>>,
    /// The path to show if no container is found: that of the pids hierarchy, otherwise the first path.
    pub path: &'a str,
    /// The path in the default hierarchy (cgroup v2), if the file has it.
    pub default_path: Option<&'a str>,
    /// The path in systemd's own hierarchy of cgroup v1, if the file has it.
    pub systemd_path: Option<&'a str>,
    pub has_v1: bool,
    pub has_v2: bool,
    /// The path is `/` on every cgroup v1 line, or on the v2 line if there is no other. The process is in the root
    /// cgroup, or is a zombie.
    pub is_root: bool,
}

/// Reads all lines of a cgroup file. On v1 and hybrid hosts, the pids hierarchy takes precedence because its files are
/// read later, followed by the other v1 hierarchies and the default one (v2).
#[must_use]
pub fn parse_cgroup_file(bytes: &[u8]) -> CgroupFile<'_> {
    let mut file = CgroupFile { path: "/", ..CgroupFile::default() };
    let (mut v1_is_root, mut v2_is_root) = (true, true);
    let mut best_rank = u8::MAX;
    let mut path_rank = u8::MAX;
    // Most lines have the same path.
    let mut without_container = None;
    for line in parse_cgroup_lines(bytes) {
        let rank = if line.has_controller(b"pids") { 0 } else { 1 + u8::from(line.is_v2) };
        *(if line.is_v2 { &mut file.has_v2 } else { &mut file.has_v1 }) = true;
        let path = utf8_components(line.path);
        if line.is_v2 {
            file.default_path = Some(path);
        } else if line.controllers == b"name=systemd" {
            file.systemd_path = Some(path);
        }
        *(if line.is_v2 { &mut v2_is_root } else { &mut v1_is_root }) &= path == "/";
        if rank < path_rank {
            (path_rank, file.path) = (rank, path);
        }
        if rank < best_rank && without_container != Some(path) {
            match attribute(path) {
                Some(container) => (best_rank, file.container) = (rank, Some(container)),
                None => without_container = Some(path),
            }
        }
    }
    file.is_root = if file.has_v1 { v1_is_root } else { v2_is_root };
    file
}

/// The path up to the first component that is not valid UTF-8. Runtimes never create such names, so a container cannot
/// hide itself by giving one of its own cgroups such a name.
fn utf8_components(path: &[u8]) -> &str {
    let valid = path.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    if valid.len() == path.len() { valid } else { &valid[..valid.rfind('/').unwrap_or(0)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "b43d92bf1e5c6f78bb9b7bc6f40721280299855ba692092716e3a1b6c0b86f3f";
    const OTHER: &str = "a51a9f7d073f848e7fc59e56e8f11524f330a2175a4ed26327da2dfe0d28015e";

    #[test]
    fn cgroup_lines_split_at_the_first_two_colons() {
        let file =
            b"12:cpu,pids:/docker/a:b\n1:name=systemd:/x\n0::/system.slice/c.service:cri:d (deleted)\njunk\n";
        let lines: Vec<_> = parse_cgroup_lines(file).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(
            (lines[0].path, lines[0].has_controller(b"pids"), lines[0].is_v2),
            (&b"/docker/a:b"[..], true, false)
        );
        assert_eq!((lines[2].path, lines[2].is_v2), (&b"/system.slice/c.service:cri:d"[..], true));
    }

    #[test]
    fn a_cgroup_that_is_no_utf_8_hides_no_container() {
        let below = [b"2:pids:/docker/", ID.as_bytes(), b"/\xff/x\n"].concat();
        assert_eq!(parse_cgroup_file(&below).container.unwrap().container_id, ID);
        let beside = [b"2:pids:/docker/", ID.as_bytes(), b"\xff\n"].concat();
        assert_eq!(parse_cgroup_file(&beside).container, None);
    }

    #[test]
    fn the_pids_hierarchy_is_asked_first() {
        let file = format!("3:memory:/docker/{OTHER}\n2:pids:/docker/{ID}\n0::/x\n");
        let found = parse_cgroup_file(file.as_bytes());
        assert_eq!(found.container.unwrap().container_id, ID);
        assert!(found.has_v1 && found.has_v2 && !found.is_root);
    }

    #[test]
    fn a_zombie_of_a_hybrid_host_is_named_by_the_default_hierarchy() {
        let file = format!("8:pids:/\n1:name=systemd:/\n0::/docker/{ID} (deleted)\n");
        assert_eq!(parse_cgroup_file(file.as_bytes()).container.unwrap().container_id, ID);
        assert!(parse_cgroup_file(b"8:pids:/\n0::/\n").is_root);
    }
}
