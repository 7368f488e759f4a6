//! A container and its runtime.

/// The runtime that created a container's cgroup. The label `runtime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runtime {
    Docker,
    Containerd,
    Crio,
    Podman,
    Nerdctl,
    Kubernetes,
    Ecs,
    Lxc,
    Nspawn,
    /// A step of `docker build`.
    Buildkit,
    Kata,
    Nomad,
    /// Cloud Foundry.
    Garden,
    /// A service or scope of systemd, which is no container (the flag `--forests.units`).
    Systemd,
    /// The exporter's own container, if its runtime cannot be determined.
    Unknown,
}

impl Runtime {
    /// The value of the label `runtime`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::Crio => "cri-o",
            Self::Podman => "podman",
            Self::Nerdctl => "nerdctl",
            Self::Kubernetes => "kubernetes",
            Self::Ecs => "ecs",
            Self::Lxc => "lxc",
            Self::Nspawn => "nspawn",
            Self::Buildkit => "buildkit",
            Self::Kata => "kata",
            Self::Nomad => "nomad",
            Self::Garden => "garden",
            Self::Systemd => "systemd",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the kubelet uses this runtime.
    #[must_use]
    pub fn is_of_kubernetes(self) -> bool {
        matches!(self, Self::Containerd | Self::Crio | Self::Kubernetes | Self::Kata)
    }

    /// Whether the Docker API (of Docker or Podman) can have a name for containers of this runtime.
    #[must_use]
    pub fn has_docker_api_name(self) -> bool {
        matches!(self, Self::Docker | Self::Podman | Self::Kubernetes | Self::Ecs)
    }
}

/// A container, identified by the cgroup that its runtime created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The cgroup path as the kernel prints it. It identifies the container and locates its cgroup files.
    pub path: Box<str>,
    /// The label `id`: the path in the notation of cAdvisor. Never truncated, because it identifies the series.
    pub id: Box<str>,
    /// 64 hex digits for most runtimes; a name for LXC and nspawn; empty if unknown.
    pub container_id: Box<str>,
    /// The Kubernetes pod's uid with dashes; empty outside Kubernetes.
    pub pod_uid: Box<str>,
    /// The name in the path, which LXC and nspawn containers have.
    pub own_name: Option<Box<str>>,
    pub runtime: Runtime,
}

impl Container {
    /// The path of the pod's cgroup, which is above the container's own: `…/pod<uid>`, or `…-pod<uid>.slice` with `_`
    /// instead of `-`. `None` if there is none.
    #[must_use]
    pub fn pod_path(&self) -> Option<&str> {
        if self.pod_uid.is_empty() {
            return None;
        }
        let separators = self.path.match_indices('/').map(|(at, _)| at);
        let mut above = separators.skip(1).map(|end| &self.path[..end]);
        above.find(|path| {
            let name = path.strip_suffix(".slice").unwrap_or(path);
            let Some(at) = name.len().checked_sub(self.pod_uid.len()) else { return false };
            let (before, uid) = name.as_bytes().split_at(at);
            let is_uid = uid.iter().map(|&b| if b == b'_' { b'-' } else { b }).eq(self.pod_uid.bytes());
            is_uid && (before.ends_with(b"/pod") || before.ends_with(b"-pod"))
        })
    }

    /// Whether it is a systemd unit, whose processes are those of the host.
    #[must_use]
    pub fn is_unit(&self) -> bool {
        self.runtime == Runtime::Systemd
    }

    /// The name to show if no container engine provides one: the container's own name, or the first 12 digits of its
    /// id.
    #[must_use]
    pub fn fallback_name(&self) -> &str {
        match &self.own_name {
            Some(name) => name,
            None => self
                .container_id
                .char_indices()
                .nth(12)
                .map_or(&*self.container_id, |(end, _)| &self.container_id[..end]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup_of_a_pod_is_above_that_of_its_container() {
        const UID: &str = "6a4ce4a0-ba47-11ea-b2a7-0cc47ac5979e";
        let pod_path = |path: &str, pod_uid: &str| {
            let container = Container {
                path: path.into(),
                id: path.into(),
                container_id: "1".into(),
                pod_uid: pod_uid.into(),
                own_name: None,
                runtime: Runtime::Containerd,
            };
            container.pod_path().map(str::to_owned)
        };
        let unit = UID.replace('-', "_");
        let slice = format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{unit}.slice");
        for pod in [
            format!("/kubepods/burstable/pod{UID}"),
            format!("/kubepods/pod{UID}"),
            format!("/kubepods.slice/kubepods-pod{unit}.slice"),
            slice,
        ] {
            for below in ["cri-containerd-1.scope", "1", "1/2"] {
                assert_eq!(pod_path(&format!("{pod}/{below}"), UID).as_ref(), Some(&pod), "{below}");
            }
            assert_eq!(pod_path(&format!("{pod}/1"), ""), None, "not in a pod");
        }
        // The name of the container's own cgroup has the uid.
        let colons = format!("/system.slice/kubepods-pod{unit}.slice:cri-containerd:1");
        assert_eq!(pod_path(&colons, UID), None);
        assert_eq!(pod_path(&format!("/kubepods/{UID}/1"), UID), None);
        assert_eq!(pod_path(&format!("/kubepods/pod{UID}"), UID), None);
    }
}
