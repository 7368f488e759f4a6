//! Task counts and limits of the machine and of one container's cgroup.

/// Kernel settings that limit the number of tasks (`proc_sys_kernel(5)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskLimits {
    pub pid_max: Option<u64>,
    pub threads_max: Option<u64>,
}

/// The pids controller and the freezer of one container's cgroup; `None` if a file does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PidsReading {
    /// Number of tasks, including threads and zombies.
    pub current: Option<u64>,
    /// The smallest `pids.max` of the container's cgroup and its ancestors; `None` if unlimited.
    pub limit: Option<u64>,
    /// The highest number of tasks since the cgroup was created.
    pub peak: Option<u64>,
    /// Number of forks that the limit rejected since the cgroup was created.
    pub limit_hits: Option<u64>,
    /// The same number, but known only if no limit of an ancestor can have rejected a fork; 0 without a limit.
    pub refused: Option<u64>,
    pub frozen: Option<bool>,
}
