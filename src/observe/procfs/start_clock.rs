//! The clock of the start times in `/proc/PID/stat`.
//!
//! The kernel counts start times with `CLOCK_BOOTTIME`, and both depend on the time namespace of the reader
//! (`time_namespaces(7)`). `/proc/uptime` and `btime` in `/proc/stat` are not read: in LXC containers, lxcfs replaces
//! them with those of the container, while start times stay those of the kernel.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::model::clock::{BootClock, steady_boot_time};
use crate::observe::procfs::parse::{parse_keyed, parse_uptime};

/// Between the readings of two clocks, the thread can lose the CPU. The closest of this many pairs is used.
const ATTEMPTS: usize = 3;

/// The clock of one procfs.
#[derive(Debug)]
pub struct StartClock {
    /// A directory that is no procfs has files of another machine. Their times are in its `uptime` and `stat`.
    copied: Option<PathBuf>,
    /// Unix time of the boot in seconds, according to the last reading.
    boot_time: Option<f64>,
}

impl StartClock {
    /// The clock of the procfs at `procfs`.
    #[must_use]
    pub fn new(procfs: &Path) -> Self {
        let is_procfs =
            rustix::fs::statfs(procfs).is_ok_and(|statfs| statfs.f_type == rustix::fs::PROC_SUPER_MAGIC);
        Self { copied: (!is_procfs).then(|| procfs.to_owned()), boot_time: None }
    }

    /// The time since the boot in clock ticks, the unit of start times.
    #[must_use]
    pub fn ticks(&self) -> Option<u64> {
        let hundredths = match &self.copied {
            None => {
                let now = clock_gettime(ClockId::Boottime);
                now.tv_sec.unsigned_abs() * 100 + now.tv_nsec.unsigned_abs() / 10_000_000
            }
            Some(directory) => parse_uptime(&fs::read(directory.join("uptime")).ok()?)?,
        };
        Some(hundredths * rustix::param::clock_ticks_per_second() / 100)
    }

    /// Converts start times to Unix time, according to the current wall clock.
    pub fn read(&mut self) -> BootClock {
        self.boot_time = match &self.copied {
            None => Some(steady_boot_time(self.boot_time, measure_boot_time())),
            Some(directory) => {
                let stat = fs::read(directory.join("stat")).ok();
                stat.and_then(|stat| parse_keyed(&stat, b"btime")).map(|seconds| seconds as f64)
            }
        };
        BootClock { boot_time: self.boot_time, ticks_per_second: rustix::param::clock_ticks_per_second() }
    }
}

/// Unix time of the boot in seconds.
fn measure_boot_time() -> f64 {
    let measure = |_| {
        let before = seconds(clock_gettime(ClockId::Boottime));
        let now = seconds(clock_gettime(ClockId::Realtime));
        let after = seconds(clock_gettime(ClockId::Boottime));
        (after - before, now - (before + after) / 2.0)
    };
    let pairs = (0..ATTEMPTS).map(measure);
    pairs.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0.0, |(_, boot_time)| boot_time)
}

fn seconds(time: Timespec) -> f64 {
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::procfs::parse::parse_stat;

    /// The start time of this process in clock ticks.
    fn own_start() -> u64 {
        let stat = fs::read("/proc/self/stat").expect("procfs");
        parse_stat(std::process::id(), &stat).expect("a stat file").key.start_time
    }

    #[test]
    fn this_process_started_before_now_and_after_the_boot() {
        let mut clock = StartClock::new(Path::new("/proc"));
        let boot = clock.read();
        assert!(own_start() <= clock.ticks().expect("a clock"));
        let started = boot.unix(own_start()).expect("a time");
        let unix = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a time").as_secs_f64();
        assert!(boot.boot_time < Some(started) && started <= unix, "{boot:?} {started} {unix}");
        assert_eq!(clock.read(), boot, "nobody set the clock");
    }
}
