//! The memory limit of a process.

use std::fs;
use std::path::Path;

use crate::observe::procfs::parse::parse_number;
use crate::resolve::cgroup_file::parse_cgroup_lines;

/// The memory limit of a process in bytes, by its cgroup file: the smallest of its cgroup and all cgroups above it
/// (`memory.max` of cgroup v2, `memory.limit_in_bytes` of v1). `None` if no limit is visible.
#[must_use]
pub fn memory_limit(cgroupfs: &Path, cgroup_file: &[u8]) -> Option<u64> {
    let limits = parse_cgroup_lines(cgroup_file).filter_map(|line| {
        let (hierarchy, name) = match (line.is_v2, line.has_controller(b"memory")) {
            (true, _) => (cgroupfs.to_owned(), "memory.max"),
            (false, true) => (cgroupfs.join("memory"), "memory.limit_in_bytes"),
            (false, false) => return None,
        };
        let path = std::str::from_utf8(line.path).ok()?.trim_start_matches(['/', '.']);
        let own = hierarchy.join(path);
        let ancestors = own.ancestors().take_while(|directory| directory.starts_with(&hierarchy));
        ancestors
            .filter_map(|directory| parse_number(fs::read(directory.join(name)).ok()?.trim_ascii()))
            .min()
    });
    limits.min()
}
