//! At most so many requests: a token bucket, as the web configuration has it.

use std::time::{Duration, Instant};

use crate::serve::security::config_file::RatePart;

/// Fills by one token each interval, up to the burst.
#[derive(Debug)]
pub struct Bucket {
    interval: Duration,
    burst: u32,
    tokens: u32,
    filled_at: Instant,
}

impl Bucket {
    /// `None` for no limit.
    ///
    /// # Errors
    /// One line that names the key.
    pub fn new(part: &RatePart) -> Result<Option<Self>, String> {
        let Some(interval) = part.interval()? else { return Ok(None) };
        let burst = part.burst.unwrap_or_default();
        if burst == 0 {
            return Err("rate_limit: a burst of 0 lets nobody in; give 1 or more".into());
        }
        Ok(Some(Self { interval, burst, tokens: burst, filled_at: Instant::now() }))
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&mut self, now: Instant) -> bool {
        let intervals = now.saturating_duration_since(self.filled_at).as_nanos() / self.interval.as_nanos();
        let missing = self.burst - self.tokens;
        if intervals >= u128::from(missing) {
            (self.tokens, self.filled_at) = (self.burst, now);
        } else {
            self.tokens += intervals as u32;
            self.filled_at += self.interval * intervals as u32;
        }
        let Some(left) = self.tokens.checked_sub(1) else { return false };
        self.tokens = left;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_each_interval() {
        let part = |interval: &str, burst| RatePart { interval: Some(interval.into()), burst: Some(burst) };
        let mut bucket = Bucket::new(&part("1s", 3)).unwrap().unwrap();
        let start = bucket.filled_at;
        let mut taken = |milliseconds| bucket.take_at(start + Duration::from_millis(milliseconds));
        assert_eq!([taken(0), taken(1), taken(2), taken(3)], [true, true, true, false]);
        assert_eq!([taken(900), taken(1100), taken(1200), taken(2100)], [false, true, false, true]);
        assert_eq!([taken(60_000), taken(60_001), taken(60_002), taken(60_003)], [true, true, true, false]);
        assert!(Bucket::new(&part("0", 5)).unwrap().is_none());
        assert!(Bucket::new(&part("0s", 5)).unwrap().is_none());
        assert!(Bucket::new(&part("1s", 0)).is_err());
        assert!(Bucket::new(&part("soon", 5)).unwrap_err().contains("1s"));
    }
}
