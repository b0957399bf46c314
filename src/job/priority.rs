//! Priorities, and how the slots of one queue are shared among them: a deficit counter, so that no priority starves and no
//! slot idles.
//!
//! While several priorities have jobs, slots are shared 8 : 4 : 2 : 1. A priority that returned fewer jobs than asked counts
//! as empty. It is still asked for one job per claim, so a claim may return up to three jobs more than there are slots; they
//! wait in the process under their lease.

use serde::{Deserialize, Serialize};

/// How soon a job is claimed among those of its queue. No priority starves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// An operator waits for it.
    Urgent,
    /// New arrivals.
    #[default]
    Normal,
    /// Replays.
    Low,
    /// Runs when there is nothing else.
    Idle,
}

impl Priority {
    /// Every priority, soonest first.
    pub const ALL: [Self; 4] = [Self::Urgent, Self::Normal, Self::Low, Self::Idle];

    /// The number in the store, 0 to 3.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }
}

/// Number of priorities.
pub const CLASSES: usize = Priority::ALL.len();
const WEIGHTS: [u32; CLASSES] = [8, 4, 2, 1];
/// Credit is counted in thousandths of a job.
const JOB: u32 = 1000;

/// The counters of one queue.
#[derive(Debug, Clone, Default)]
pub struct Shares {
    credit: [u32; CLASSES],
    busy: [bool; CLASSES],
}

impl Shares {
    /// How many jobs to ask of each class for `slots` free slots.
    pub fn ask(&mut self, slots: u32) -> [u32; CLASSES] {
        let weight: u32 = (0..CLASSES).filter(|&c| self.busy[c]).map(|c| WEIGHTS[c]).sum();
        let mut asked = [1; CLASSES];
        let mut left = slots;
        for class in (0..CLASSES).filter(|&c| self.busy[c]) {
            let earned = u64::from(slots) * u64::from(WEIGHTS[class]) * u64::from(JOB) / u64::from(weight);
            self.credit[class] += u32::try_from(earned).unwrap_or(u32::MAX / 2);
            asked[class] = (self.credit[class] / JOB).min(left);
            left -= asked[class];
        }
        // What rounding left over goes to the class that is owed most.
        if let Some(class) = (0..CLASSES).filter(|&c| self.busy[c]).max_by_key(|&c| self.credit[c]) {
            asked[class] += left;
        } else {
            asked[Priority::Normal as usize] = slots.max(1);
        }
        asked
    }

    /// Whether every class returned fewer jobs than were asked for the last time.
    pub fn is_dry(&self) -> bool {
        !self.busy.contains(&true)
    }

    /// Records how many jobs each class returned.
    pub fn settle(&mut self, asked: [u32; CLASSES], got: [u32; CLASSES]) {
        for class in 0..CLASSES {
            self.credit[class] = self.credit[class].saturating_sub(got[class] * JOB);
            if asked[class] > 0 {
                self.busy[class] = got[class] >= asked[class];
            }
            if !self.busy[class] {
                self.credit[class] = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves `rounds` claims of `slots` from classes that never run dry and counts what each got.
    fn serve(backlog: [bool; CLASSES], slots: u32, rounds: u32) -> [u32; CLASSES] {
        let mut shares = Shares::default();
        let mut total = [0; CLASSES];
        for _ in 0..rounds {
            let asked = shares.ask(slots);
            let got = std::array::from_fn(|c| if backlog[c] { asked[c] } else { 0 });
            shares.settle(asked, got);
            (0..CLASSES).for_each(|c| total[c] += got[c]);
        }
        total
    }

    #[test]
    fn full_classes_share_eight_to_four_to_two_to_one() {
        for slots in [1, 3, 15, 64] {
            let total = serve([true; CLASSES], slots, 3000);
            for class in 1..CLASSES {
                let ratio = f64::from(total[class - 1]) / f64::from(total[class]);
                assert!((1.9..=2.1).contains(&ratio), "{slots} slots gave {total:?}");
            }
        }
    }

    #[test]
    fn a_queue_is_dry_when_no_class_gave_all_it_was_asked_for() {
        let mut shares = Shares::default();
        let asked = shares.ask(4);
        shares.settle(asked, [0, asked[1] - 1, 0, 0]);
        assert!(shares.is_dry());
        let asked = shares.ask(4);
        shares.settle(asked, [0, 0, 0, 1]);
        assert!(!shares.is_dry(), "the one job that was asked for was returned, and there may be more");
    }

    #[test]
    fn a_lone_class_gets_every_slot() {
        for class in 0..CLASSES {
            let total = serve(std::array::from_fn(|c| c == class), 4, 100);
            assert!(total[class] >= 4 * 99, "{total:?}");
        }
    }
}
