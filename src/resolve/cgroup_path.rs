//! Maps a cgroup path to its container. Pure.
//!
//! [`super::cgroup_formats`] has the formats of all runtimes. The outermost match wins, so a container cannot impersonate
//! another one by creating cgroups below its own.

use super::cgroup_formats::{Id, Kind, Parents, find};
use crate::model::container::{Container, Runtime};
use crate::model::text::{label_value, sanitize};

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
            own_name: self.own_name().map(|name| label_value(&name).into()),
            runtime: self.runtime,
        }
    }
}

impl Attribution<'_> {
    fn own_name(&self) -> Option<String> {
        match (self.runtime, self.container_id.split_once('.')) {
            // As Nomad names its Docker containers.
            (Runtime::Nomad, Some((allocation, task))) => Some(format!("{task}-{allocation}")),
            _ => self.own_name.map(unescape_unit_name),
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
    let mut parents = Parents::default();
    let mut pod = "";
    let mut end = 0;
    for component in path.strip_prefix('/')?.split('/') {
        end += 1 + component.len();
        if parents.in_kubepods || component.contains("kubepods") {
            let slice = component.split(':').next().unwrap_or_default();
            pod = if pod.is_empty() { pod_uid(slice) } else { pod };
        }
        match find(component, &parents).map(|(format, id)| (format.kind(), format.id_kind(), id)) {
            Some((Kind::Helper, ..)) => return None,
            // systemd-nspawn puts its own supervisor process in a cgroup next to the payload.
            Some((Kind::Container(Runtime::Nspawn), ..)) if path[end..].starts_with("/supervisor") => {
                return None;
            }
            Some((Kind::Container(runtime), kind, container_id)) => {
                let is_named = matches!(kind, Id::Name | Id::UnitName);
                let own_name = is_named.then_some(container_id);
                let path = &path[..end];
                return Some(Attribution { path, runtime, container_id, pod_uid: pod, own_name });
            }
            Some((Kind::Parent, ..)) | None => parents.push(component),
        }
    }
    None
}

/// If the exporter is in its own cgroup namespace, paths outside it begin with `/..`.
pub(super) fn strip_parent_references(mut path: &str) -> &str {
    while let Some(rest) = path.strip_prefix("/..").filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        path = rest;
    }
    path
}

