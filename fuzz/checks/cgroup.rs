//! `/proc/PID/cgroup`: a container chooses all names below its own cgroup.

use std::collections::HashMap;

use pstree_exporter::model::container::Runtime;
use pstree_exporter::resolve::cgroup_file::parse_cgroup_file;
use pstree_exporter::resolve::cgroup_path::attribute;

use pstree_exporter::resolve::systemd_unit::unit_of;

use super::shown::{assert_harmless, assert_label};

/// Cgroups that a container can create below its own, to impersonate another container.
const BELOW: [&str; 4] = [
    "/docker-ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff.scope",
    "/ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "/lxc.payload.other",
    "/machine.slice/systemd-nspawn@other.service",
];

pub fn check(data: &[u8]) {
    let file = parse_cgroup_file(data);
    let paths = paths(data);
    assert!(file.path == "/" || file.path.is_empty() || paths.iter().any(|path| path.starts_with(file.path)));
    if let Some(found) = &file.container {
        assert!(paths.iter().any(|path| without_parents(path).starts_with(found.path)), "{found:?}");
    }
    let any = paths.iter().any(|path| attribute(path).is_some());
    assert_eq!(file.container.is_some(), any, "a container in a line is that of the file");

    let mut by_id = HashMap::new();
    for path in &paths {
        check_path(path);
        if let Some(container) = attribute(path).map(|found| found.to_container()) {
            let other = by_id.insert(container.id, container.path.clone());
            assert!(other.is_none_or(|other| other == container.path), "one id for two paths");
        }
    }
}

fn check_path(path: &str) {
    if let Some(unit) = unit_of(path) {
        assert!(without_parents(path).starts_with(unit.path), "{unit:?}");
        assert_eq!(unit_of(unit.path), Some(unit));
        if let Some(unit) = unit.to_container() {
            assert_harmless(&unit.id);
            unit.own_name.iter().for_each(|name| assert_label(name));
            assert_eq!(attribute(&unit.path), None, "a container is no unit");
        }
    }
    let Some(found) = attribute(path) else {
        let has_bare_id =
            path.split('/').any(|part| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
        // The only exception is the supervisor cgroup of systemd-nspawn.
        assert!(!has_bare_id || path.contains("/supervisor"), "64 digits are a container: {path:?}");
        return;
    };
    let container = found.to_container();
    assert_harmless(&container.id);
    assert_label(&container.container_id);
    assert_label(&container.pod_uid);
    container.own_name.iter().for_each(|name| assert_label(name));
    assert!(!container.container_id.is_empty());
    assert!(found.path.rsplit('/').next().is_some_and(|last| last.contains(found.container_id)));

    // The outermost container wins: no ancestor is a container, and no cgroup below changes the result.
    for (end, _) in found.path.match_indices('/').skip(1) {
        assert_eq!(attribute(&found.path[..end]), None, "above {path:?}");
    }
    for below in BELOW {
        let forged = format!("{}{below}", found.path);
        let still = attribute(&forged).expect("a container stays one");
        assert_eq!((still.path, still.runtime), (found.path, found.runtime), "{forged:?}");
        assert_eq!(still.container_id, found.container_id);
    }
    if found.runtime == Runtime::Nspawn {
        assert_eq!(attribute(&format!("{}/supervisor", found.path)), None);
    }
}

/// The third fields of the lines, up to the last slash before invalid UTF-8.
fn paths(data: &[u8]) -> Vec<String> {
    let lines = data.split(|&byte| byte == b'\n');
    let parts = lines.filter_map(|line| line.splitn(3, |&byte| byte == b':').nth(2));
    let whole = parts.filter(|path| path.first() == Some(&b'/'));
    whole
        .map(|path| {
            let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
            match std::str::from_utf8(path) {
                Ok(path) => path.to_owned(),
                Err(error) => {
                    let valid = String::from_utf8_lossy(&path[..error.valid_up_to()]).into_owned();
                    valid[..valid.rfind('/').unwrap_or(0)].to_owned()
                }
            }
        })
        .collect()
}

/// Removes leading `/..`, which refer to cgroups outside the cgroup namespace.
fn without_parents(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').skip(1).collect();
    while parts.first() == Some(&"..") {
        parts.remove(0);
    }
    parts.iter().map(|part| format!("/{part}")).collect()
}
