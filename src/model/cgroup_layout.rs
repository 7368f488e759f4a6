//! The cgroup layout of a machine, and the form of cgroup paths.

/// Which cgroup versions the machine uses. The label `cgroup` of `pstree_source_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupLayout {
    V1,
    V2,
    Hybrid,
}

impl CgroupLayout {
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Hybrid => "hybrid",
        }
    }
}

/// The form of cgroup paths, and therefore of the label `id`. The label `paths` of `pstree_source_info`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupPaths {
    /// As the host shows them.
    #[default]
    Host,
    /// Completed, because the exporter is in its own cgroup namespace.
    Resolved,
    /// Relative to the exporter's cgroup namespace: they lack their first part.
    Relative,
}

impl CgroupPaths {
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Resolved => "resolved",
            Self::Relative => "relative",
        }
    }
}