/// The uid in `pod<uid>`, `kubepods-burstable-pod<uid>.slice` and similar names; empty if there is none.
fn pod_uid(component: &str) -> &str {
    let unit = component.strip_suffix(".slice").unwrap_or(component);
    let uid = unit.strip_prefix("pod").or_else(|| unit.rsplit_once("-pod").map(|(_, uid)| uid));
    uid.filter(|uid| uid.starts_with(|c: char| c.is_ascii_hexdigit())).unwrap_or_default()
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
    use crate::resolve::cgroup_formats::FORMATS;

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

    /// An example of every row of the table, and whether it is a container.
    fn examples() -> Vec<(String, Option<(Runtime, &'static str)>)> {
        const STEP: &str = "k8jr8v1ktpvy6dsfpzfgzrsdx";
        const TASK: &str = "0123456789aAbBcCdDeEfF0123456789";
        const GUID: &str = "4a1cc39e-92ab-4f9b-7b3a-3d4e";
        const NOMAD: &str = "6a4ce4a0-ba47-11ea-b2a7-0cc47ac5979e.web";
        let mut examples = Vec::new();
        let mut no_container = |path: String| examples.push((path, None));
        for helper in ["crio-conmon", "libpod-conmon"] {
            no_container(format!("/machine.slice/{helper}-{ID}"));
            no_container(format!("/machine.slice/{helper}-{ID}.scope"));
        }
        for path in ["kata_overhead/", "vc/", "libpod_parent/"] {
            no_container(format!("/{path}{ID}"));
        }
        no_container(format!("/libpod_parent/{ID}/conmon"));
        no_container(format!("/kata_overhead/{ID}/{OTHER}"));
        no_container("/lxc.monitor.first".to_owned());
        no_container("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope".to_owned());
        no_container("/machine.slice/machine-lxc\\x2d1\\x2dweb.scope".to_owned());
        no_container("/machine.slice/systemd-nspawn@web.service/supervisor".to_owned());

        let mut container = |path: String, runtime, id| examples.push((path, Some((runtime, id))));
        for (prefix, runtime) in [
            ("docker", Runtime::Docker),
            ("cri-containerd", Runtime::Containerd),
            ("crio", Runtime::Crio),
            ("libpod", Runtime::Podman),
            ("nerdctl", Runtime::Nerdctl),
        ] {
            container(format!("/system.slice/{prefix}-{ID}.scope"), runtime, ID);
            container(format!("/parent/{prefix}-{ID}"), runtime, ID);
            container(format!("/system.slice/x.service/a.slice:{prefix}:{ID}"), runtime, ID);
        }
        container(format!("/system.slice/web.service/libpod-payload-{ID}"), Runtime::Podman, ID);
        let user = "/user.slice/user-1000.slice/user@1000.service/app.slice";
        container(format!("{user}/db.service/libpod-payload-{ID}"), Runtime::Podman, ID);
        container(format!("/libpod_parent/{OTHER}/libpod-{ID}"), Runtime::Podman, ID);
        container(format!("/default/{ID}"), Runtime::Nerdctl, ID);
        container(format!("/system.slice/system.slice:docker:{STEP}"), Runtime::Buildkit, STEP);
        container(format!("/docker/buildkit/{STEP}"), Runtime::Buildkit, STEP);
        container(format!("/kubepods/besteffort/pod{POD}/kata_{ID}"), Runtime::Kata, ID);
        for path in ["lxc.payload.web", "lxc.payload/web", "lxc/web"] {
            container(format!("/{path}"), Runtime::Lxc, "web");
        }
        container("/machine.slice/systemd-nspawn@web.service".to_owned(), Runtime::Nspawn, "web");
        container("/machine.slice/machine-web.scope".to_owned(), Runtime::Nspawn, "web");
        container(format!("/ecs/shop-cluster/{TASK}/{ID}"), Runtime::Ecs, ID);
        container(format!("/ecs/{TASK}/{ID}"), Runtime::Ecs, ID);
        let in_task = "0123456789aAbBcCdDeEfF0123456789-012345678";
        container(format!("/ecs/{TASK}/{in_task}"), Runtime::Ecs, in_task);
        for slice in ["", "/share.slice", "/reserve.slice"] {
            container(format!("/nomad.slice{slice}/{NOMAD}.scope"), Runtime::Nomad, NOMAD);
        }
        for parent in ["garden", "garden/good", "garden/bad"] {
            container(format!("/{parent}/{GUID}"), Runtime::Garden, GUID);
        }
        container(format!("/k8s.io/{ID}"), Runtime::Containerd, ID);
        container(format!("/kubepods/burstable/pod{POD}/{ID}"), Runtime::Kubernetes, ID);
        container(format!("/docker/{ID}"), Runtime::Docker, ID);
        examples
    }

    #[test]
    fn every_format_of_the_table_gives_its_runtime_and_id() {
        for (path, expected) in examples() {
            let found = attribute(&path).map(|it| it.to_container());
            let found = found.as_ref().map(|it| (it.runtime, &*it.container_id));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn every_format_of_the_table_has_an_example() {
        let examples = examples();
        for format in FORMATS {
            let is_shown = examples.iter().any(|(path, _)| {
                let mut parents = Parents::default();
                path[1..].split('/').any(|component| {
                    let found =
                        find(component, &parents).is_some_and(|(found, _)| std::ptr::eq(found, format));
                    parents.push(component);
                    found
                })
            });
            assert!(is_shown, "{format:?}");
        }
    }

    #[test]
    fn names_of_runtimes_without_an_api_come_from_the_path() {
        let name_of = |path| attribute(path).unwrap().to_container().fallback_name().to_owned();
        assert_eq!(name_of("/lxc/mysql-primary-db"), "mysql-primary-db");
        assert_eq!(name_of("/machine.slice/machine-my\\x2dweb.scope"), "my-web");
        let nomad = format!("/nomad.slice/{POD}.web.scope");
        assert_eq!(name_of(nomad.as_str()), format!("web-{POD}"));
        let docker = format!("/docker/{ID}");
        assert_eq!(name_of(docker.as_str()), "b43d92bf1e5c");
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
