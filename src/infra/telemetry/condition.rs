//! Conditions: what is wrong for a while, and would otherwise fill the log with the same line.
//!
//! ```text
//!   holds ─▶ "not ready" ─ holds, holds … ─▶ every minute "not ready" with a count ─ ends ─▶ "ready again" with a count
//! ```
//!
//! One that comes and goes is told of once a minute too, and its count is not lost.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shortest time between a line and the next one that says that it still holds, or that it holds again.
const PAUSE: Duration = Duration::from_secs(60);

/// Something that may be wrong.
#[derive(Debug)]
pub struct Condition {
    /// What is said while it holds.
    wrong: &'static str,
    /// What is said when it has ended.
    right: &'static str,
    /// What it is about, where there are several of a kind; empty where there is one.
    what: Cow<'static, str>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Since when it holds.
    since: Option<Instant>,
    /// Whether the log knows that it holds.
    is_told: bool,
    told_at: Option<Instant>,
    /// How often it was met since the last line.
    untold: u64,
}

/// A line that is due: how often it was met since the line before.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Holds { count: u64 },
    Ended { count: u64, lasted: Duration },
}

impl Condition {
    /// One that does not hold. `wrong` is said while it holds, `right` when it has ended.
    #[must_use]
    pub const fn new(wrong: &'static str, right: &'static str) -> Self {
        Self::of(Cow::Borrowed(""), wrong, right)
    }

    /// As [`new`](Self::new), about `what`: a dependency, a route, a duty.
    #[must_use]
    pub const fn of(what: Cow<'static, str>, wrong: &'static str, right: &'static str) -> Self {
        let state = State { since: None, is_told: false, told_at: None, untold: 0 };
        Self { wrong, right, what, state: Mutex::new(state) }
    }

    /// It holds, because of `why`.
    pub fn holds(&self, why: &dyn Display) {
        self.holds_for(1, why);
    }

    /// It holds for `count` things at once, because of `why`.
    pub fn holds_for(&self, count: u64, why: &dyn Display) {
        let due = self.with(|state| state.holds(count, Instant::now()));
        self.log(due, why);
    }

    /// It does not hold.
    pub fn ends(&self) {
        let due = self.with(|state| state.ends(Instant::now()));
        self.log(due, &"");
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn log(&self, due: Option<Due>, why: &dyn Display) {
        let what = (!self.what.is_empty()).then_some(&*self.what);
        match due {
            None => {}
            Some(Due::Holds { count }) => tracing::warn!(what, count, reason = %why, "{}", self.wrong),
            Some(Due::Ended { count, lasted }) => {
                tracing::info!(what, count, seconds = lasted.as_secs(), "{}", self.right);
            }
        }
    }
}

impl State {
    fn holds(&mut self, count: u64, now: Instant) -> Option<Due> {
        self.since.get_or_insert(now);
        self.untold += count;
        if self.told_at.is_some_and(|at| now.duration_since(at) < PAUSE) {
            return None;
        }
        self.is_told = true;
        self.told_at = Some(now);
        Some(Due::Holds { count: std::mem::take(&mut self.untold) })
    }

    fn ends(&mut self, now: Instant) -> Option<Due> {
        let lasted = now.duration_since(self.since.take()?);
        if !std::mem::take(&mut self.is_told) {
            return None;
        }
        self.told_at = Some(now);
        Some(Due::Ended { count: std::mem::take(&mut self.untold), lasted })
    }
}

#[cfg(test)]
mod tests {
    use super::{Condition, Due, State};
    use std::time::{Duration, Instant};

    /// A condition and a clock.
    struct Trial(State, Instant);

    impl Trial {
        fn new() -> Self {
            Self(State { since: None, is_told: false, told_at: None, untold: 0 }, Instant::now())
        }

        fn after(&self, seconds: u64) -> Instant {
            self.1 + Duration::from_secs(seconds)
        }

        fn holds(&mut self, seconds: u64) -> Option<u64> {
            let now = self.after(seconds);
            match self.0.holds(1, now)? {
                Due::Holds { count } => Some(count),
                other => panic!("{other:?}"),
            }
        }

        fn ends(&mut self, seconds: u64) -> Option<(u64, u64)> {
            let now = self.after(seconds);
            match self.0.ends(now)? {
                Due::Ended { count, lasted } => Some((count, lasted.as_secs())),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn it_is_told_when_it_begins_then_once_a_minute_with_a_count_and_when_it_ends() {
        let mut trial = Trial::new();
        assert_eq!(trial.ends(0), None, "nothing was wrong");
        assert_eq!(trial.holds(1), Some(1));
        assert_eq!([trial.holds(2), trial.holds(30), trial.holds(60)], [None; 3]);
        assert_eq!(trial.holds(61), Some(4));
        assert_eq!([trial.holds(62), trial.holds(63)], [None; 2]);
        assert_eq!(trial.ends(64), Some((2, 63)));
        assert_eq!(trial.ends(65), None, "once");
    }

    #[test]
    fn one_that_comes_and_goes_is_told_once_a_minute_and_nothing_of_it_is_lost() {
        let mut trial = Trial::new();
        assert_eq!(trial.holds(0), Some(1));
        assert_eq!(trial.ends(1), Some((0, 1)));
        for second in 2..60 {
            assert_eq!((trial.holds(second), trial.ends(second)), (None, None), "{second}");
        }
        assert_eq!(trial.holds(61), Some(59));
        assert_eq!(trial.ends(70), Some((0, 9)));
        assert_eq!(trial.holds(200), Some(1), "long after, it is told at once");
    }

    #[test]
    fn it_can_be_a_constant_of_the_program() {
        static WRONG: Condition = Condition::new("wrong", "right");
        WRONG.holds(&"test");
        WRONG.ends();
    }
}
