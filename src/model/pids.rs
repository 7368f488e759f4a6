//! Task counts and limits of the machine, of one container's cgroup and of a pod's.

use std::cmp::Reverse;

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
    /// The smallest `pids.max` of the container's cgroup and its ancestors; `None` if unlimited. It must not be compared
    /// with `current`: an ancestor counts more tasks.
    pub limit: Option<u64>,
    /// The limit that refuses a fork first; `None` if unlimited.
    pub nearest_limit: Option<NearestLimit>,
    /// The highest number of tasks since the cgroup was created.
    pub peak: Option<u64>,
    /// Number of forks that the limit rejected since the cgroup was created.
    pub limit_hits: Option<u64>,
    /// The same number, but known only if no limit of an ancestor can have rejected a fork; 0 without a limit.
    pub refused: Option<u64>,
    pub frozen: Option<bool>,
}

/// A pids limit and the number of tasks that it counts, both of the same cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NearestLimit {
    pub current: u64,
    pub limit: u64,
    /// It is the limit of a cgroup above the container's own.
    pub is_above: bool,
}

impl NearestLimit {
    /// How many tasks more the limit allows. It can be lower than the number of tasks: then it allows none.
    #[must_use]
    pub fn headroom(&self) -> u64 {
        self.limit.saturating_sub(self.current)
    }

    /// Tasks as a share of the limit.
    #[must_use]
    pub fn used_ratio(&self) -> f64 {
        self.current as f64 / self.limit.max(1) as f64
    }

    /// The one that refuses a fork first. If both refuse the same one, the larger limit, of which the larger share is in
    /// use.
    #[must_use]
    pub fn nearer(self, other: Self) -> Self {
        std::cmp::min_by_key(self, other, |it| (it.headroom(), Reverse(it.limit)))
    }
}

/// The pids controller of a pod's cgroup; `None` if unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodPids {
    /// Number of tasks of all its containers, including threads and zombies.
    pub current: Option<u64>,
    /// `pids.max` of the pod's cgroup; `None` if unlimited.
    pub limit: Option<u64>,
    /// The highest number of tasks since the cgroup was created.
    pub peak: Option<u64>,
    /// Number of forks that this limit rejected since the cgroup was created.
    pub limit_hits: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_limit_is_the_one_with_the_least_headroom_then_the_most_used() {
        let at = |current, limit| NearestLimit { current, limit, is_above: limit > 100 };
        for (a, b, nearest) in [
            (at(5, 10), at(990, 1000), at(5, 10)),
            (at(50, 100), at(990, 1000), at(990, 1000)),
            (at(1, 2), at(999, 1000), at(999, 1000)),
            (at(150, 100), at(10, 10), at(150, 100)),
        ] {
            assert_eq!((a.nearer(b), b.nearer(a)), (nearest, nearest));
        }
    }

    #[test]
    fn headroom_is_never_negative_and_a_limit_of_zero_is_reached() {
        let at = |current, limit| NearestLimit { current, limit, is_above: false };
        assert_eq!((at(99, 100).headroom(), at(150, 100).headroom(), at(3, 0).headroom()), (1, 0, 0));
        assert!((at(150, 100).used_ratio() - 1.5).abs() < 1e-9);
        assert!(at(3, 0).used_ratio() >= 1.0);
    }
}
