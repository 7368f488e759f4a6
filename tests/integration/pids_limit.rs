//! Values of the pids controller, and the files that stay open for them.

use crate::support::fixture::Fixture;
use pstree_exporter::observe::cgroupfs::pids::PidsReader;

/// The exported limit hits of a container with this limit, in a pod with a limit of 500.
fn hits(own_limit: &str, is_counted_at_the_limit: bool) -> Option<u64> {
    let fixture = Fixture::with_container();
    fixture.write("cgroup/cgroup.controllers", "pids\n");
    fixture.write("cgroup/pod/pids.max", "500\n");
    fixture.write("cgroup/pod/web/pids.max", own_limit);
    fixture.write("cgroup/pod/web/pids.current", "7\n");
    fixture.write("cgroup/pod/web/pids.events", "max 0\n");
    if is_counted_at_the_limit {
        fixture.write("cgroup/pod/web/pids.events.local", "max 0\n");
    }
    let reading = PidsReader::find(&fixture.path("cgroup")).read("/pod/web");
    assert_eq!(reading.limit, Some(own_limit.trim().parse().unwrap_or(500).min(500)));
    reading.limit_hits
}

#[test]
fn limit_hits_are_unknown_if_the_kernel_counts_at_an_ancestor() {
    // Before Linux 6.11, the kernel counts in the cgroup of the fork, independent of which cgroup has the limit.
    for own in ["max\n", "1000\n", "500\n", "100\n"] {
        assert_eq!(hits(own, false), Some(0), "{own}");
    }
    // Since Linux 6.11, the kernel counts in the cgroup that has the limit.
    for own in ["max\n", "1000\n", "500\n"] {
        assert_eq!(hits(own, true), None, "{own}");
    }
    assert_eq!(hits("100\n", true), Some(0));
}

/// The files below this directory that this process has open.
fn open_files(directory: &std::path::Path) -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("procfs").flatten();
    descriptors.filter(|it| std::fs::read_link(it.path()).is_ok_and(|to| to.starts_with(directory))).count()
}

#[test]
fn open_control_files_show_new_values_and_are_closed_with_their_container() {
    let fixture = Fixture::with_container();
    let root = fixture.path("cgroup");
    fixture.write("cgroup/cgroup.controllers", "pids\n");
    let write = |container: &str, current: &str| {
        fixture.write(&format!("cgroup/{container}/pids.current"), current);
        fixture.write(&format!("cgroup/{container}/pids.max"), "100\n");
    };
    for container in ["a", "b", "c"] {
        write(container, "1\n");
    }
    let mut reader = PidsReader::find(&root);
    // Enough for the six possible files of two containers.
    reader.keep_open(12);
    for (path, current) in [("/a", Some(1)), ("/b", Some(1)), ("/c", Some(1)), ("/none", None)] {
        assert_eq!(reader.read(path).current, current, "{path}");
    }
    assert_eq!(open_files(&root), 4, "the third container exceeds the limit");

    // In place, as in cgroupfs: an open file must show it.
    std::fs::write(root.join("a/pids.current"), "23\n").expect("a scratch file");
    reader.end();
    assert_eq!(reader.read("/a").current, Some(23));
    reader.end();
    assert_eq!(open_files(&root), 2, "/b was not read in the last collection");
    assert_eq!(reader.read("/c").current, Some(1));
    assert_eq!(open_files(&root), 4);
}
