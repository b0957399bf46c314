//! G1 and G7: the core against its own statements on bare connections.
//!
//! **A** goes through `infra::db` and `job::store`: a task, a pooled connection, begin, statement, commit; on SQLite the
//! one writer with its groups and savepoints. **B** is a tight loop that sends the same statements with the same batch.
//! On Postgres it has two tries, each statement committing by itself and each between BEGIN and COMMIT, and the better one
//! counts: fewer round trips against commits that meet more often. On SQLite one transaction holds as many members as
//! callers wait at A.
//! `ingest` inserts; `work` claims, does nothing, and ends. Both begin with empty tables.

use super::bare_lite::BareLite;
use super::drive;
use super::hands::{BarePg, Core, Hands};
use crate::cell::{Cell, Report};
use crate::place::{self, Postgres};
use crate::rounds::{Plan, Side};
use crate::stores;
use headworks::infra::db::Db;

const QUEUE: &str = "parse:bench";

/// One pair of cells.
struct Pair {
    goal: &'static str,
    store: &'static str,
    batch: usize,
    /// Hands at A.
    callers: usize,
    jobs: usize,
    bar: f64,
}

/// G1 on Postgres: four clients one by one, two with a hundred each.
pub async fn postgres(plan: &Plan, server: &Postgres, report: &mut Report) -> anyhow::Result<()> {
    let url = server.make("ceiling").await?;
    let db = stores::postgres(&url, 8).await?;
    let (queue, worker) = (stores::queue(&db, QUEUE).await?, stores::worker(&db).await?);
    let pairs = [
        Pair { goal: "g1", store: "postgres", batch: 1, callers: 4, jobs: plan.size(6_400, 400), bar: 0.9 },
        Pair {
            goal: "g1",
            store: "postgres",
            batch: 100,
            callers: 2,
            jobs: plan.size(48_000, 6_400),
            bar: 0.8,
        },
    ];
    for pair in pairs {
        let mut bare = Vec::new();
        for _ in 0..pair.callers {
            let connection = stores::bare_postgres(&url).await?;
            bare.push(Hands::BarePg(BarePg { connection, framed: false, queue, worker }));
        }
        compare(plan, &pair, core(&db, queue, worker, pair.callers), bare, report).await?;
    }
    db.close().await;
    Ok(())
}

/// G1 on SQLite with one caller, G7 with 32 that share the writer's commits.
pub async fn sqlite(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let directory = place::directory()?;
    let db = stores::sqlite(&directory.path().join("core")).await?;
    let (queue, worker) = (stores::queue(&db, QUEUE).await?, stores::worker(&db).await?);
    let floor = directory.path().join("floor");
    let twin = stores::sqlite(&floor).await?;
    let (bare_queue, bare_worker) = (stores::queue(&twin, QUEUE).await?, stores::worker(&twin).await?);
    twin.close().await;
    let pairs = [
        Pair { goal: "g1", store: "sqlite", batch: 1, callers: 1, jobs: plan.size(3_200, 400), bar: 0.9 },
        Pair {
            goal: "g1",
            store: "sqlite",
            batch: 100,
            callers: 1,
            jobs: plan.size(32_000, 3_200),
            bar: 0.8,
        },
        Pair { goal: "g7", store: "sqlite", batch: 1, callers: 32, jobs: plan.size(16_000, 3_200), bar: 0.7 },
    ];
    for pair in pairs {
        let connection = stores::bare_sqlite(&floor).await?;
        let group = pair.callers;
        let bare = BareLite { connection, queue: bare_queue, worker: bare_worker, group };
        let core = core(&db, queue, worker, pair.callers);
        compare(plan, &pair, core, vec![Hands::BareLite(bare)], report).await?;
    }
    db.close().await;
    Ok(())
}

fn core(db: &Db, queue: i16, worker: i32, callers: usize) -> Vec<Hands> {
    (0..callers).map(|_| Hands::Core(Core { db: db.clone(), queue, worker })).collect()
}

async fn compare(
    plan: &Plan,
    pair: &Pair,
    mut core: Vec<Hands>,
    mut bare: Vec<Hands>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let &Pair { goal, store, batch, callers, jobs, bar } = pair;
    for step in ["ingest", "work"] {
        let outcome = plan
            .interleave(async |turn| {
                if turn == Side::A {
                    return once(&mut core, step, jobs, batch).await;
                }
                let mut best: f64 = 0.0;
                let ways: &[bool] = if store == "postgres" { &[false, true] } else { &[false] };
                for &framed in ways {
                    bare.iter_mut().for_each(|hand| hand.frame(framed));
                    best = best.max(once(&mut bare, step, jobs, batch).await?);
                }
                Ok(best)
            })
            .await?;
        let cell =
            Cell::new(super::BENCH, format!("{goal}_{step}_batch_{batch}_callers_{callers}")).store(store);
        report.tell(&outcome.write(cell, "core_jobs_s", "bare_jobs_s").against(bar, outcome.ratio))?;
    }
    Ok(())
}

/// One turn; jobs per second.
async fn once(hands: &mut Vec<Hands>, step: &str, jobs: usize, batch: usize) -> anyhow::Result<f64> {
    if step == "work" {
        return drive::fill_and_work(hands, jobs, batch).await;
    }
    hands[0].clear().await?;
    drive::ingest(hands, jobs, batch).await
}
