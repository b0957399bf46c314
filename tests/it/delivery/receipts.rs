//! What a receipt says of its jobs, and how the store finds them.

use super::*;
use crate::stores::each_store;
use headworks::delivery::store::FACTS;
use headworks::delivery::{ReceiptState, ReceiptView};
use headworks::infra::db::DbError;
use headworks::job::store::{End, Filter, PutBack};
use headworks::job::{Ended, HoldReason};
use sqlx::AssertSqlSafe;

/// A job as a random history left it.
#[derive(Debug, Clone)]
struct Past {
    id: JobId,
    retry_of: Option<JobId>,
    /// Its end and when that was; none while it lives.
    end: Option<(Ended, Timestamp)>,
    held: bool,
}

/// What a receipt with these jobs says: the worst of those that nobody repeats.
fn expected(jobs: &[Past], gone: Option<Ended>) -> (ReceiptState, Option<Timestamp>) {
    let counting: Vec<&Past> =
        jobs.iter().filter(|job| jobs.iter().all(|other| other.retry_of != Some(job.id))).collect();
    let of_end = |end: Ended| match end {
        Ended::Completed => ReceiptState::Completed,
        Ended::Failed => ReceiptState::Failed,
        Ended::Cancelled | Ended::Discarded => ReceiptState::Cancelled,
    };
    let state = counting
        .iter()
        .map(|job| match job.end {
            Some((end, _)) => of_end(end),
            None if job.held => ReceiptState::Held,
            None => ReceiptState::Working,
        })
        .chain(gone.map(of_end))
        .max();
    let all_ended = counting.iter().all(|job| job.end.is_some());
    let last = counting.iter().filter_map(|job| Some(job.end?.1)).max();
    (state.unwrap_or(ReceiptState::Completed), last.filter(|_| all_ended))
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

const ENDS: [Ended; 4] = [Ended::Completed, Ended::Failed, Ended::Cancelled, Ended::Discarded];

/// One job more for a history, which may repeat an ended one.
fn another(dice: &mut Dice, jobs: &[Past], id: JobId) -> Past {
    let ended: Vec<JobId> = jobs.iter().filter(|job| job.end.is_some()).map(|job| job.id).collect();
    let retry_of = match ended.len() as u64 {
        0 => None,
        count => Some(ended[dice.below(count) as usize]).filter(|_| dice.below(2) == 0),
    };
    let at = Timestamp::now().before(Duration::from_secs(1 + dice.below(3600)));
    let end = (dice.below(4) > 0).then(|| (ENDS[dice.below(4) as usize], at));
    Past { id, retry_of, end, held: end.is_none() && dice.below(2) == 0 }
}

async fn write(tx: &mut Tx<'_>, receipt: ReceiptId, job: &Past) -> Result<(), DbError> {
    let live = "INSERT INTO job (id, pos, queue, kind, max_attempts, receipt_id, retry_of, lane, wait_reason)
                VALUES ($1, $1, 1, 2, 3, $2, $3, $4, 'test')";
    let done = "INSERT INTO job_done (id, queue, kind, priority, attempt, crashes, lost, max_attempts, args, receipt_id, retry_of,
                                      outcome, created_at, finished_at)
                VALUES ($1, 1, 2, 1, 0, 0, 0, 3, '{}', $2, $3, $4, $5, $5)";
    let text = if job.end.is_some() { done } else { live };
    let code = job.end.map_or(if job.held { 3 } else { 0 }, |(end, _)| end.code());
    on_either!(tx, c => {
        let query = sqlx::query(text).bind(job.id).bind(receipt).bind(job.retry_of).bind(code);
        match job.end {
            Some((_, at)) => query.bind(at).execute(c).await?,
            None => query.execute(c).await?,
        };
    });
    Ok(())
}

#[tokio::test]
async fn the_state_of_a_receipt_is_that_of_a_plain_model_over_random_histories() {
    each_store(|db| async move {
        let doors = Doors::open(&db, 1).await;
        let mut dice = Dice(9);
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..150_u8 {
            let new = NewReceipt { jobs: Vec::new(), ..new_receipt(number, 0) };
            let receipt = doors.acceptor.accept(new).await.unwrap().receipt_id;
            let mut jobs = Vec::new();
            for place in 0..dice.below(7) {
                let id = JobId(1_000_000 + i64::from(number) * 100 + place as i64);
                let job = another(&mut dice, &jobs, id);
                jobs.push(job);
            }
            // As pruning notes it, which says nothing of what completed.
            let gone = (dice.below(4) == 0).then(|| ENDS[1 + dice.below(3) as usize]);
            let written = jobs.clone();
            commit!(db, tx => async {
                for job in &written {
                    write(&mut tx, receipt, job).await?;
                }
                let text = "UPDATE receipt SET worst_outcome = $2 WHERE id = $1";
                let gone = gone.map(Ended::code);
                on_either!(&mut tx, c => { sqlx::query(text).bind(receipt).bind(gone).execute(c).await?; });
                Ok(())
            })
            .unwrap();
            let view = ReceiptView::find(&db, receipt).await.unwrap().unwrap();
            assert_eq!((view.state, view.finished_at), expected(&jobs, gone), "{jobs:?} {gone:?}");
            seen.insert(view.state);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ReceiptState::ALL, "every state came up");
    })
    .await;
}

