//! CPU time and memory of one process.

use std::ops::AddAssign;

/// What a process uses: that of all its threads, including those that exited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usage {
    /// Time in user and kernel mode since its start, in clock ticks (`proc_pid_stat(5)`, fields 14 and 15).
    pub cpu_ticks: u64,
    /// Pages in memory (field 24). Pages that several processes share count for each of them. Since Linux 6.2, the kernel
    /// keeps a part of three counts (file, anonymous, shared) by CPU and can leave it out here: up to 32 pages, or twice the
    /// number of CPUs, of each count for each CPU that the process ran on.
    pub resident_pages: u64,
}

impl Usage {
    /// Keeps the CPU time of an earlier reading if this one is lower: it lacks a thread that exited while it was taken.
    pub fn never_less_than(&mut self, earlier: Self) {
        self.cpu_ticks = self.cpu_ticks.max(earlier.cpu_ticks);
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.cpu_ticks = self.cpu_ticks.saturating_add(more.cpu_ticks);
        self.resident_pages = self.resident_pages.saturating_add(more.resident_pages);
    }
}
