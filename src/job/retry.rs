//! How long a failed job waits before its next attempt.

use std::time::Duration;

/// Exponential backoff with full jitter.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Longest wait before the first retry.
    pub base: Duration,
    /// Longest wait before any retry.
    pub max: Duration,
}

impl Backoff {
    /// Upper bound of the wait before retry number `attempt` (the first is 1).
    #[must_use]
    pub fn bound(&self, attempt: u16) -> Duration {
        let doublings = u32::from(attempt.saturating_sub(1)).min(31);
        self.base.saturating_mul(1 << doublings).min(self.max)
    }

    /// A wait between half the bound and the bound, so that a burst of failures does not come back as a burst.
    ///
    /// `random` is any random number.
    #[must_use]
    pub fn wait(&self, attempt: u16, random: u32) -> Duration {
        let bound = self.bound(attempt);
        bound / 2 + bound.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_maximum() {
        let backoff = Backoff { base: Duration::from_secs(5), max: Duration::from_secs(60) };
        let bounds: Vec<u64> = (1..=6).map(|n| backoff.bound(n).as_secs()).collect();
        assert_eq!(bounds, [5, 10, 20, 40, 60, 60]);
        assert_eq!(backoff.bound(u16::MAX), Duration::from_secs(60));
        assert!(backoff.wait(3, 0) >= Duration::from_secs(10));
        assert!(backoff.wait(3, u32::MAX) <= Duration::from_secs(20));
    }
}
