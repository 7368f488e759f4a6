//! The cgroup paths of all known container runtimes, as one table. Pure.
//!
//! A row describes the last component of a path, and its parents if they matter. The first row that matches decides.

use crate::model::container::Runtime;

/// What a row says about a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Container(Runtime),
    /// A helper process of a runtime, for example a monitor. Nothing below this cgroup is a container.
    Helper,
    /// Not a container; a cgroup below it can be one.
    Parent,
}

/// The part of a name that identifies the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    /// 64 hexadecimal digits.
    Hex,
    /// 25 digits and lower-case letters (`identity.NewID` of BuildKit).
    BuildStep,
    /// A name that the user chose.
    Name,
    /// The same, escaped for a systemd unit.
    UnitName,
    /// Hexadecimal digits and dashes.
    Guid,
    /// `<allocation>.<task>`, where the allocation is a UUID.
    NomadTask,
    /// The name of the parent, a dash, and digits.
    EcsContainer,
}

/// One format of a cgroup path.
#[derive(Debug)]
pub(super) struct Format {
    /// The names of the parents, the nearest last. `*` matches any name.
    parents: &'static [&'static str],
    /// Text before and after the id. `before` begins with `:` if the name of a slice precedes it.
    before: &'static str,
    id: Id,
    after: &'static str,
    kind: Kind,
}

const fn container(parts: (&'static str, Id, &'static str), runtime: Runtime) -> Format {
    container_in(&[], parts, runtime)
}

const fn container_in(
    parents: &'static [&'static str],
    (before, id, after): (&'static str, Id, &'static str),
    runtime: Runtime,
) -> Format {
    Format { parents, before, id, after, kind: Kind::Container(runtime) }
}

const fn other(
    parents: &'static [&'static str],
    (before, id, after): (&'static str, Id, &'static str),
    kind: Kind,
) -> Format {
    Format { parents, before, id, after, kind }
}

/// Marks the rows that are valid only below a cgroup of Kubernetes, whose name contains `kubepods`.
const KUBEPODS: &str = "**kubepods";

/// All known formats. The comment above each group names its source.
#[rustfmt::skip]
pub(super) static FORMATS: &[Format] = &[
    // Helpers of conmon (containers/conmon) and CRI-O (internal/oci/runtime_oci_linux.go).
    other(&[], ("crio-conmon-", Id::Hex, ".scope"), Kind::Helper),
    other(&[], ("crio-conmon-", Id::Hex, ""), Kind::Helper),
    other(&[], ("libpod-conmon-", Id::Hex, ".scope"), Kind::Helper),
    other(&[], ("libpod-conmon-", Id::Hex, ""), Kind::Helper),
    // LXC's monitor (src/lxc/cgroups/cgfsng.c).
    other(&[], ("lxc.monitor.", Id::Name, ""), Kind::Helper),
    // libvirt's virtual machines and LXC containers (src/util/virsystemd.c) share the scope names of machined.
    other(&["machine.slice"], ("machine-qemu\\x2d", Id::UnitName, ".scope"), Kind::Helper),
    other(&["machine.slice"], ("machine-lxc\\x2d", Id::UnitName, ".scope"), Kind::Helper),
    // Kata's virtual machine outside of the pod (src/runtime/virtcontainers), and that of its version 1.
    other(&["kata_overhead"], ("", Id::Hex, ""), Kind::Helper),
    other(&["vc"], ("", Id::Hex, ""), Kind::Helper),
    // A Podman pod with the cgroupfs manager (libpod/runtime_pod_linux.go).
    other(&["libpod_parent"], ("", Id::Hex, ""), Kind::Parent),

    // Docker (daemon/oci_linux.go), with systemd's cgroup driver.
    container(("docker-", Id::Hex, ".scope"), Runtime::Docker),
    container(("docker-", Id::Hex, ""), Runtime::Docker),
    // containerd's CRI plugin (internal/cri/util).
    container(("cri-containerd-", Id::Hex, ".scope"), Runtime::Containerd),
    container(("cri-containerd-", Id::Hex, ""), Runtime::Containerd),
    // CRI-O (internal/config/cgmgr).
    container(("crio-", Id::Hex, ".scope"), Runtime::Crio),
    container(("crio-", Id::Hex, ""), Runtime::Crio),
    // Podman (libpod/container_internal_linux.go); `payload` with --cgroups=split, the default of Quadlet.
    container(("libpod-payload-", Id::Hex, ""), Runtime::Podman),
    container(("libpod-", Id::Hex, ".scope"), Runtime::Podman),
    container(("libpod-", Id::Hex, ""), Runtime::Podman),
    // nerdctl (pkg/cmd/container), with systemd's driver and with cgroupfs in its default namespace.
    container(("nerdctl-", Id::Hex, ".scope"), Runtime::Nerdctl),
    container(("nerdctl-", Id::Hex, ""), Runtime::Nerdctl),
    container_in(&["default"], ("", Id::Hex, ""), Runtime::Nerdctl),
    // A path in the notation of systemd's driver that was used with cgroupfs: `<slice>:<prefix>:<id>`.
    container((":docker:", Id::Hex, ""), Runtime::Docker),
    container((":cri-containerd:", Id::Hex, ""), Runtime::Containerd),
    container((":crio:", Id::Hex, ""), Runtime::Crio),
    container((":libpod:", Id::Hex, ""), Runtime::Podman),
    container((":nerdctl:", Id::Hex, ""), Runtime::Nerdctl),
    // BuildKit inside of Docker (builder/builder-next/executor_linux.go): a step of `docker build`.
    container_in(&["system.slice"], (":docker:", Id::BuildStep, ""), Runtime::Buildkit),
    container_in(&["docker", "buildkit"], ("", Id::BuildStep, ""), Runtime::Buildkit),
    // Kata's shim in the pod (src/runtime/virtcontainers/sandbox.go).
    container(("kata_", Id::Hex, ""), Runtime::Kata),
    // LXC 4, Incus and LXD (src/lxc/cgroups/cgfsng.c), and older versions.
    container(("lxc.payload.", Id::Name, ""), Runtime::Lxc),
    container_in(&["lxc.payload"], ("", Id::Name, ""), Runtime::Lxc),
    container_in(&["lxc"], ("", Id::Name, ""), Runtime::Lxc),
    // systemd-nspawn@.service and machined (systemd-machined.service(8)).
    container_in(&["machine.slice"], ("systemd-nspawn@", Id::UnitName, ".service"), Runtime::Nspawn),
    container_in(&["machine.slice"], ("machine-", Id::UnitName, ".scope"), Runtime::Nspawn),
    // Amazon ECS: agent/taskresource/cgroup; with and without the name of the cluster.
    container_in(&["ecs", "*", "*"], ("", Id::Hex, ""), Runtime::Ecs),
    container_in(&["ecs", "*"], ("", Id::Hex, ""), Runtime::Ecs),
    container_in(&["ecs", "*"], ("", Id::EcsContainer, ""), Runtime::Ecs),
    // Nomad's exec drivers (client/lib/cgroupslib): before version 1.7, and since with shared and reserved cores.
    container_in(&["nomad.slice"], ("", Id::NomadTask, ".scope"), Runtime::Nomad),
    container_in(&["nomad.slice", "share.slice"], ("", Id::NomadTask, ".scope"), Runtime::Nomad),
    container_in(&["nomad.slice", "reserve.slice"], ("", Id::NomadTask, ".scope"), Runtime::Nomad),
    // Cloud Foundry's Garden (guardian/rundmc/cgroups); `good` and `bad` distribute CPU.
    container_in(&["garden"], ("", Id::Guid, ""), Runtime::Garden),
    container_in(&["garden", "good"], ("", Id::Guid, ""), Runtime::Garden),
    container_in(&["garden", "bad"], ("", Id::Guid, ""), Runtime::Garden),
    // containerd without a cgroup parent, in the namespace of its CRI plugin.
    container_in(&["k8s.io"], ("", Id::Hex, ""), Runtime::Containerd),
    // The cgroupfs driver of the kubelet, with any runtime.
    container_in(&[KUBEPODS], ("", Id::Hex, ""), Runtime::Kubernetes),
    // Docker's cgroupfs driver. Users choose the parent (--cgroup-parent), so the id alone decides.
    container(("", Id::Hex, ""), Runtime::Docker),
];