#[tokio::test]
async fn the_oldest_of_three_thousand_jobs_decides_the_state_as_much_as_the_newest() {
    each_store(|db| async move {
        let doors = Doors::open(&db, 1).await;
        let new = NewReceipt { jobs: vec![first_job(); 3_000], ..new_receipt(1, 1) };
        let receipt = doors.acceptor.accept(new).await.unwrap().receipt_id;
        let jobs = doors.claim(3_000).await;
        let end = |job: &Job, end| End { id: job.id, token: job.lease_token, end, error: None, report: None };
        let most: Vec<End> = jobs[1..].iter().map(|job| end(job, Ended::Completed)).collect();
        commit!(db, tx => store::end(&mut tx, &most)).unwrap();
        let state = async || ReceiptView::find(&db, receipt).await.unwrap().unwrap();
        assert_eq!((state().await.state, state().await.finished_at), (ReceiptState::Working, None));
        let (id, token) = (jobs[0].id, jobs[0].lease_token);
        let hold = PutBack::Hold { reason: HoldReason::Operator, detail: String::new() };
        commit!(db, tx => store::put_back(&mut tx, id, token, &hold)).unwrap();
        assert_eq!(state().await.state, ReceiptState::Held);
        commit!(db, tx => store::release(&mut tx, id)).unwrap();
        let again = doors.claim(1).await;
        let last = [end(&again[0], Ended::Failed)];
        commit!(db, tx => store::end(&mut tx, &last)).unwrap();
        assert_eq!(state().await.state, ReceiptState::Failed);
        assert!(state().await.finished_at.is_some());
    })
    .await;
}

/// Jobs of deliveries and jobs without one in a large history; few of either are of customer `alpha`.
const FILL_PG: [&str; 4] = [
    "INSERT INTO receipt (id, source, customer)
     SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'test', CASE WHEN n % 10000 = 0 THEN 'alpha' ELSE 'beta' END
     FROM generate_series(1, 40000) n",
    "INSERT INTO delivery (id, receipt_id, source, customer, received_at, digest, bytes, envelope)
     SELECT id, id, source, customer, accepted_at, decode(repeat('00', 32), 'hex'), 1, '{}' FROM receipt
     WHERE abs(hashtext(id::text)) % 2 = 0",
    "INSERT INTO job_done (id, queue, kind, priority, attempt, crashes, lost, max_attempts, args, receipt_id, delivery_id, outcome, created_at)
     SELECT row_number() OVER (), 1, 2, 1, 0, 0, 0, 3, '{}', r.id, d.id, 0, now() FROM receipt r LEFT JOIN delivery d ON d.id = r.id",
    "ANALYZE",
];

#[tokio::test]
async fn a_receipt_and_a_customers_jobs_are_found_by_indexes() {
    each_store(|db| async move {
        let doors = Doors::open(&db, 1).await;
        let receipt = doors.acceptor.accept(new_receipt(1, 1)).await.unwrap().receipt_id;
        if !db.is_pg() {
            let text = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {FACTS}"));
            let rows: Vec<(i64, i64, i64, String)> = commit!(db, tx => async {
                Ok(on_either!(&mut tx, c => sqlx::query_as(text).bind(receipt).fetch_all(c).await?))
            })
            .unwrap();
            let plan = rows.into_iter().map(|row| row.3).collect::<Vec<_>>().join("\n");
            for index in ["job_receipt", "job_done_receipt", "sqlite_autoindex_receipt_1"] {
                assert!(plan.contains(index), "{plan}");
            }
            assert!(!plan.contains("SCAN job") && !plan.contains("SCAN r\n"), "{plan}");
            return;
        }
        for text in FILL_PG {
            crate::execute(&db, text).await;
        }
        let filter = Filter { customer: Some("alpha".into()), ..Filter::default() };
        let plans = commit!(db, tx => async {
            let jobs = store::list(&Scope::All, &mut tx, &filter, 100).await?;
            assert_eq!(jobs.len(), 4, "{jobs:?}");
            headworks::delivery::store::receipt_facts(&mut tx, receipt).await?;
            let facts = plan(&mut tx, "WITH every AS", &format!("'{receipt}'")).await?;
            Ok([facts, store::plan_of_list(&Scope::All, &mut tx, &filter, 100).await?.join("\n")])
        })
        .unwrap();
        let full: String = commit!(db, tx => async {
            let text = "SELECT tableoid::regclass::text FROM job_done LIMIT 1";
            Ok(on_either!(&mut tx, c => sqlx::query_scalar(text).fetch_one(c).await?))
        })
        .unwrap();
        for plan in &plans {
            for table in [&full, "receipt", "delivery"] {
                assert!(!plan.contains(&format!("Seq Scan on {table}")), "{plan}");
            }
        }
    })
    .await;
}

/// How the server would run a statement that this connection has prepared.
async fn plan(tx: &mut Tx<'_>, begins: &str, values: &str) -> Result<String, DbError> {
    let Tx::Pg(connection) = tx else { unreachable!("only asked of Postgres") };
    let text = "SELECT name FROM pg_prepared_statements WHERE starts_with(ltrim(statement, E'\n'), $1)";
    let name: String = sqlx::query_scalar(text).bind(begins).fetch_one(&mut **connection).await?;
    let explain = AssertSqlSafe(format!("EXPLAIN EXECUTE \"{name}\" ({values})"));
    let lines: Vec<String> = sqlx::query_scalar(explain).fetch_all(&mut **connection).await?;
    Ok(lines.join("\n"))
}
