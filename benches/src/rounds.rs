//! Interleaved rounds: A and B take turns on the same machine in the same minute, and who begins changes every round.

use crate::cell::Cell;
use crate::probe::fsync_micros;
use std::path::PathBuf;

/// How a bench is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Rounds that count.
    pub rounds: usize,
    /// Fewer jobs and mails, for a look rather than a figure.
    pub short: bool,
    /// Only the parts of a bench that are named so.
    pub only: Option<String>,
    /// Directory on the disk that is measured.
    pub disk: PathBuf,
}

/// What a turn measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What is measured.
    A,
    /// What it is measured against.
    B,
}

/// What the rounds gave: medians of those that count.
#[derive(Debug)]
pub struct Outcome {
    /// Of A.
    pub a: f64,
    /// Of B.
    pub b: f64,
    /// Of A / B, round by round: what drifts concerns both.
    pub ratio: f64,
    kept: usize,
    discarded: usize,
    fsync_micros: f64,
}

struct Round {
    a: f64,
    b: f64,
    probes: [f64; 3],
}

impl Round {
    /// Whether the disk was equally fast in both turns.
    fn is_steady(&self) -> bool {
        let least = self.probes.iter().copied().fold(f64::INFINITY, f64::min);
        self.probes.iter().all(|probe| *probe <= 2.0 * least)
    }
}

impl Plan {
    /// Whether the part of these names is to be run.
    pub fn wants(&self, names: &[&str]) -> bool {
        self.only.as_deref().is_none_or(|only| names.contains(&only))
    }

    /// `usual`, or `short` where a look is enough.
    pub const fn size(&self, usual: usize, short: usize) -> usize {
        if self.short { short } else { usual }
    }

    /// Runs `turn` for A and B until enough rounds were steady, at most twice as many as wanted: on a disk that never
    /// is, the rounds there are count all the same, and `discarded` says how many should not.
    pub async fn interleave(
        &self,
        mut turn: impl AsyncFnMut(Side) -> anyhow::Result<f64>,
    ) -> anyhow::Result<Outcome> {
        let (mut steady, mut unsteady) = (Vec::new(), Vec::new());
        while steady.len() < self.rounds && steady.len() + unsteady.len() < 2 * self.rounds {
            // Turns may block, so check for a request to stop here.
            tokio::task::yield_now().await;
            let a_begins = (steady.len() + unsteady.len()).is_multiple_of(2);
            let (first, second) = if a_begins { (Side::A, Side::B) } else { (Side::B, Side::A) };
            let mut probes = [fsync_micros(&self.disk)?, 0.0, 0.0];
            let one = turn(first).await?;
            probes[1] = fsync_micros(&self.disk)?;
            let two = turn(second).await?;
            probes[2] = fsync_micros(&self.disk)?;
            let (a, b) = if a_begins { (one, two) } else { (two, one) };
            let round = Round { a, b, probes };
            if round.is_steady() { steady.push(round) } else { unsteady.push(round) }
        }
        let discarded = unsteady.len();
        let kept = steady.len();
        steady.extend(unsteady.drain(..self.rounds.saturating_sub(kept)));
        let of = |f: fn(&Round) -> f64| median(&mut steady.iter().map(f).collect::<Vec<_>>());
        Ok(Outcome {
            a: of(|r| r.a),
            b: of(|r| r.b),
            ratio: of(|r| r.a / r.b),
            kept,
            discarded,
            fsync_micros: of(|r| r.probes[0]),
        })
    }

    /// Runs `turn` as often as there are rounds, where there is nothing to be measured against. Returns the median.
    pub async fn repeat(&self, mut turn: impl AsyncFnMut() -> anyhow::Result<f64>) -> anyhow::Result<f64> {
        let mut values = Vec::new();
        for _ in 0..self.rounds {
            values.push(turn().await?);
        }
        Ok(median(&mut values))
    }
}

impl Outcome {
    /// Writes the rates of both, and what the rounds were like, into a cell.
    pub fn write(&self, cell: Cell, a: &str, b: &str) -> Cell {
        cell.figure(a, self.a)
            .figure(b, self.b)
            .figure("rounds", self.kept as f64)
            .figure("discarded", self.discarded as f64)
            .figure("fsync_us", self.fsync_micros)
    }
}

/// The middle value; 0 where there is none.
pub fn median(values: &mut [f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value that `share` of all values are not above; 0 where there is none.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_in_which_the_disk_changed_is_not_steady() {
        let round = |probes| Round { a: 1.0, b: 1.0, probes };
        assert!(round([100.0, 200.0, 150.0]).is_steady());
        assert!(!round([100.0, 150.0, 201.0]).is_steady());
    }

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let mut values = [5.0, 1.0, 3.0, 2.0, 4.0];
        assert_eq!(median(&mut values), 3.0);
        assert_eq!(percentile(&mut values, 0.99), 5.0);
        assert_eq!(median(&mut []), 0.0);
    }

    #[tokio::test]
    async fn turns_are_taken_in_both_orders() {
        let plan = Plan { rounds: 5, short: true, only: None, disk: std::env::temp_dir() };
        let mut seen = Vec::new();
        let outcome = plan
            .interleave(async |turn| {
                seen.push(turn);
                Ok(if turn == Side::A { 2.0 } else { 4.0 })
            })
            .await
            .expect("two constants cannot fail");
        assert_eq!(outcome.ratio, 0.5);
        assert_eq!(seen[..4], [Side::A, Side::B, Side::B, Side::A]);
    }
}
