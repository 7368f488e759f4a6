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
