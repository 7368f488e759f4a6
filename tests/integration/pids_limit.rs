//! Which forks are counted as refused if a cgroup above the container has the limit.

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
