//! Postgres: claims walk `job_fetch` and nothing else, and leave no trace in any index.

use super::*;
use crate::stores::each_store;
use headworks::infra::db::{DbError, Fut, Lane, Tx};
use headworks::on_either;
use sqlx::AssertSqlSafe;

/// Rows of the large table; all of them with `HEADWORKS_TEST_SOAK`.
const ROWS: i64 = 150_000;
const ROWS_SOAK: i64 = 1_000_000;

#[tokio::test]
async fn a_claim_walks_the_fetch_index_of_an_empty_a_large_and_a_drained_table() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        if !jobs.db.is_pg() {
            return;
        }
        let rows = if std::env::var_os("HEADWORKS_TEST_SOAK").is_some() { ROWS_SOAK } else { ROWS };
        let queue = jobs.queue;
        assert_plan(&jobs, "an empty table").await;
        let fill = format!(
            "INSERT INTO job (queue, kind, max_attempts) SELECT {queue}, 2, 3 FROM generate_series(1, {rows})"
        );
        crate::execute(&jobs.db, &fill).await;
        assert_plan(&jobs, "a large table without statistics").await;
        crate::execute(&jobs.db, "ANALYZE job").await;
        assert_plan(&jobs, "a large table").await;
        crate::execute(&jobs.db, "DELETE FROM job").await;
        assert_plan(&jobs, "a freshly drained table").await;
    })
    .await;
}

/// Asks the server how it would run the statements that the pool has prepared, with and without their values.
async fn assert_plan(jobs: &Jobs, when: &str) {
    let (queue, worker) = (jobs.queue, jobs.worker);
    let claim = claim_of(queue, worker, 0, 100);
    let ids: Vec<i64> = (1..=100).collect();
    let (ids, token) = (format!("'{ids:?}'").replace('[', "{").replace(']', "}"), uuid::Uuid::new_v4());
    let tokens = format!("array_fill('{token}'::uuid, '{{100}}')");
    let statements = [
        (
            "WITH want AS",
            format!("'{{{queue}}}', '{{1}}', '{{0}}', '{{100}}', '{token}', {worker}, 30000000, true"),
        ),
        ("WITH held AS", format!("{ids}, {tokens}, array_fill(NULL::jsonb, '{{100}}'), 30000000")),
        (
            "WITH t AS",
            format!(
                "{ids}, {tokens}, array_fill(0::smallint, '{{100}}'), array_fill(NULL::text, '{{100}}'),
                 array_fill(NULL::jsonb, '{{100}}')"
            ),
        ),
    ];
    let plans: Vec<String> = jobs
        .db
        .write(Lane::State, move |mut tx| {
            Box::pin(async move {
                prepare(&mut tx, &claim).await?;
                let mut plans = Vec::new();
                for (begins, values) in &statements {
                    for mode in ["force_custom_plan", "force_generic_plan"] {
                        plans.push(plan(&mut tx, begins, values, mode).await?);
                    }
                }
                Ok(plans)
            })
        })
        .await
        .unwrap();
    let fetched = "Index Scan using job_fetch on job";
    assert!(plans[..2].iter().all(|plan| plan.contains(fetched)), "{when}:\n{}\n{}", plans[0], plans[1]);
    for plan in plans {
        let by_key = plan.contains("Index Cond: (id = ") || plan.contains("Index Cond: (job.id = ");
        assert!(by_key && plan.contains("using job_pkey on job"), "{when}:\n{plan}");
        assert!(!plan.contains("Seq Scan on job"), "{when}:\n{plan}");
    }
}

/// Runs claim, heartbeat and end once on this connection.
async fn prepare(tx: &mut Tx<'_>, claim: &Claim) -> Result<(), DbError> {
    let token = headworks::ids::LeaseToken::fresh();
    let end = End { id: JobId(0), token, end: Ended::Completed, error: None, report: None };
    store::claim(tx, claim).await?;
    store::renew(tx, &[(JobId(0), token, None)], LONG).await?;
    store::end(tx, &[end]).await?;
    Ok(())
}

async fn plan(tx: &mut Tx<'_>, begins: &str, values: &str, mode: &str) -> Result<String, DbError> {
    let text = "SELECT name FROM pg_prepared_statements WHERE starts_with(ltrim(statement, E'\n'), $1)";
    let name: String = on_either!(&mut *tx, c => sqlx::query_scalar(text).bind(begins).fetch_one(c).await?);
    let set = AssertSqlSafe(format!("SET LOCAL plan_cache_mode = {mode}"));
    on_either!(&mut *tx, c => { sqlx::query(set).execute(c).await?; });
    let explain = AssertSqlSafe(format!("EXPLAIN EXECUTE \"{name}\" ({values})"));
    let lines: Vec<String> = match tx {
        Tx::Pg(c) => sqlx::query_scalar(explain).fetch_all(&mut **c).await?,
        Tx::Lite(_) => unreachable!("only asked of Postgres"),
    };
    Ok(lines.join("\n"))
}

