//! Claiming: one statement for all queues of a process, above a floor that trails what was claimed.

use super::priority::{CLASSES, Shares};
use super::store::{self, Claim, Job, Want};
use crate::in_tx;
use crate::infra::db::{Db, DbError, Lane};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Where a claim starts in each queue and priority.
///
/// The floor is the highest `pos` claimed at least `lag` ago, so jobs that commit out of order by less than that are not
/// missed. The sweep finds everything else below the floor (expired leases, later commits).
#[derive(Debug, Clone, Default)]
pub struct Floors {
    classes: HashMap<(i16, i16), Floor>,
}

#[derive(Debug, Clone, Default)]
struct Floor {
    at: i64,
    recent: VecDeque<(Instant, i64)>,
}

impl Floors {
    /// The floor of a queue and priority at `now`.
    pub fn get(&mut self, queue: i16, priority: i16, now: Instant, lag: Duration) -> i64 {
        let Some(floor) = self.classes.get_mut(&(queue, priority)) else { return 0 };
        while let Some(&(when, pos)) = floor.recent.front()
            && now.duration_since(when) >= lag
        {
            floor.at = floor.at.max(pos);
            floor.recent.pop_front();
        }
        floor.at
    }

    /// Notes the highest `pos` of a claim made at `now`.
    pub fn claimed(&mut self, queue: i16, priority: i16, pos: i64, now: Instant) {
        self.classes.entry((queue, priority)).or_default().recent.push_back((now, pos));
    }
}

/// The state of claiming in a process: floors, shares, and since when it may take over expired leases.
#[derive(Debug)]
pub struct Claimer {
    db: Db,
    worker: i32,
    lease: Duration,
    lag: Duration,
    sweep_every: Duration,
    floors: Floors,
    shares: HashMap<i16, Shares>,
    swept: Option<Instant>,
    sweep_took: Duration,
    connected_since: Option<Instant>,
}

impl Claimer {
    /// A claimer for worker row `worker`.
    #[must_use]
    pub fn new(db: Db, worker: i32, lease: Duration, lag: Duration, sweep_every: Duration) -> Self {
        Self {
            db,
            worker,
            lease,
            lag,
            sweep_every,
            floors: Floors::default(),
            shares: HashMap::new(),
            swept: None,
            sweep_took: Duration::ZERO,
            connected_since: None,
        }
    }

    /// Claims for queues with free slots, given as `(queue, slots)`; `take_over` allows taking over expired leases. May return
    /// up to three jobs more per queue than it has slots.
    ///
    /// # Errors
    /// When the store fails; expired leases are then not taken over for one lease period after it is back.
    pub async fn claim(&mut self, free: &[(i16, u32)], take_over: bool) -> Result<Vec<Job>, DbError> {
        let now = Instant::now();
        let sweep = self.is_sweep_due();
        let asked: Vec<_> =
            free.iter().map(|&(q, n)| (q, self.shares.entry(q).or_default().ask(n))).collect();
        let wants = self.wants(&asked, sweep, now);
        let take_expired = take_over && self.connected_since.is_some_and(|since| now - since >= self.lease);
        let claim = Claim { wants, worker: self.worker, lease: self.lease, take_expired };
        match in_tx!(self.db, Lane::Relaxed, tx => store::claim(tx, &claim)).await {
            Ok(jobs) => {
                self.connected_since.get_or_insert(now);
                if sweep {
                    self.swept = Some(now);
                    self.sweep_took = now.elapsed();
                }
                self.note(&asked, &jobs, now);
                Ok(jobs)
            }
            Err(error) => {
                self.connected_since = None;
                Err(error)
            }
        }
    }

    /// Whether the next claim looks below the floors. Sweeps take at most a twentieth of the time, however slow they are.
    #[must_use]
    pub fn is_sweep_due(&self) -> bool {
        self.swept.is_none_or(|at| at.elapsed() >= self.sweep_every.max(self.sweep_took * 20))
    }

    /// Whether the last claim took everything that could be claimed from this queue.
    #[must_use]
    pub fn is_dry(&self, queue: i16) -> bool {
        self.shares.get(&queue).is_some_and(Shares::is_dry)
    }

    fn wants(&mut self, asked: &[(i16, [u32; CLASSES])], sweep: bool, now: Instant) -> Vec<Want> {
        let mut wants = Vec::new();
        for &(queue, counts) in asked {
            for (priority, count) in (0_i16..).zip(counts).filter(|&(_, count)| count > 0) {
                let floor = if sweep { 0 } else { self.floors.get(queue, priority, now, self.lag) };
                wants.push(Want { queue, priority, floor, count: i32::try_from(count).unwrap_or(i32::MAX) });
            }
        }
        wants
    }

    fn note(&mut self, asked: &[(i16, [u32; CLASSES])], jobs: &[Job], now: Instant) {
        let mut got: HashMap<i16, [u32; CLASSES]> = HashMap::new();
        let mut highest: HashMap<(i16, i16), i64> = HashMap::new();
        for job in jobs {
            if let Some(count) =
                got.entry(job.queue).or_default().get_mut(usize::try_from(job.priority_code).unwrap_or(0))
            {
                *count += 1;
            }
            let pos = highest.entry((job.queue, job.priority_code)).or_default();
            *pos = job.pos.max(*pos);
        }
        for &(queue, counts) in asked {
            let got = got.get(&queue).copied().unwrap_or_default();
            self.shares.entry(queue).or_default().settle(counts, got);
        }
        for ((queue, priority), pos) in highest {
            self.floors.claimed(queue, priority, pos, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_trails_what_was_claimed_by_the_lag() {
        let mut floors = Floors::default();
        let (start, lag) = (Instant::now(), Duration::from_millis(200));
        floors.claimed(1, 0, 10, start);
        floors.claimed(1, 0, 20, start + Duration::from_millis(100));
        assert_eq!(floors.get(1, 0, start + Duration::from_millis(150), lag), 0);
        assert_eq!(floors.get(1, 0, start + Duration::from_millis(250), lag), 10);
        assert_eq!(floors.get(1, 0, start + Duration::from_millis(350), lag), 20);
        assert_eq!(
            floors.get(1, 1, start + Duration::from_secs(9), lag),
            0,
            "another priority has its own floor"
        );
    }
}
