//! Maps a cgroup path to its systemd unit: a service or a scope. Pure.
//!
//! systemd puts each unit in a cgroup below those of its slices (`systemd.slice(5)`). What a unit creates below its own
//! cgroup belongs to it (`Delegate=` in `systemd.resource-control(5)`), except in the units of user managers,
//! `user@UID.service`, which have units of their own.

use super::cgroup_path::{attribute, label_id, strip_parent_references};
use crate::model::container::{Container, Runtime};
use crate::model::text::label_value;

/// A unit. Borrows from the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit<'a> {
    /// The path up to and including the unit's cgroup, without leading `/..`.
    pub path: &'a str,
    name: &'a str,
}

impl Unit<'_> {
    /// The unit as a container, for the container table. `None` if its cgroup is a container, beside which the runtime
    /// has processes of its own.
    #[must_use]
    pub fn to_container(self) -> Option<Container> {
        let container = Container {
            path: self.path.into(),
            id: label_id(self.path).into(),
            container_id: "".into(),
            pod_uid: "".into(),
            own_name: Some(label_value(self.name).into()),
            runtime: Runtime::Systemd,
        };
        attribute(self.path).is_none().then_some(container)
    }
}

/// The unit of a path that is in no container. `init.scope` is no unit: it is the service manager itself.
#[must_use]
pub fn unit_of(path: &str) -> Option<Unit<'_>> {
    let path = strip_parent_references(path);
    let mut unit = None;
    let mut end = 0;
    for component in path.strip_prefix('/')?.split('/') {
        end += 1 + component.len();
        // systemd escapes names that cgroupfs uses for files (`cg_escape`, src/basic/cgroup-util.c).
        let name = component.strip_prefix('_').unwrap_or(component);
        if has_suffix(name, ".slice") {
            continue;
        }
        if name == "init.scope" || !(has_suffix(name, ".service") || has_suffix(name, ".scope")) {
            break;
        }
        let is_in_manager = unit.replace(Unit { path: &path[..end], name }).is_some();
        if is_in_manager || !name.starts_with("user@") {
            break;
        }
    }
    unit
}

fn has_suffix(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|prefix| !prefix.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_first_service_or_scope_below_slices_and_user_managers() {
        const USER: &str = "/user.slice/user-1000.slice/user@1000.service";
        for (path, unit, name) in [
            ("/system.slice/nginx.service", "/system.slice/nginx.service", "nginx.service"),
            ("/nginx.service", "/nginx.service", "nginx.service"),
            ("/a.slice/a-b.slice/web@1.service", "/a.slice/a-b.slice/web@1.service", "web@1.service"),
            ("/system.slice/mnt-a\\x2db.service", "/system.slice/mnt-a\\x2db.service", "mnt-a\\x2db.service"),
            ("/system.slice/_memory.service", "/system.slice/_memory.service", "memory.service"),
            ("/../../system.slice/nginx.service", "/system.slice/nginx.service", "nginx.service"),
            // Cgroups that a service with Delegate=yes creates, whatever their names.
            ("/system.slice/d.service/worker", "/system.slice/d.service", "d.service"),
            ("/system.slice/d.service/x.slice/e.service", "/system.slice/d.service", "d.service"),
            (
                "/user.slice/user-1000.slice/session-3.scope",
                "/user.slice/user-1000.slice/session-3.scope",
                "session-3.scope",
            ),
        ] {
            assert_eq!(unit_of(path), Some(Unit { path: unit, name }), "{path}");
        }
        for (below, unit, name) in [
            ("/app.slice/foo.service", "/app.slice/foo.service", "foo.service"),
            ("/app.slice/foo.service/x.service", "/app.slice/foo.service", "foo.service"),
            ("/session.slice/a-b.slice/run-7.scope", "/session.slice/a-b.slice/run-7.scope", "run-7.scope"),
            ("/init.scope", "", "user@1000.service"),
            ("/app.slice", "", "user@1000.service"),
            ("/other", "", "user@1000.service"),
            ("", "", "user@1000.service"),
        ] {
            let (path, unit) = (format!("{USER}{below}"), format!("{USER}{unit}"));
            assert_eq!(unit_of(&path), Some(Unit { path: &unit, name }), "{path}");
        }
    }

    #[test]
    fn the_manager_slices_and_other_cgroups_are_no_units() {
        for path in [
            "/",
            "",
            "/init.scope",
            "/system.slice",
            "/x.slice/y.slice",
            "/a/b.service",
            "/.service",
            "/x.mount",
        ] {
            assert_eq!(unit_of(path), None, "{path}");
        }
    }

    #[test]
    fn a_unit_that_is_a_container_is_no_unit() {
        let payload = "/machine.slice/systemd-nspawn@web.service";
        let supervisor = format!("{payload}/supervisor");
        assert_eq!(unit_of(&supervisor).and_then(Unit::to_container), None);
        let nginx = unit_of("/system.slice/nginx.service").and_then(Unit::to_container).expect("a unit");
        assert_eq!((&*nginx.id, nginx.runtime.label()), ("/system.slice/nginx.service", "systemd"));
        assert_eq!(nginx.fallback_name(), "nginx.service");
    }
}