impl Format {
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn id_kind(&self) -> Id {
        self.id
    }

    /// The part of `component` that is the id; `None` if it does not have this format below `parents`.
    fn id<'a>(&self, component: &'a str, parents: &Parents<'_>) -> Option<&'a str> {
        let rest = match self.before.starts_with(':') {
            true => component.split_once(self.before)?.1,
            false => component.strip_prefix(self.before)?,
        };
        let id = rest.strip_suffix(self.after)?;
        (self.id.accepts(id, parents.nearest()) && parents.match_all(self.parents)).then_some(id)
    }
}

/// The first row that matches, with the id.
pub(super) fn find<'a>(component: &'a str, parents: &Parents<'_>) -> Option<(&'static Format, &'a str)> {
    FORMATS.iter().find_map(|format| Some((format, format.id(component, parents)?)))
}

/// The parents of a component that formats depend on.
#[derive(Clone, Copy, Default)]
pub(super) struct Parents<'a> {
    /// The nearest last.
    names: [&'a str; 3],
    pub in_kubepods: bool,
}

impl<'a> Parents<'a> {
    /// Adds the next component of a path.
    pub(super) fn push(&mut self, component: &'a str) {
        self.in_kubepods |= component.contains("kubepods");
        self.names = [self.names[1], self.names[2], component];
    }

    fn nearest(&self) -> &'a str {
        self.names[2]
    }

    fn match_all(&self, expected: &[&str]) -> bool {
        match expected {
            [KUBEPODS] => self.in_kubepods,
            _ => {
                let names = &self.names[self.names.len() - expected.len()..];
                names.iter().zip(expected).all(|(name, expected)| match *expected {
                    "*" => !name.is_empty(),
                    expected => *name == expected,
                })
            }
        }
    }
}

impl Id {
    fn accepts(self, id: &str, parent: &str) -> bool {
        match self {
            Self::Hex => id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()),
            Self::BuildStep => {
                id.len() == 25 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            }
            Self::Name | Self::UnitName => !id.is_empty(),
            Self::Guid => {
                id.starts_with(|c: char| c.is_ascii_hexdigit())
                    && id.contains('-')
                    && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
            }
            Self::NomadTask => id.split_once('.').is_some_and(|(allocation, task)| {
                allocation.len() == 36 && Self::Guid.accepts(allocation, parent) && !task.is_empty()
            }),
            Self::EcsContainer => {
                let number = id.strip_prefix(parent).and_then(|rest| rest.strip_prefix('-'));
                number.is_some_and(|it| !it.is_empty() && it.bytes().all(|b| b.is_ascii_digit()))
            }
        }
    }
}
