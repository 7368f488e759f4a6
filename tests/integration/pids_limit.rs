//! Values of the pids controller of containers, of pods and of the cgroups above them, and the files that stay open for
//! them.

use crate::support::fixture::Fixture;
use pstree_exporter::model::pids::PodPids;
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
    // Since Linux 6.11, the kernel counts in the cgroup that has the limit. Of two equal limits, the kernel checks the
    // container's own first.
    for own in ["max\n", "1000\n"] {
        assert_eq!(hits(own, true), None, "{own}");
    }
    for own in ["500\n", "100\n"] {
        assert_eq!(hits(own, true), Some(0), "{own}");
    }
}

/// A cgroup v2 hierarchy with these cgroups: path, `pids.current` and `pids.max`.
fn hierarchy(cgroups: &[(&str, &str, &str)]) -> Fixture {
    let fixture = Fixture::new();
    fixture.write("cgroup/cgroup.controllers", "pids\n");
    for (path, current, max) in cgroups {
        fixture.write(&format!("cgroup{path}/pids.current"), format!("{current}\n"));
        fixture.write(&format!("cgroup{path}/pids.max"), format!("{max}\n"));
    }
    fixture
}

/// The headroom and the used share, rounded to a percentage.
fn headroom(reader: &mut PidsReader, path: &str) -> Option<(u64, u64)> {
    let nearest = reader.read(path).nearest_limit?;
    Some((nearest.headroom(), (nearest.used_ratio() * 100.0).round() as u64))
}

#[test]
fn headroom_is_the_smallest_difference_over_all_levels() {
    const SLICE: &str = "/user.slice/user-1.slice";
    let user_container = format!("{SLICE}/a/web");
    for (what, cgroups, expected) in [
        ("no limit", vec![("/a", "60", "max"), ("/a/web", "50", "max")], None),
        ("own limit", vec![("/a", "60", "max"), ("/a/web", "50", "200")], Some((150, 25))),
        ("others fill the pod", vec![("/a", "99", "100"), ("/a/web", "50", "max")], Some((1, 99))),
        ("the larger is nearer", vec![("/a", "990", "1000"), ("/a/web", "50", "100")], Some((10, 99))),
        ("the smaller is nearer", vec![("/a", "500", "1000"), ("/a/web", "90", "100")], Some((10, 90))),
        ("above its limit", vec![("/a", "120", "100"), ("/a/web", "5", "10")], Some((0, 120))),
        ("the root", vec![("", "7", "10"), ("/a", "7", "max"), ("/a/web", "7", "max")], Some((3, 70))),
        (
            "the slice of a user",
            vec![
                ("/user.slice", "40", "max"),
                (SLICE, "30", "32"),
                (&format!("{SLICE}/a"), "20", "100"),
                (&user_container, "20", "max"),
            ],
            Some((2, 94)),
        ),
    ] {
        let fixture = hierarchy(&cgroups);
        let (container, ..) = cgroups.last().expect("a container");
        let mut reader = PidsReader::find(&fixture.path("cgroup"));
        assert_eq!(headroom(&mut reader, container), expected, "{what}");
    }
}

#[test]
fn limits_above_apply_to_a_cgroup_without_a_pids_controller_and_not_to_a_missing_one() {
    let fixture = hierarchy(&[("", "7", "10"), ("/user.slice", "95", "100")]);
    fixture.write("cgroup/user.slice/web/cgroup.events", "frozen 0\n");
    let mut reader = PidsReader::find(&fixture.path("cgroup"));
    assert_eq!(headroom(&mut reader, "/user.slice/web"), Some((3, 70)));
    assert_eq!(reader.read("/user.slice/web").limit, Some(10));
    // A path of another cgroup namespace.
    assert_eq!(headroom(&mut reader, "/gone"), None);
    assert_eq!(reader.read("/gone").limit, None);
    // The exporter's own container, which is the root of its cgroup namespace.
    assert_eq!(headroom(&mut reader, "/"), Some((3, 70)));
}

#[test]
fn a_cgroup_above_containers_is_read_once_per_collection() {
    let fixture = hierarchy(&[("/pod", "10", "100"), ("/pod/a", "5", "max"), ("/pod/b", "5", "max")]);
    let mut reader = PidsReader::find(&fixture.path("cgroup"));
    for keep_open in [0, 100] {
        reader.keep_open(keep_open);
        fixture.write("cgroup/pod/pids.current", "10\n");
        fixture.write("cgroup/pod/pids.max", "100\n");
        reader.end();
        reader.begin();
        assert_eq!(headroom(&mut reader, "/pod/a"), Some((90, 10)));
        // In place, as in cgroupfs: an open file must show it.
        std::fs::write(fixture.path("cgroup/pod/pids.current"), "99\n").expect("a scratch file");
        std::fs::write(fixture.path("cgroup/pod/pids.max"), "110\n").expect("a scratch file");
        assert_eq!(headroom(&mut reader, "/pod/b"), Some((90, 10)), "within the collection");
        reader.end();
        reader.begin();
        assert_eq!(headroom(&mut reader, "/pod/b"), Some((11, 90)), "in the next one");
        std::fs::write(fixture.path("cgroup/pod/pids.max"), "max\n").expect("a scratch file");
        reader.end();
        reader.begin();
        assert_eq!(headroom(&mut reader, "/pod/b"), None, "the limit was removed");
    }
}

