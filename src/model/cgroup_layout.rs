//! How a machine arranges its cgroups.

/// The layout of cgroups on this machine. The label `cgroup` of `pstree_source_info`.
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
