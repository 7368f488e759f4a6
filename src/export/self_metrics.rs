//! The standard `process_*` metrics of client libraries, for the exporter itself.

use procfs::WithCurrentSystemInfo as _;
use procfs::process::{LimitValue, Process};

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
    /// Reads the current values.
    #[must_use]
    pub fn read() -> Self {
        let Ok(process) = Process::myself() else {
            return Self::default();
        };
        let stat = process.stat().ok();
        let ticks = procfs::ticks_per_second() as f64;
        let started = |ticks_since_boot: u64| {
            Some(procfs::boot_time_secs().ok()? as f64 + ticks_since_boot as f64 / ticks)
        };
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
            start_time_seconds: stat.as_ref().and_then(|stat| started(stat.starttime)),
            threads: stat.as_ref().and_then(|stat| stat.num_threads.try_into().ok()),
        }
    }
}
