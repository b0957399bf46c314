//! G4: what the work on a job costs the server, counted and not timed: WAL, commits, and how many claims are HOT.
//!
//! Two callers of the core claim and end a hundred at a time, without results. The ratio of a cost is goal / measured.

use super::drive;
use super::hands::{Core, Hands};
use crate::cell::{Cell, Report};
use crate::place::Postgres;
use crate::rounds::{Plan, median};
use crate::stores;
use sqlx::PgConnection;

const WAL_GOAL: f64 = 1_000.0;
const COMMITS_GOAL: f64 = 0.02;
/// The server's own transactions (autovacuum) are counted too.
const COMMITS_BAR: f64 = 0.95;

/// What the server has done since it began.
struct Counters {
    wal_bytes: f64,
    /// Transactions that wrote.
    commits: f64,
    claims: f64,
    hot_claims: f64,
}

/// The three cells.
pub async fn postgres(plan: &Plan, server: &Postgres, report: &mut Report) -> anyhow::Result<()> {
    let url = server.make("cost").await?;
    let jobs = plan.size(48_000, 6_400);
    let (mut wal, mut commits, mut hot) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let (before, after) = round(&url, jobs).await?;
        let per_job = |f: fn(&Counters) -> f64| (f(&after) - f(&before)) / jobs as f64;
        wal.push(per_job(|c| c.wal_bytes));
        commits.push(per_job(|c| c.commits));
        hot.push(per_job(|c| c.hot_claims) / per_job(|c| c.claims));
    }
    let (wal, commits, hot) = (median(&mut wal), median(&mut commits), median(&mut hot));
    let cell = |name| Cell::new(super::BENCH, name).store("postgres");
    report.tell(&cell("g4_wal_per_job").figure("bytes", wal).against(1.0, WAL_GOAL / wal))?;
    report.tell(
        &cell("g4_commits_per_job").figure("commits", commits).against(COMMITS_BAR, COMMITS_GOAL / commits),
    )?;
    report.tell(&cell("g4_hot_claims").figure("share", hot).against(1.0, hot))
}

/// Works off `jobs` jobs; the counters before and after.
async fn round(url: &str, jobs: usize) -> anyhow::Result<(Counters, Counters)> {
    let before_filling = stores::postgres(url, 4).await?;
    let (queue, worker) =
        (stores::queue(&before_filling, "parse:bench").await?, stores::worker(&before_filling).await?);
    let hand = |db: &headworks::infra::db::Db| Hands::Core(Core { db: db.clone(), queue, worker });
    let mut fill = vec![hand(&before_filling)];
    fill[0].clear().await?;
    drive::ingest(&mut fill, jobs, 500).await?;
    // What a session counted is certain to be seen by others only once it has ended.
    before_filling.close().await;
    let mut reader = stores::bare_postgres(url).await?;
    let before = counters(&mut reader).await?;
    let db = stores::postgres(url, 4).await?;
    let done = drive::work(&mut vec![hand(&db), hand(&db)], 100).await;
    db.close().await;
    done?;
    Ok((before, counters(&mut reader).await?))
}

async fn counters(reader: &mut PgConnection) -> anyhow::Result<Counters> {
    let text = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8,
                       pg_snapshot_xmax(pg_current_snapshot())::text::float8,
                       n_tup_upd::float8, n_tup_hot_upd::float8
                FROM pg_stat_user_tables WHERE relname = 'job'";
    let (wal_bytes, commits, claims, hot_claims) = sqlx::query_as(text).fetch_one(reader).await?;
    Ok(Counters { wal_bytes, commits, claims, hot_claims })
}
