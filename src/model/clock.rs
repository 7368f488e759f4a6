//! Clocks: ticks since boot, Unix time.

use std::time::SystemTime;

/// Ticks since boot to Unix time.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock {
    /// Unix time of the boot; `None` where the procfs does not tell.
    pub boot_time: Option<u64>,
    pub ticks_per_second: u64,
}

impl BootClock {
    /// Unix time of a moment in ticks since boot.
    #[must_use]
    pub fn unix(self, ticks: u64) -> Option<f64> {
        Some(self.boot_time? as f64 + ticks as f64 / self.ticks_per_second as f64)
    }
}

/// Unix time in seconds.
#[must_use]
pub fn unix_now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