#[test]
fn a_pod_has_the_values_of_its_own_cgroup() {
    let fixture = hierarchy(&[("", "400", "400"), ("/pod", "99", "100"), ("/pod/web", "50", "max")]);
    let mut reader = PidsReader::find(&fixture.path("cgroup"));
    let without_optional_files =
        PodPids { current: Some(99), limit: Some(100), peak: None, limit_hits: None };
    assert_eq!(reader.read_pod("/pod"), without_optional_files);
    assert_eq!(reader.read_pod("/none"), PodPids::default());
    fixture.write("cgroup/pod/pids.peak", "100\n");
    fixture.write("cgroup/pod/pids.max", "max\n");
    reader.begin();
    let unlimited = PodPids { limit: None, peak: Some(100), ..without_optional_files };
    assert_eq!(reader.read_pod("/pod"), unlimited);
}

#[test]
fn the_limit_hits_of_a_pod_are_those_of_its_own_limit() {
    let fixture = hierarchy(&[("/pod", "99", "100"), ("/pod/web", "50", "50")]);
    let hits = || PidsReader::find(&fixture.path("cgroup")).read_pod("/pod").limit_hits;
    // Before Linux 6.11, forks of containers are counted in their cgroups.
    fixture.write("cgroup/pod/pids.events", "max 2\n");
    assert_eq!(hits(), None);
    // Since Linux 6.11, `pids.events` includes the limits of containers: four of these seven.
    fixture.write("cgroup/pod/pids.events", "max 7\n");
    fixture.write("cgroup/pod/pids.events.local", "max 3\n");
    assert_eq!(hits(), Some(3));
    fixture.write("cgroup/pod/pids.events.local", "max 0\n");
    assert_eq!(hits(), Some(0));
}

#[test]
fn a_refused_fork_is_counted_either_at_the_container_or_at_the_pod() {
    let fixture = hierarchy(&[("/pod", "99", "100"), ("/pod/a", "50", "50"), ("/pod/b", "49", "max")]);
    let counts = || {
        let mut reader = PidsReader::find(&fixture.path("cgroup"));
        ["/pod/a", "/pod/b"]
            .map(|path| reader.read(path).limit_hits)
            .into_iter()
            .chain([reader.read_pod("/pod").limit_hits])
            .collect::<Vec<_>>()
    };
    // Linux 6.1: the limit of `a` refused four forks, and the limit of the pod three forks in `b`.
    for (path, events) in [("a", "4"), ("b", "3"), ("", "0")] {
        fixture.write(&format!("cgroup/pod/{path}/pids.events"), format!("max {events}\n"));
    }
    assert_eq!(counts(), [Some(4), Some(3), None]);
    // The same on Linux 6.11.
    for (path, events, local) in [("a", "4", "4"), ("b", "0", "0"), ("", "7", "3")] {
        fixture.write(&format!("cgroup/pod/{path}/pids.events"), format!("max {events}\n"));
        fixture.write(&format!("cgroup/pod/{path}/pids.events.local"), format!("max {local}\n"));
    }
    assert_eq!(counts(), [Some(4), None, Some(3)]);
}

#[test]
fn the_root_of_a_cgroup_namespace_has_no_limit_above_it() {
    let fixture = Fixture::with_container();
    fixture.write("cgroup/cgroup.controllers", "pids\n");
    for (file, content) in
        [("current", "7\n"), ("max", "100\n"), ("events", "max 3\n"), ("events.local", "max 3\n")]
    {
        fixture.write(&format!("cgroup/pids.{file}"), content);
    }
    let reading = PidsReader::find(&fixture.path("cgroup")).read("/");
    assert_eq!((reading.limit, reading.limit_hits), (Some(100), Some(3)));
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
    // Enough for the files of two containers.
    reader.keep_open(4);
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

#[test]
fn files_of_a_shared_cgroup_stay_open_once_until_no_container_is_below_it() {
    let fixture = hierarchy(&[
        ("/pod", "10", "100"),
        ("/pod/a", "5", "max"),
        ("/pod/b", "5", "max"),
        ("/c", "1", "max"),
    ]);
    let root = fixture.path("cgroup");
    let mut reader = PidsReader::find(&root);
    reader.keep_open(100);
    let mut collect = |paths: &[&str]| {
        reader.begin();
        let found: Vec<_> = paths.iter().map(|path| headroom(&mut reader, path)).collect();
        reader.end();
        (found, open_files(&root))
    };
    let in_pod = Some((90, 10));
    assert_eq!(collect(&["/pod/a", "/pod/b"]), (vec![in_pod, in_pod], 6), "two of each cgroup");
    assert_eq!(collect(&["/pod/a"]), (vec![in_pod], 4));
    assert_eq!(collect(&["/c"]), (vec![None], 2));
}
