//! The standard `process_*` metrics of client libraries, for the exporter itself.

use procfs::WithCurrentSystemInfo as _;
use procfs::process::{LimitValue, Process};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Values from `/proc/self`. A value that cannot be read is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnProcess {
    pub cpu_seconds: Option<f64>,
    pub resident_bytes: Option<u64>,
    pub virtual_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    pub max_fds: Option<u64>,
    pub start_time_seconds: Option<f64>,
    pub threads: Option<u64>,
}

impl OwnProcess {
    /// Reads the current values, except `start_time_seconds`, which does not change.
    #[must_use]
    pub fn read(start_time_seconds: Option<f64>) -> Self {
        let Ok(process) = Process::myself() else {
            return Self::default();
        };
        let stat = process.stat().ok();
        let ticks = procfs::ticks_per_second() as f64;
        let max_fds = process.limits().ok().and_then(|limits| match limits.max_open_files.soft_limit {
            LimitValue::Value(limit) => Some(limit),
            LimitValue::Unlimited => None,
        });
        Self {
            cpu_seconds: stat.as_ref().map(|stat| (stat.utime + stat.stime) as f64 / ticks),
            resident_bytes: stat.as_ref().map(|stat| stat.rss_bytes().get()),
            virtual_bytes: stat.as_ref().map(|stat| stat.vsize),
            open_fds: process.fd_count().ok().map(|count| count as u64),
            max_fds,
            start_time_seconds,
            threads: stat.as_ref().and_then(|stat| stat.num_threads.try_into().ok()),
        }
    }
}

/// Unix time at which the exporter was started, in seconds. The kernel counts start times with `CLOCK_BOOTTIME`.
#[must_use]
pub fn start_time_seconds() -> Option<f64> {
    let seconds = |time: Timespec| time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    let started = Process::myself().ok()?.stat().ok()?.starttime as f64 / procfs::ticks_per_second() as f64;
    let age = seconds(clock_gettime(ClockId::Boottime)) - started;
    Some(seconds(clock_gettime(ClockId::Realtime)) - age)
}
