//! Jobs of kinds that only a newer version knows: listed and counted, never claimed.

use super::working::{RULES, SETTINGS, Working, handler, obey};
use super::*;
use crate::stores::each_store;
use headworks::delivery::{ReceiptState, ReceiptView};
use headworks::ids::ReceiptId;
use headworks::job::store::Filter;

const RECEIPT: ReceiptId = ReceiptId(uuid::Uuid::from_u128(17));

/// Inserts a job of kind 17 with its queue and receipt, as a newer version would.
async fn insert_unknown(jobs: &Jobs) -> JobId {
    let receipt = RECEIPT.0.simple();
    let receipt = if jobs.db.is_pg() { format!("'{receipt}'") } else { format!("x'{receipt}'") };
    crate::execute(&jobs.db, &format!("INSERT INTO receipt (id, source) VALUES ({receipt}, 'mail')")).await;
    crate::execute(&jobs.db, "INSERT INTO queue (name) VALUES ('judge:new/thing')").await;
    let pos = if jobs.db.is_pg() { "nextval('job_pos')" } else { "1" };
    let text = format!(
        "INSERT INTO job (pos, queue, kind, max_attempts, receipt_id)
         SELECT {pos}, id, 17, 3, {receipt} FROM queue WHERE name = 'judge:new/thing'"
    );
    crate::execute(&jobs.db, &text).await;
    JobId(number(&jobs.db, "SELECT id FROM job WHERE kind = 17").await)
}

#[tokio::test]
async fn a_job_of_an_unknown_kind_is_listed_and_counted() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let id = insert_unknown(&jobs).await;
        let all = look!(db, tx => store::list(&Scope::All, &mut tx, &Filter::default(), 10)).unwrap();
        let [job] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((job.id, job.kind.to_string().as_str(), job.kind.known()), (id, "17", None));
        assert_eq!((job.state, job.queue.as_str()), (State::Available, "judge:new/thing"));
        let receipt = ReceiptView::find(&db, RECEIPT).await.unwrap().unwrap();
        assert_eq!((receipt.state, receipt.finished_at), (ReceiptState::Working, None));
        let depths = look!(db, tx => store::queue_depths(&mut tx, None, 10)).unwrap();
        let depth = depths.iter().find(|depth| depth.name == "judge:new/thing").unwrap();
        assert_eq!((depth.available, depth.running), (1, 0));

        // In the history too.
        assert_eq!(jobs.cancel(id).await, Act::Done);
        let view = jobs.view(id).await;
        assert_eq!((view.kind.to_string().as_str(), view.state), ("17", State::Cancelled));
    })
    .await;
}

#[tokio::test]
async fn a_job_of_an_unknown_kind_is_not_claimed_in_a_hundred_looks() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let id = insert_unknown(&jobs).await;
        let working = Working::start(&jobs, SETTINGS, RULES, handler(obey));
        for _ in 0..100 {
            // A look that was taken: it found a job that is inserted later.
            let known = jobs.insert_one().await;
            working.wake.wake();
            jobs.wait_for(known, State::Completed).await;
        }
        working.stop().await;
        let view = jobs.view(id).await;
        assert_eq!((view.state, view.first_started_at, view.wait_reason), (State::Available, None, None));
        assert_eq!((view.attempt, view.crashes, view.lost), (0, 0, 0));
        assert_eq!(jobs.timeline(id).await, "");
    })
    .await;
}
