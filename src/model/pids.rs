//! Numbers of tasks and their limits: of the machine, and of one container's cgroup.

/// Settings of the kernel that limit the number of tasks (`proc_sys_kernel(5)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskLimits {
    pub pid_max: Option<u64>,
    pub threads_max: Option<u64>,
}

/// The pids controller and the freezer of one container's cgroup; `None` where a file does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PidsReading {
    /// Tasks, threads and zombies included.
    pub current: Option<u64>,
    /// The smallest `pids.max` from the container up to the root; `None` when unlimited.
    pub limit: Option<u64>,
    /// The highest number of tasks since the cgroup was made.
    pub peak: Option<u64>,
    /// Forks that the limit refused, since the cgroup was made.
    pub limit_hits: Option<u64>,
    /// The same, only where no limit above the container can have refused a fork: 0 without a limit.
    pub refused: Option<u64>,
    pub frozen: Option<bool>,
}