fn claim_of(queue: i16, worker: i32, floor: i64, count: i32) -> Claim {
    let want = Want { queue, priority: Priority::Normal.code(), floor, count };
    Claim { wants: vec![want], worker, lease: LONG, take_expired: true }
}

#[tokio::test]
async fn every_claim_is_hot() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        if !jobs.db.is_pg() {
            return;
        }
        // The smallest rows there are, on fresh pages and on churned ones.
        for round in 0..10 {
            jobs.insert_plain(500).await;
            for _ in 0..5 {
                let claim = claim_of(jobs.queue, jobs.worker, 0, 100);
                let (_, updated, hot) =
                    counted(&jobs.db, move |tx| Box::pin(async move { store::claim(tx, &claim).await }))
                        .await;
                assert_eq!((updated, hot), (100, 100), "claims of round {round}");
            }
            crate::execute(&jobs.db, "DELETE FROM job").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_signal_to_a_running_job_touches_no_index() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        if !jobs.db.is_pg() {
            return;
        }
        jobs.insert_plain(10).await;
        let ids: Vec<JobId> = jobs.claim(10).await.iter().map(|job| job.id).collect();
        let signals = counted(&jobs.db, move |tx| Box::pin(async move { store::signal(tx, &ids).await }));
        assert_eq!(signals.await, (0, 10, 10));
    })
    .await;
}

/// Runs `f`, and counts the rows of `job` that it updated and those of them that were HOT.
async fn counted<T: Send + 'static>(
    db: &Db,
    f: impl for<'t, 'c> FnOnce(&'t mut Tx<'c>) -> Fut<'t, T> + Send + 'static,
) -> (T, i64, i64) {
    db.write(Lane::State, move |mut tx| {
        Box::pin(async move {
            let before = updates(&mut tx).await?;
            let value = f(&mut tx).await?;
            let after = updates(&mut tx).await?;
            Ok((value, after.0 - before.0, after.1 - before.1))
        })
    })
    .await
    .unwrap()
}

async fn updates(tx: &mut Tx<'_>) -> Result<(i64, i64), DbError> {
    let text = "SELECT pg_stat_get_xact_tuples_updated('job'::regclass), pg_stat_get_xact_tuples_hot_updated('job'::regclass)";
    Ok(on_either!(tx, c => sqlx::query_as(text).fetch_one(c).await?))
}

#[tokio::test]
async fn a_claim_above_its_floor_reads_no_dead_entries_while_the_horizon_is_pinned() {
    const CHURNED: usize = 20_000;
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        if !jobs.db.is_pg() {
            return;
        }
        // A reader that stays open: nothing that dies from here on can be cleaned up.
        let (pinned, horizon) = tokio::sync::oneshot::channel::<()>();
        let pin = jobs.db.clone();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let reader = tokio::spawn(async move {
            pin.write(Lane::Results, |mut tx| {
                Box::pin(async move {
                    let text = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
                    on_either!(&mut tx, c => { sqlx::query(text).execute(c).await?; });
                    let text = "SELECT count(*) FROM job";
                    on_either!(&mut tx, c => sqlx::query_scalar::<_, i64>(text).fetch_one(c).await?);
                    ready.send(()).unwrap();
                    drop(horizon.await);
                    Ok(())
                })
            })
            .await
        });
        is_ready.await.unwrap();
        for _ in 0..CHURNED / 2000 {
            jobs.insert_plain(2000).await;
            let runs = jobs.claim(2000).await;
            assert_eq!(jobs.end_all(&runs, Ended::Completed).await.len(), 2000);
        }
        let floor = number(&jobs.db, "SELECT last_value FROM job_pos").await;
        jobs.insert_plain(100).await;
        let from_zero = pages_of_a_claim(&jobs, 0).await;
        let from_floor = pages_of_a_claim(&jobs, floor).await;
        assert!(from_floor * 10 < from_zero, "{from_floor} pages above the floor, {from_zero} from zero");
        drop(pinned);
        reader.await.unwrap().unwrap();
    })
    .await;
}

/// Pages of the table and its indexes that one claim of ten jobs touches.
async fn pages_of_a_claim(jobs: &Jobs, floor: i64) -> i64 {
    let claim = claim_of(jobs.queue, jobs.worker, floor, 10);
    jobs.db
        .write(Lane::State, move |mut tx| {
            Box::pin(async move {
                let text = "SELECT (pg_stat_get_xact_blocks_fetched('job'::regclass)
                            + pg_stat_get_xact_blocks_fetched('job_fetch'::regclass))::bigint";
                let before: i64 = on_either!(&mut tx, c => sqlx::query_scalar(text).fetch_one(c).await?);
                assert_eq!(store::claim(&mut tx, &claim).await?.len(), 10);
                let after: i64 = on_either!(&mut tx, c => sqlx::query_scalar(text).fetch_one(c).await?);
                Ok(after - before)
            })
        })
        .await
        .unwrap()
}
