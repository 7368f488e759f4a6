//! Converts ticks since boot to Unix time.

/// The boot time and the length of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootClock {
    /// Unix time of the boot in seconds; `None` if the procfs does not show it.
    pub boot_time: Option<u64>,
    pub ticks_per_second: u64,
}

impl BootClock {
    /// Converts a time in ticks since boot to Unix time in seconds.
    #[must_use]
    pub fn unix(self, ticks: u64) -> Option<f64> {
        Some(self.boot_time? as f64 + ticks as f64 / self.ticks_per_second as f64)
    }
}
