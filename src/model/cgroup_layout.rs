//! The cgroup layout of a machine.

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
