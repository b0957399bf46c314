//! G3: the claim while somebody holds the horizon.
//!
//! **A** works in a database where an idle REPEATABLE READ transaction keeps every dead row since it began, a million and
//! more (200,000 in short, and the line says so) behind the fetch index; **B** in another database of the same server
//! where nothing is held (the horizon of a table is its database's). Both claim through [`Claimer`] with the default lag
//! and sweep, so floors trail as they do in production, and end through `store::end`. A sweep that became due while the
//! other had its turn is paid before the clock starts: the protocol bounds sweeps to a twentieth of the time, pauses
//! would make them more.
//!
//! Compared are the rates, and the p99 of the claims: of all rounds, for a claim waits for no fsync. Its ratio is goal /
//! measured, the goal being three times the fresh one.

use super::drive;
use super::hands::{self, BarePg, Hands, LEASE};
use crate::cell::{Cell, Report};
use crate::place::Postgres;
use crate::rounds::{Plan, Side, median, percentile};
use crate::stores;
use headworks::infra::db::Db;
use headworks::job::Claimer;
use sqlx::{Executor, PgConnection};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const QUEUE: &str = "parse:bench";
/// The defaults of `jobs.claim_lag` and `jobs.sweep`.
const LAG: Duration = Duration::from_millis(200);
const SWEEP: Duration = Duration::from_secs(2);
/// Jobs sent through the table between two looks at how many dead rows that left.
const CHURN: usize = 50_000;
/// How much slower the slow claims may be.
const P99_GOAL: f64 = 3.0;

/// What a turn gave.
struct Worked {
    jobs_s: f64,
    claim_p99_ms: f64,
}

struct Site {
    db: Db,
    queue: i16,
    worker: i32,
    bare: Vec<Hands>,
    /// They live as long as a process does: floors are not learnt anew every round.
    claimers: Vec<Claimer>,
}

/// Two cells per batch size.
pub async fn postgres(plan: &Plan, server: &Postgres, report: &mut Report) -> anyhow::Result<()> {
    let mut fresh = Site::make(server, "fresh").await?;
    let mut pinned = Site::make(server, "pinned").await?;
    let mut holder = stores::bare_postgres(&server.url("pinned")).await?;
    holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    holder.execute("SELECT 1").await?;
    let mut reader = stores::bare_postgres(&server.url("pinned")).await?;
    let wanted = plan.size(1_000_000, 200_000) as f64;
    while dead_rows(&mut reader).await? < wanted {
        pinned.churn(CHURN).await?;
    }
    let span = Duration::from_millis(if plan.short { 500 } else { 2_000 });
    for (batch, claimers, jobs, bar) in
        [(1, 4, plan.size(16_000, 2_000), 0.8), (100, 1, plan.size(80_000, 10_000), 0.6)]
    {
        for site in [&mut fresh, &mut pinned] {
            site.claimers = (0..claimers).map(|_| site.claimer()).collect();
            site.fill(jobs).await?;
            site.work(batch, span).await?;
        }
        let (mut pinned_p99, mut fresh_p99) = (Vec::new(), Vec::new());
        let outcome = plan
            .interleave(async |turn| {
                let (site, p99) = match turn {
                    Side::A => (&mut pinned, &mut pinned_p99),
                    Side::B => (&mut fresh, &mut fresh_p99),
                };
                if turn == Side::B {
                    site.bare[0].clear().await?;
                }
                site.fill(jobs).await?;
                let worked = site.work(batch, span).await?;
                p99.push(worked.claim_p99_ms);
                Ok(worked.jobs_s)
            })
            .await?;
        let dead = dead_rows(&mut reader).await?;
        let cell = |name: &str| {
            let name = format!("g3_{name}_batch_{batch}_claimers_{claimers}");
            let cell = Cell::new(super::BENCH, name).store("postgres").figure("dead_rows", dead);
            if plan.short { cell.word("size", "short") } else { cell }
        };
        let rate = outcome.write(cell("pinned"), "pinned_jobs_s", "fresh_jobs_s");
        report.tell(&rate.against(bar, outcome.ratio))?;
        let mut ratios: Vec<_> =
            pinned_p99.iter().zip(&fresh_p99).map(|(pinned, fresh)| P99_GOAL * fresh / pinned).collect();
        let p99 = cell("claim_p99")
            .figure("pinned_ms", median(&mut pinned_p99))
            .figure("fresh_ms", median(&mut fresh_p99));
        report.tell(&p99.against(1.0, median(&mut ratios)))?;
    }
    fresh.db.close().await;
    pinned.db.close().await;
    Ok(())
}

