//! When to notify operators that something waits for them: at once, when the number has doubled since the last notice, and when
//! the oldest has waited for an hour, four hours, and every further day.

use std::time::Duration;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// The last notice to operators.
#[derive(Debug, Default)]
pub struct Attention {
    waiting: i64,
    step: u64,
}

/// How urgent a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Something waits.
    Notice,
    /// Something has waited for an hour.
    Warning,
    /// Something has waited for a day.
    Alarm,
}

impl Urgency {
    /// Logs that so many things have been `waiting`, the oldest for `oldest`; `what` they are is a whole sentence.
    pub fn log(self, waiting: i64, oldest: Duration, what: &'static str) {
        let hours = oldest.as_secs() / HOUR;
        match self {
            Self::Notice => tracing::info!(waiting, "{what}"),
            Self::Warning => tracing::warn!(waiting, hours, "{what}"),
            Self::Alarm => tracing::error!(waiting, hours, "{what}"),
        }
    }
}

impl Attention {
    /// Whether to notify operators now that `waiting` things wait, the oldest for `oldest`.
    pub fn due(&mut self, waiting: i64, oldest: Duration) -> Option<Urgency> {
        let step = step(oldest.as_secs());
        let due = waiting > 0 && (waiting >= (2 * self.waiting).max(1) || step > self.step);
        // When fewer things wait, or younger ones, counting starts again.
        self.waiting = if due { waiting } else { self.waiting.min(waiting) };
        self.step = step;
        due.then_some(match step {
            0 => Urgency::Notice,
            1 | 2 => Urgency::Warning,
            _ => Urgency::Alarm,
        })
    }
}

/// The number of steps passed after `seconds`: an hour, four hours, each day.
const fn step(seconds: u64) -> u64 {
    match seconds {
        0..HOUR => 0,
        HOUR..14_400 => 1,
        14_400..DAY => 2,
        _ => 2 + seconds / DAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_notified_at_once_then_when_more_wait_then_when_they_wait_longer() {
        let mut attention = Attention::default();
        let mut at = |waiting, hours: f64| attention.due(waiting, Duration::from_secs_f64(hours * 3_600.0));
        assert_eq!(at(0, 0.0), None);
        assert_eq!(at(1, 0.0), Some(Urgency::Notice));
        assert_eq!(at(1, 0.1), None, "they know");
        assert_eq!(
            [at(2, 0.1), at(3, 0.1), at(4, 0.2)],
            [Some(Urgency::Notice), None, Some(Urgency::Notice)]
        );
        assert_eq!([at(4, 1.0), at(4, 3.9)], [Some(Urgency::Warning), None]);
        assert_eq!([at(4, 4.0), at(4, 23.9)], [Some(Urgency::Warning), None]);
        assert_eq!(
            [at(4, 24.0), at(4, 47.0), at(4, 48.0)],
            [Some(Urgency::Alarm), None, Some(Urgency::Alarm)]
        );
        assert_eq!([at(1, 0.1), at(2, 0.1)], [None, Some(Urgency::Notice)], "what was released is forgotten");
        assert_eq!([at(0, 0.0), at(1, 0.0)], [None, Some(Urgency::Notice)]);
    }
}
