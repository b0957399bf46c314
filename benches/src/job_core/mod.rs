//! `job-core`: the goals G1 to G7 of the job table, on a private Postgres with fsync on and on SQLite.
//!
//! | cell | A | B |
//! |---|---|---|
//! | `g1_*`, `g7_*` ([`ceiling`]) | the core's public functions | the same statements on bare connections |
//! | `g2_*` ([`peers`]) | the core's public functions | other job tables, by their own programs |
//! | `g3_*` ([`pinned`]) | a database whose horizon is held over dead rows | a fresh one |
//! | `g4_*` ([`cost`]) | WAL, commits and HOT claims per job | their goals |
//! | `g5_*` ([`wake`]) | inserters with the wake relay | without it |
//! | `accept_*` ([`accept`]) | what a door sees | - |

mod accept;
mod bare_lite;
mod ceiling;
mod cost;
mod drive;
mod hands;
mod peers;
mod pinned;
mod runner;
mod statement;
mod wake;

use crate::cell::{Cell, Report};
use crate::place::{self, Postgres};
use crate::rounds::Plan;
use crate::stores;

const BENCH: &str = "job-core";

/// Runs every cell.
pub async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if ["g1", "g2", "g3", "g4", "g5", "accept"].iter().any(|goal| plan.wants(&[goal, "postgres"])) {
        on_postgres(plan, report).await?;
    }
    if ["g7", "g5", "accept"].iter().any(|goal| plan.wants(&[goal, "sqlite"])) {
        on_sqlite(plan, report).await?;
    }
    report.tell(&Cell::new(BENCH, "g6_killed_at_full_load").word("elsewhere", "the crash tests in tests/it"))
}

async fn on_postgres(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let server = Postgres::start()?;
    if plan.wants(&["g1", "postgres"]) {
        ceiling::postgres(plan, &server, report).await?;
    }
    if plan.wants(&["g2", "postgres"]) {
        peers::postgres(plan, &server, report).await?;
    }
    if plan.wants(&["g3", "postgres"]) {
        pinned::postgres(plan, &server, report).await?;
    }
    if plan.wants(&["g4", "postgres"]) {
        cost::postgres(plan, &server, report).await?;
    }
    if plan.wants(&["g5", "postgres"]) {
        wake::postgres(plan, &server, report).await?;
    }
    if plan.wants(&["accept", "postgres"]) {
        let db = stores::postgres(&server.make("accept").await?, 8).await?;
        accept::callers(plan, &db, "postgres", report).await?;
        db.close().await;
    }
    Ok(())
}

async fn on_sqlite(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if plan.wants(&["g7", "sqlite"]) {
        ceiling::sqlite(plan, report).await?;
    }
    let directory = place::directory()?;
    let db = stores::sqlite(&directory.path().join("store")).await?;
    if plan.wants(&["g5", "sqlite"]) {
        wake::same(plan, &db, "sqlite", report).await?;
    }
    if plan.wants(&["accept", "sqlite"]) {
        accept::callers(plan, &db, "sqlite", report).await?;
    }
    db.close().await;
    Ok(())
}
