//! What is kept of each process between collections.

use crate::model::process::Membership;

/// What is remembered of a process for as long as it is seen.
#[derive(Clone, Copy, Debug)]
pub struct CachedProcess {
    pub(crate) start_time: u64,
    pub(crate) membership: Membership,
    pub(crate) last_seen: u32,
    /// A collection saw it with a parent inside its container.
    pub had_parent_inside: bool,
    /// Whether it is pid 1 of a pid namespace of its own; `None` until it was read.
    pub is_namespace_init: Option<bool>,
    pub(crate) pid_namespace: PidNamespace,
    /// As in the record.
    pub(crate) ns_pid: u32,
    /// Unix time in seconds at which it was first seen as a zombie.
    pub zombie_since: Option<f64>,
    /// For how many collections it was in a container by cgroup v1, and in none by the default hierarchy.
    pub(crate) collections_v1_only: u8,
    /// The path of its cgroup could never be read.
    pub(crate) is_hidden: bool,
}

/// What is known of a process's pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PidNamespace {
    /// Not read yet, or gone before it could be.
    Unknown,
    /// The kernel does not show it to us.
    Hidden,
    Inode(u64),
}
