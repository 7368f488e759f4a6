//! A container, and the runtime that made it.

/// Who made a container's cgroup. The label `runtime`.
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
    /// The exporter's own surroundings, when it runs inside a container whose maker it cannot tell.
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
            Self::Unknown => "unknown",
        }
    }

    /// Whether the Docker API (Docker's or Podman's) can know a name for such a container.
    #[must_use]
    pub fn has_docker_api_name(self) -> bool {
        matches!(self, Self::Docker | Self::Podman | Self::Kubernetes | Self::Ecs)
    }
}

/// A container, known by the cgroup that its runtime made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The cgroup path as the kernel prints it: what identifies the container, and where its files are.
    pub path: Box<str>,
    /// The label `id`: the path, spelled as cAdvisor spells it. Never cut, since it identifies the series.
    pub id: Box<str>,
    /// 64 hex digits for most runtimes; a name for LXC and nspawn; empty where it cannot be told.
    pub container_id: Box<str>,
    /// The Kubernetes pod's uid with dashes; empty outside Kubernetes.
    pub pod_uid: Box<str>,
    /// A name that the path itself tells, as LXC's and nspawn's do.
    pub own_name: Option<Box<str>>,
    pub runtime: Runtime,
}

impl Container {
    /// The name to show while nobody has told a better one: the container's own, or the first 12 digits of
    /// its id.
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
