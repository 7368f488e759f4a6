//! Maps a cgroup path to its container. Pure.
//!
//! Every runtime has its own path format, one for its cgroupfs driver and one for systemd. The outermost match wins, so
//! a container cannot impersonate another one by creating cgroups below its own.

use crate::model::container::{Container, Runtime};
use crate::model::text::{label_value, sanitize};

/// Prefixes of `<prefix>-<64 hex>`, with or without `.scope`. The match is exact, because `crio-conmon-…` and
/// `libpod-conmon-…` are monitors, not containers.
const PREFIXES: [(&str, Runtime); 5] = [
    ("docker", Runtime::Docker),
    ("cri-containerd", Runtime::Containerd),
    ("crio", Runtime::Crio),
    ("libpod", Runtime::Podman),
    ("nerdctl", Runtime::Nerdctl),
];

/// The container of a path. Borrows from the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution<'a> {
    /// The path up to and including the container's cgroup, without leading `/..`.
    pub path: &'a str,
    pub runtime: Runtime,
    pub container_id: &'a str,
    /// In the notation of the path.
    pod_uid: &'a str,
    own_name: Option<&'a str>,
}

impl Attribution<'_> {
    /// An owned copy for the container table.
    #[must_use]
    pub fn to_container(&self) -> Container {
        Container {
            path: self.path.into(),
            id: label_id(self.path).into(),
            container_id: label_value(self.container_id).into(),
            // systemd slices cannot have dashes in the last part of a name.
            pod_uid: label_value(&self.pod_uid.replace('_', "-")).into(),
            own_name: self.own_name.map(|name| label_value(&unescape_unit_name(name)).into()),
            runtime: self.runtime,
        }
    }
}

/// The label `id` of a path. Characters that are unsafe to display are escaped, and such an id ends with a marker.
/// Therefore two paths never have the same id, even if one path contains the escape sequences of another as text.
#[must_use]
pub fn label_id(path: &str) -> String {
    let is_plain = sanitize(path.as_bytes()) == path && !path.contains(char::REPLACEMENT_CHARACTER);
    if is_plain { path.to_owned() } else { format!("{}\u{fffd}", path.escape_debug()) }
}

/// Finds the outermost container on a cgroup path.
#[must_use]
pub fn attribute(path: &str) -> Option<Attribution<'_>> {
    let path = strip_parent_references(path);
    let mut context = Context::default();
    let mut end = 0;
    for component in path.strip_prefix('/')?.split('/') {
        end += 1 + component.len();
        if let Some(found) = context.container(component) {
            // systemd-nspawn puts its own supervisor process in a cgroup next to the payload.
            if found.runtime == Runtime::Nspawn && path[end..].starts_with("/supervisor") {
                return None;
            }
            return Some(Attribution { path: &path[..end], ..found });
        }
        context.descend(component);
    }
    None
}

/// If the exporter is in its own cgroup namespace, paths outside it begin with `/..`.
fn strip_parent_references(mut path: &str) -> &str {
    while let Some(rest) = path.strip_prefix("/..").filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        path = rest;
    }
    path
}

/// What the parent components of a path say about the next one.
#[derive(Default)]
struct Context<'a> {
    parent: &'a str,
    grandparent: &'a str,
    pod_uid: &'a str,
    in_kubepods: bool,
}

impl<'a> Context<'a> {
    fn descend(&mut self, component: &'a str) {
        self.in_kubepods |= component.contains("kubepods");
        if self.in_kubepods && self.pod_uid.is_empty() {
            self.pod_uid = pod_uid(component);
        }
        (self.grandparent, self.parent) = (self.parent, component);
    }

