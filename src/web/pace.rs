//! How fast a body must arrive.
//!
//! Only the time counts in which we wait for the sender. A slow disk of ours costs nobody their request.

use std::collections::VecDeque;
use std::time::Duration;

/// Arrivals closer together than this part of the window count as one.
const PARTS: u32 = 32;

/// How fast a body must arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Least bytes per second, on average over any `window`; at least 1.
    pub rate: u64,
    /// Time over which the rate is averaged.
    pub window: Duration,
    /// The body must have arrived within this time and that of its length at `rate`.
    pub time: Duration,
}

impl Pace {
    /// The time `bytes` take at the least rate.
    fn of(&self, bytes: u64) -> Duration {
        Duration::from_millis(bytes.saturating_mul(1000) / self.rate.max(1))
    }

    /// Bytes that a window must bring.
    fn needed(&self) -> u64 {
        let millis = self.rate.saturating_mul(u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX));
        millis / 1000
    }
}

/// The time one body takes. It runs only while [`came`](Self::came) says so.
#[derive(Debug)]
pub struct Clock {
    pace: Pace,
    /// Announced length.
    length: Option<u64>,
    taken: u64,
    now: Duration,
    /// The newest arrivals, as many as one window needs.
    recent: VecDeque<Arrival>,
    /// Bytes of these.
    recent_bytes: u64,
}

/// Bytes that came at about one time.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    first: Duration,
    last: Duration,
    bytes: u64,
}

impl Clock {
    /// For a body of this announced length, if one was announced.
    pub fn new(pace: Pace, length: Option<u64>) -> Self {
        Self { pace, length, taken: 0, now: Duration::ZERO, recent: VecDeque::new(), recent_bytes: 0 }
    }

    /// How long the sender may still be silent.
    pub fn left(&self) -> Duration {
        // The body is too slow as soon as the last window lacks bytes: once the oldest needed arrival leaves it.
        let oldest = match self.recent.front() {
            Some(arrival) if self.recent_bytes >= self.pace.needed() => arrival.last,
            _ => Duration::ZERO,
        };
        let of_window = oldest.saturating_add(self.pace.window);
        let of_whole = self.pace.time.saturating_add(self.pace.of(self.length.unwrap_or(self.taken)));
        of_window.min(of_whole).saturating_sub(self.now)
    }

    /// After `waited`, `bytes` came.
    pub fn came(&mut self, waited: Duration, bytes: u64) {
        self.now = self.now.saturating_add(waited);
        self.taken = self.taken.saturating_add(bytes);
        self.recent_bytes = self.recent_bytes.saturating_add(bytes);
        let now = self.now;
        match self.recent.back_mut() {
            Some(arrival) if now.saturating_sub(arrival.first) < self.pace.window / PARTS => {
                (arrival.last, arrival.bytes) = (now, arrival.bytes.saturating_add(bytes));
            }
            _ => self.recent.push_back(Arrival { first: now, last: now, bytes }),
        }
        while let [oldest, _, ..] = self.recent.make_contiguous()
            && self.recent_bytes - oldest.bytes >= self.pace.needed()
        {
            self.recent_bytes -= oldest.bytes;
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Pace};
    use proptest::prelude::*;
    use std::time::Duration;

    const PACE: Pace = Pace { rate: 1024, window: Duration::from_secs(30), time: Duration::from_secs(60) };

    /// Seconds until a sender of `bytes` every `pause` is cut, up to `most`.
    fn cut_after(mut clock: Clock, bytes: u64, pause: Duration, most: u64) -> Option<u64> {
        while clock.now.as_secs() < most {
            if clock.left() < pause {
                return Some((clock.now + clock.left()).as_secs());
            }
            clock.came(pause, bytes);
        }
        None
    }

    #[test]
    fn a_sender_of_one_byte_every_five_seconds_is_cut_after_a_window() {
        assert_eq!(cut_after(Clock::new(PACE, Some(1 << 20)), 1, Duration::from_secs(5), 3600), Some(30));
        assert_eq!(cut_after(Clock::new(PACE, None), 1, Duration::from_secs(5), 3600), Some(30));
    }

    #[test]
    fn half_the_rate_is_too_slow_and_the_rate_is_enough_for_hours() {
        let second = Duration::from_secs(1);
        assert_eq!(cut_after(Clock::new(PACE, None), 512, second, 36_000), Some(30));
        assert_eq!(cut_after(Clock::new(PACE, None), 1024, second, 36_000), None);
    }

    #[test]
    fn what_came_before_the_window_excuses_nobody() {
        let mut clock = Clock::new(PACE, Some(200 << 20));
        for _ in 0..100 {
            clock.came(Duration::from_secs(1), 1 << 20);
        }
        assert_eq!(clock.left(), Duration::from_secs(30));
        let cut = cut_after(clock, 1, Duration::from_secs(5), 3600);
        assert_eq!(cut, Some(130));
    }

    #[test]
    fn the_whole_body_has_a_deadline_by_its_length() {
        // As fast as the window asks, but never at its end: more bytes than announced cannot come.
        let pace = Pace { time: Duration::from_secs(10), ..PACE };
        let mut clock = Clock::new(pace, Some(10 << 10));
        clock.came(Duration::from_secs(19), 0);
        assert_eq!(clock.left(), Duration::from_secs(1));
        // Without a length it is what came so far.
        let mut clock = Clock::new(pace, None);
        clock.came(Duration::from_secs(9), 0);
        assert_eq!(clock.left(), Duration::from_secs(1));
        clock.came(Duration::ZERO, 5 << 10);
        assert_eq!(clock.left(), Duration::from_secs(6));
    }

    proptest! {
        #[test]
        fn memory_is_bounded_whatever_comes_and_when(
            steps in proptest::collection::vec((0u64..3_000, 0u64..20_000), 0..500),
        ) {
            let mut clock = Clock::new(PACE, None);
            for (millis, bytes) in steps {
                let pause = Duration::from_millis(millis);
                if clock.left() < pause {
                    break;
                }
                clock.came(pause, bytes);
                prop_assert!(clock.recent.len() <= 34, "{}", clock.recent.len());
                prop_assert!(clock.left() <= PACE.window);
            }
        }
    }
}