impl Site {
    async fn make(server: &Postgres, name: &str) -> anyhow::Result<Self> {
        let url = server.make(name).await?;
        let db = stores::postgres(&url, 8).await?;
        let (queue, worker) = (stores::queue(&db, QUEUE).await?, stores::worker(&db).await?);
        let mut bare = Vec::new();
        for _ in 0..2 {
            let connection = stores::bare_postgres(&url).await?;
            bare.push(Hands::BarePg(BarePg { connection, framed: false, queue, worker }));
        }
        Ok(Self { db, queue, worker, bare, claimers: Vec::new() })
    }

    /// Sends so many jobs through the table.
    async fn churn(&mut self, jobs: usize) -> anyhow::Result<()> {
        drive::ingest(&mut self.bare, jobs, 500).await?;
        drive::work(&mut self.bare, 500).await?;
        Ok(())
    }

    async fn fill(&mut self, jobs: usize) -> anyhow::Result<()> {
        drive::ingest(&mut self.bare, jobs, 500).await?;
        Ok(())
    }

    fn claimer(&self) -> Claimer {
        Claimer::new(self.db.clone(), self.worker, LEASE, LAG, SWEEP)
    }

    /// Claims and ends for `span`, or until nothing is left.
    async fn work(&mut self, batch: u32, span: Duration) -> anyhow::Result<Worked> {
        for claimer in &mut self.claimers {
            step(&self.db, claimer, self.queue, batch).await?;
        }
        let mut tasks = JoinSet::new();
        let begun = Instant::now();
        for mut claimer in self.claimers.drain(..) {
            let (db, queue) = (self.db.clone(), self.queue);
            tasks.spawn(async move {
                let (mut done, mut claims) = (0, Vec::new());
                while begun.elapsed() < span {
                    let (jobs, claim) = step(&db, &mut claimer, queue, batch).await?;
                    if jobs == 0 {
                        break;
                    }
                    done += jobs;
                    claims.push(claim.as_secs_f64() * 1e3);
                }
                anyhow::Ok((claimer, done, claims))
            });
        }
        let (mut sum, mut millis) = (0, Vec::new());
        while let Some(joined) = tasks.join_next().await {
            let (claimer, done, claims) = joined??;
            self.claimers.push(claimer);
            sum += done;
            millis.extend(claims);
        }
        let jobs_s = sum as f64 / begun.elapsed().as_secs_f64();
        Ok(Worked { jobs_s, claim_p99_ms: percentile(&mut millis, 0.99) })
    }
}

/// Claims and ends once; the jobs, and how long the claim took.
async fn step(db: &Db, claimer: &mut Claimer, queue: i16, batch: u32) -> anyhow::Result<(usize, Duration)> {
    let begun = Instant::now();
    let jobs = claimer.claim(&[(queue, batch)], true).await?;
    let took = begun.elapsed();
    let leases = jobs.iter().map(|job| (job.id, job.lease_token)).collect();
    Ok((hands::end(db, leases).await?, took))
}

/// Dead versions in the job table, as the server counts them.
async fn dead_rows(reader: &mut PgConnection) -> anyhow::Result<f64> {
    let text = "SELECT n_dead_tup::float8 FROM pg_stat_user_tables WHERE relname = 'job'";
    Ok(sqlx::query_scalar(text).fetch_one(reader).await?)
}