    /// The caller fills in the path.
    fn found(&self, runtime: Runtime, container_id: &'a str) -> Option<Attribution<'a>> {
        Some(Attribution { path: "", runtime, container_id, pod_uid: self.pod_uid, own_name: None })
    }

    fn found_named(&self, runtime: Runtime, name: &'a str) -> Option<Attribution<'a>> {
        let named = |found| Attribution { own_name: Some(name), ..found };
        if name.is_empty() { None } else { self.found(runtime, name).map(named) }
    }

    /// Whether this component is the cgroup of a container.
    fn container(&self, component: &'a str) -> Option<Attribution<'a>> {
        if is_hex_id(component) {
            return self.found(self.runtime_of_bare_id(), component);
        }
        let unit = component.strip_suffix(".scope").unwrap_or(component);
        if let Some((prefix, id)) = unit.rsplit_once('-').filter(|(_, id)| is_hex_id(id)) {
            return self.found(runtime_of_prefix(prefix)?, id);
        }
        // containerd without a delegated slice: `<slice>:<prefix>:<id>`.
        if let Some((slice, (prefix, id))) =
            component.split_once(':').and_then(|(slice, rest)| Some((slice, rest.split_once(':')?)))
            && is_hex_id(id)
        {
            let pod_uid = if slice.contains("kubepods") { pod_uid(slice) } else { self.pod_uid };
            let with_pod = |found| Attribution { pod_uid, ..found };
            return self.found(runtime_of_prefix(prefix)?, id).map(with_pod);
        }
        if let Some(name) = component.strip_prefix("lxc.payload.") {
            return self.found_named(Runtime::Lxc, name);
        }
        match self.parent {
            "lxc" | "lxc.payload" => self.found_named(Runtime::Lxc, component),
            "machine.slice" => self.found_named(Runtime::Nspawn, nspawn_machine(component)?),
            task if self.grandparent == "ecs" && !task.is_empty() && component.starts_with(task) => {
                self.found(Runtime::Ecs, component)
            }
            _ => None,
        }
    }

    /// The cgroupfs drivers of Docker, Kubernetes, ECS and nerdctl use 64 hex digits alone as a name. Docker lets users
    /// choose the parent cgroup, so a path that matches none of the others is Docker's.
    fn runtime_of_bare_id(&self) -> Runtime {
        if self.in_kubepods {
            Runtime::Kubernetes
        } else if self.grandparent == "ecs" {
            Runtime::Ecs
        } else if self.parent == "default" {
            Runtime::Nerdctl
        } else {
            Runtime::Docker
        }
    }
}

fn runtime_of_prefix(prefix: &str) -> Option<Runtime> {
    PREFIXES.iter().find(|(known, _)| *known == prefix).map(|&(_, runtime)| runtime)
}

fn is_hex_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The uid in `pod<uid>`, `kubepods-burstable-pod<uid>.slice` and similar names; empty if there is none.
fn pod_uid(component: &str) -> &str {
    let unit = component.strip_suffix(".slice").unwrap_or(component);
    let uid = unit.strip_prefix("pod").or_else(|| unit.rsplit_once("-pod").map(|(_, uid)| uid));
    uid.filter(|uid| uid.starts_with(|c: char| c.is_ascii_hexdigit())).unwrap_or_default()
}

/// `systemd-nspawn@NAME.service`, or `machine-NAME.scope` of `machinectl`; libvirt's virtual machines share
/// the second form.
fn nspawn_machine(component: &str) -> Option<&str> {
    if let Some(unit) = component.strip_prefix("systemd-nspawn@") {
        return unit.strip_suffix(".service");
    }
    let name = component.strip_prefix("machine-")?.strip_suffix(".scope")?;
    (!name.starts_with("qemu\\x2d") && !name.starts_with("lxc\\x2d")).then_some(name)
}

/// Undoes `\xNN` of `systemd.unit(5)`, "String Escaping for Inclusion in Unit Names".
fn unescape_unit_name(name: &str) -> String {
    let mut rest = name;
    let mut bytes = Vec::with_capacity(name.len());
    while let Some(at) = rest.find("\\x") {
        let code = rest.get(at + 2..at + 4).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let Some(code) = code else { break };
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        bytes.push(code);
        rest = &rest[at + 4..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "b43d92bf1e5c6f78bb9b7bc6f40721280299855ba692092716e3a1b6c0b86f3f";
    const OTHER: &str = "a51a9f7d073f848e7fc59e56e8f11524f330a2175a4ed26327da2dfe0d28015e";
    const POD: &str = "6a4ce4a0-ba47-11ea-b2a7-0cc47ac5979e";
    const POD_UNIT: &str = "6a4ce4a0_ba47_11ea_b2a7_0cc47ac5979e";

    /// `below` is the part of the path below the container.
    fn assert_container(path: &str, runtime: Runtime, container_id: &str, pod_uid: &str, below: &str) {
        let container = attribute(path).unwrap_or_else(|| panic!("no container in {path}")).to_container();
        assert_eq!(container.runtime, runtime, "{path}");
        assert_eq!(&*container.container_id, container_id, "{path}");
        assert_eq!(&*container.pod_uid, pod_uid, "{path}");
        assert_eq!(&*container.path, strip_parent_references(path).strip_suffix(below).unwrap(), "{path}");
    }

    #[test]
    fn docker() {
        for path in [
            format!("/docker/{ID}"),
            format!("/system.slice/docker-{ID}.scope"),
            format!("/docker.slice/docker-{ID}.scope"),
            format!("/my-parent/{ID}"),
            format!("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope"),
            format!("/../../../../system.slice/docker-{ID}.scope"),
            format!("/../{ID}"),
        ] {
            assert_container(&path, Runtime::Docker, ID, "", "");
        }
    }

    #[test]
    fn kubernetes_pods() {
        assert_container(&format!("/kubepods/burstable/pod{POD}/{ID}"), Runtime::Kubernetes, ID, POD, "");
        let slice =
            format!("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{POD_UNIT}.slice");
        assert_container(&format!("{slice}/docker-{ID}.scope"), Runtime::Docker, ID, POD, "");
        assert_container(&format!("{slice}/cri-containerd-{ID}.scope"), Runtime::Containerd, ID, POD, "");
        assert_container(&format!("{slice}/crio-{ID}.scope/container"), Runtime::Crio, ID, POD, "/container");
        let colons = format!(
            "/system.slice/containerd.service/kubepods-burstable-pod{POD_UNIT}.slice:cri-containerd:{ID}"
        );
        assert_container(&colons, Runtime::Containerd, ID, POD, "");
        let kind = format!(
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{POD_UNIT}.slice/cri-containerd-{ID}.scope"
        );
        assert_container(&kind, Runtime::Containerd, ID, POD, "");
        // The uid of a static pod is a hash without dashes.
        let hash = "0123456789abcdef0123456789abcdef";
        assert_container(&format!("/kubepods/pod{hash}/{ID}"), Runtime::Kubernetes, ID, hash, "");
    }

    #[test]
    fn other_runtimes() {
        assert_container(&format!("/system.slice/libpod-{ID}.scope"), Runtime::Podman, ID, "", "");
        assert_container(&format!("/libpod_parent/libpod-{ID}"), Runtime::Podman, ID, "", "");
        let rootless =
            format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container");
        assert_container(&rootless, Runtime::Podman, ID, "", "/container");
        assert_container(&format!("/system.slice/nerdctl-{ID}.scope"), Runtime::Nerdctl, ID, "", "");
        assert_container(&format!("/default/{ID}"), Runtime::Nerdctl, ID, "", "");
        let task = "0123456789aAbBcCdDeEfF0123456789";
        assert_container(
            &format!("/ecs/{task}/{task}-012345678"),
            Runtime::Ecs,
            &format!("{task}-012345678"),
            "",
            "",
        );
        assert_container(&format!("/ecs/{task}/{ID}"), Runtime::Ecs, ID, "", "");
        assert_container("/lxc/mysql-primary-db", Runtime::Lxc, "mysql-primary-db", "", "");
        assert_container(
            "/lxc.payload.first/system.slice/x.service",
            Runtime::Lxc,
            "first",
            "",
            "/system.slice/x.service",
        );
        assert_container(
            "/machine.slice/systemd-nspawn@web.service/payload/init.scope",
            Runtime::Nspawn,
            "web",
            "",
            "/payload/init.scope",
        );
        assert_container("/machine.slice/machine-web.scope", Runtime::Nspawn, "web", "", "");
    }

    #[test]
    fn lxc_and_nspawn_names_come_from_the_path() {
        let name_of = |path| attribute(path).unwrap().to_container().fallback_name().to_owned();
        assert_eq!(name_of("/lxc/mysql-primary-db"), "mysql-primary-db");
        assert_eq!(name_of("/machine.slice/machine-my\\x2dweb.scope"), "my-web");
        assert_eq!(name_of(&format!("/docker/{ID}")), "b43d92bf1e5c");
    }

    #[test]
    fn the_outermost_container_counts() {
        let nested = format!("/docker/{ID}/kubelet/kubepods/burstable/pod{POD}/{OTHER}");
        assert_container(
            &nested,
            Runtime::Docker,
            ID,
            "",
            &format!("/kubelet/kubepods/burstable/pod{POD}/{OTHER}"),
        );
        let forged = format!("/docker/{ID}/docker-{OTHER}.scope");
        assert_container(&forged, Runtime::Docker, ID, "", &format!("/docker-{OTHER}.scope"));
    }

    #[test]
    fn no_container() {
        for path in [
            "/lxc.monitor.first".to_owned(),
            format!("/kubepods/pod068e8fa0-9213-11e7-a01f-507b9d4141fa/crio-conmon-{ID}"),
            format!("/system.slice/libpod-conmon-{ID}.scope"),
            format!("/system.slice/var-lib-docker-overlay-{ID}-merged.mount"),
            "/machine.slice/systemd-nspawn@web.service/supervisor".to_owned(),
            "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope".to_owned(),
            "/user.slice/user-1000.slice/user@1000.service/init.scope".to_owned(),
            format!("/kubepods/burstable/pod{POD}"),
            "/lxc".to_owned(),
            "/init.scope".to_owned(),
            "/../..".to_owned(),
            "/".to_owned(),
            String::new(),
        ] {
            assert_eq!(attribute(&path), None, "{path}");
        }
    }
}
