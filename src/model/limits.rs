//! Limits on the number of tasks.

/// Settings of the kernel that bound the number of tasks (`proc_sys_kernel(5)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskLimits {
    pub pid_max: Option<u64>,
    pub threads_max: Option<u64>,
}

/// What the kernel says of one container's cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PidsReading {
    /// Tasks: threads and zombies count, too.
    pub current: Option<u64>,
    /// The smallest `pids.max` on the way to the top; `None` when unlimited.
    pub limit: Option<u64>,
    pub peak: Option<u64>,
    /// Forks that the limit refused, since the cgroup was made.
    pub limit_hits: Option<u64>,
    /// The same, where no limit above can have refused any: 0 without a limit.
    pub refused: Option<u64>,
    pub frozen: Option<bool>,
}
