//! Converts ticks since boot to Unix time.

/// The boot time and the length of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BootClock {
    /// Unix time of the boot in seconds; `None` if it is unknown.
    pub boot_time: Option<f64>,
    pub ticks_per_second: u64,
}

impl BootClock {
    /// Converts a time in ticks since boot to Unix time in seconds.
    #[must_use]
    pub fn unix(self, ticks: u64) -> Option<f64> {
        // Added in ticks, so that the sum has no more digits than its parts.
        let per_second = self.ticks_per_second as f64;
        Some(((self.boot_time? * per_second).round() + ticks as f64) / per_second)
    }
}

/// A boot time that differs by less was not changed: its measurement is inexact. In seconds.
const MIN_STEP: f64 = 0.1;

/// The boot time to use: the measured one if it is the first or if the wall clock was set, otherwise the previous one,
/// so that start times do not change with every measurement. Has the resolution of start times, 0.01 s.
#[must_use]
pub fn steady_boot_time(previous: Option<f64>, measured: f64) -> f64 {
    let is_unchanged = |previous: &f64| (measured - previous).abs() < MIN_STEP;
    previous.filter(is_unchanged).unwrap_or_else(|| (measured * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_times_have_two_decimal_places() {
        let clock = BootClock { boot_time: Some(1_795_770_000.13), ticks_per_second: 100 };
        assert_eq!(clock.unix(2_947_698).map(|time| time.to_string()), Some("1795799477.11".to_owned()));
    }

    #[test]
    fn start_times_change_only_when_the_wall_clock_is_set() {
        let first = steady_boot_time(None, 1_700_000_000.123_456);
        assert_eq!(first, 1_700_000_000.12);
        for inexact in [-0.09, -0.001, 0.000_001, 0.09] {
            assert_eq!(steady_boot_time(Some(first), first + inexact), first);
        }
        for step in [-3600.0, -0.5, 0.5, 3600.0] {
            assert_eq!(steady_boot_time(Some(first), first + step), first + step);
        }
    }
}
