//! The second commit: deliveries, rows and children of a run, and nothing where the lease was lost.

use super::*;
use crate::load::new_load;
use crate::stores::{each_store, jobs_of, open_lite};
use futures_util::future::join_all;
use headworks::delivery::store::{get, stored_ends};
use headworks::delivery::{Created, Rows, Work, recover};
use headworks::ids::LeaseToken;
use headworks::infra::db::{DbError, DbErrorKind, View};
use headworks::job::{Became, Ended, Finished, FinishedEnd, Kind, NewJob, QueueRow, State};
use headworks::load::NewLoad;
use headworks::log;
use module_api::{Place, Row};
use std::collections::BTreeMap;
use std::path::Path;

impl Doors {
    /// Accepts a receipt with `count` jobs and claims them.
    pub(super) async fn running(&self, key: u8, count: usize) -> (ReceiptId, Vec<Job>) {
        let new = NewReceipt { jobs: vec![first_job(); count], ..new_receipt(key, 1) };
        let receipt = self.acceptor.accept(new).await.unwrap().receipt_id;
        let jobs = self.claim(i32::try_from(count).unwrap()).await;
        assert_eq!(jobs.len(), count);
        (receipt, jobs)
    }

    pub(super) async fn finish(&self, job: &Job, work: Work) -> Result<Became, DbError> {
        let finished =
            Finished { job: job.clone(), work: Some(work), end: FinishedEnd::Ended(Ended::Completed, None) };
        self.finisher.finish(finished).await
    }
}

fn child(job: &Job, delivery: DeliveryId) -> NewJob {
    NewJob {
        queue: QueueRow { id: job.queue, kind: Kind::Parse },
        priority: Priority::Normal,
        delivery_id: Some(delivery),
        receipt_id: job.receipt_id,
        parent_id: None,
        retry_of: None,
        signals: None,
        max_attempts: 1,
        delay: Duration::ZERO,
        args: serde_json::json!({}),
    }
}

/// A delivery, a child that works on it, and a row of the feature.
fn work(job: &Job, word: &str, adopt: bool) -> Work {
    let delivery = new_delivery();
    Work {
        children: vec![child(job, delivery.id)],
        delivery: Some(Created { delivery, received_at: Timestamp(5_000_000), adopt }),
        rows: vec![notice(word)],
        ..Work::default()
    }
}

/// A load of one row that is published.
fn one_row(job: &Job, name: &str) -> (NewLoad, Rows) {
    let load = NewLoad { job: job.id, ..new_load(1) };
    let mut rows = Rows::new(Path::new("/"), usize::MAX);
    let values = vec![name.into(), 1.into()];
    let place = Place::line(0, 1);
    rows.push(Row { table: 0, place, report_at: None, report_tz_assumed: false, values }).unwrap();
    (load, rows)
}

#[tokio::test]
async fn a_run_creates_a_delivery_that_its_child_and_if_it_says_so_its_own_job_name() {
    each_store(|db| async move {
        let doors = Doors::open(&db, 1).await;
        for (key, adopt) in [(1, true), (2, false)] {
            let (receipt, jobs) = doors.running(key, 1).await;
            let work = work(&jobs[0], &format!("word {key}"), adopt);
            let id = work.delivery.as_ref().unwrap().delivery.id;
            assert_eq!(doors.finish(&jobs[0], work).await.unwrap(), Became::AsMeant);
            let row = look!(db, tx => get(&Scope::All, &mut tx, id)).unwrap().unwrap();
            assert_eq!((row.receipt_id, row.source.as_str()), (receipt, "test"));
            assert_eq!(row.received_at, Timestamp(5_000_000));
            let seen = doors.jobs(receipt).await;
            assert_eq!((seen[0].state, seen[1].state), (State::Completed, State::Available));
            assert_eq!(seen[0].delivery_id, adopt.then_some(id));
            assert_eq!((seen[1].delivery_id, seen[1].parent_id), (Some(id), Some(jobs[0].id)));
            let origin =
                Origin { receipt_id: Some(receipt), delivery_id: Some(id), job_id: Some(jobs[0].id) };
            assert_eq!(notices(&db).await.pop().unwrap(), (format!("word {key}"), origin));
            // The delivery is not the one of the acceptance, which had none.
            let again = doors.acceptor.accept(new_receipt(key, 1)).await.unwrap();
            assert_eq!((again.duplicate, again.delivery_id), (true, None));
            crate::execute(&db, "DELETE FROM job").await;
        }
    })
    .await;
}

#[tokio::test]
async fn where_the_lease_was_lost_a_finish_writes_nothing() {
    each_store(|db| async move {
        let doors = Doors::open(&db, 1).await;
        let (receipt, jobs) = doors.running(1, 1).await;
        for load in [false, true] {
            let lost = Job { lease_token: LeaseToken::fresh(), ..jobs[0].clone() };
            let work = Work { load: load.then(|| one_row(&lost, "a")), ..work(&lost, "word", true) };
            assert_eq!(doors.finish(&lost, work).await.unwrap(), Became::Lost);
        }
        let seen = doors.jobs(receipt).await;
        assert_eq!((seen.len(), seen[0].state, seen[0].delivery_id), (1, State::Running, None));
        assert_eq!((doors.count("delivery").await, doors.count("notice").await), (0, 0));
        assert_eq!(loads(&db).await, 0);
    })
    .await;
}

async fn loads(db: &Db) -> i64 {
    let mut reader = db.reader(View::Results).await.unwrap();
    let text = "SELECT count(*) FROM load";
    on_either!(&mut reader.tx(), c => sqlx::query_scalar(text).fetch_one(c).await).unwrap()
}

#[tokio::test]
async fn a_bad_row_of_a_feature_spoils_only_the_end_it_came_with_and_leaves_no_rows_of_its_module() {
    each_store(|db| async move {
        // One row each, and ten jobs: all in one batch.
        let doors = Doors::open(&db, 10).await;
        let (receipt, jobs) = doors.running(1, 10).await;
        let finishes = jobs.iter().enumerate().map(|(at, job)| {
            let word = if at == 3 { "bad".to_owned() } else { format!("word {at}") };
            let load = Some(one_row(job, &format!("node {at}")));
            doors.finish(job, Work { load, rows: vec![notice(&word)], ..Work::default() })
        });
        for (at, ended) in join_all(finishes).await.into_iter().enumerate() {
            match ended {
                Ok(became) => assert_eq!((became, at == 3), (Became::AsMeant, false)),
                Err(error) => assert_eq!((error.kind(), at), (DbErrorKind::Content, 3)),
            }
        }
        let live: Vec<JobId> =
            doors.jobs(receipt).await.iter().filter(|job| !job.state.is_final()).map(|job| job.id).collect();
        assert_eq!(live, [jobs[3].id]);
        assert_eq!((notices(&db).await.len(), loads(&db).await, doors.count("log").await), (9, 9, 9));
    })
    .await;
}

#[tokio::test]
async fn every_stored_end_holds_its_own_log_entries() {
    let directory = tempfile::tempdir().unwrap();
    let db = open_lite(directory.path()).await;
    let doors = Doors::open(&db, 3).await;
    let (_, jobs) = doors.running(1, 3).await;
    let names = ["a", "b", "c"];
    let finishes = jobs
        .iter()
        .zip(names)
        .map(|(job, name)| doors.finish(job, Work { load: Some(one_row(job, name)), ..Work::default() }));
    assert!(join_all(finishes).await.into_iter().all(|ended| ended.unwrap() == Became::AsMeant));
    // They go with the next commit of their file.
    let stored = stored_ends(&mut db.reader(View::Results).await.unwrap().tx()).await.unwrap();
    assert_eq!(stored.len(), 3);
    for ((job, body), (claimed, name)) in stored.into_iter().zip(jobs.iter().zip(names)) {
        let end: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let entries = end["consequences"]["entries"].as_array().unwrap();
        assert_eq!((job, entries.len()), (claimed.id, 1));
        assert_eq!(entries[0]["key"], serde_json::json!(name.as_bytes()), "{entries:?}");
        let headers = serde_json::json!({ "op": "upsert", "table": "node", "schema": "1" });
        assert_eq!(entries[0]["headers"], headers);
    }
    db.close().await;
}

#[tokio::test]
async fn what_a_stored_end_would_have_told_goes_with_the_next_run_of_its_job() {
    let directory = tempfile::tempdir().unwrap();
    let db = open_lite(directory.path()).await;
    let doors = Doors::open(&db, 1).await;
    let (_, jobs) = doors.running(1, 1).await;
    let before = directory.path().join("before");
    crate::execute_outside(directory.path(), &format!("VACUUM INTO '{}'", before.display())).await;
    let (load, rows) = one_row(&jobs[0], "a");
    let (again, event) = (load.clone(), || log::Entry {
        topic: log::TopicId(7),
        key: None,
        headers: BTreeMap::new(),
        body: b"event".to_vec(),
    });
    let work = Work { load: Some((load, rows)), entries: vec![event()], ..Work::default() };
    assert_eq!(doors.finish(&jobs[0], work).await.unwrap(), Became::AsMeant);
    db.close().await;
    // As if `state.db` had refused the end: the rows are committed, and nobody was told.
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        std::fs::remove_file(directory.path().join(file)).ok();
    }
    std::fs::rename(before, directory.path().join("state.db")).unwrap();
    let db = open_lite(directory.path()).await;
    let doors = Doors::open_again(&db, 1).await;
    assert_eq!(doors.count("log").await, 0);
    let load = Some((again, one_row(&jobs[0], "a").1));
    let work = Work { load, entries: vec![event()], ..Work::default() };
    assert_eq!(doors.finish(&jobs[0], work).await.unwrap(), Became::AsMeant);
    assert_eq!(doors.count("log WHERE headers ->> 'op' = 'upsert'").await, 1);
    assert_eq!(doors.count("log WHERE topic = 7").await, 1);
    db.close().await;
}

#[tokio::test]
async fn a_stored_end_brings_delivery_children_and_rows_once_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let db = open_lite(directory.path()).await;
    let doors = Doors::open(&db, 1).await;
    let (receipt, jobs) = doors.running(1, 1).await;
    let before = directory.path().join("before");
    crate::execute_outside(directory.path(), &format!("VACUUM INTO '{}'", before.display())).await;
    let work = Work { load: Some(one_row(&jobs[0], "a")), ..work(&jobs[0], "word", true) };
    let id = work.delivery.as_ref().unwrap().delivery.id;
    assert_eq!(doors.finish(&jobs[0], work).await.unwrap(), Became::AsMeant);
    db.close().await;
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        std::fs::remove_file(directory.path().join(file)).ok();
    }
    std::fs::rename(before, directory.path().join("state.db")).unwrap();

    for (start, applied) in [(1, 1), (2, 0)] {
        let db = open_lite(directory.path()).await;
        assert_eq!(recover(&db, &writers()).await.unwrap(), applied, "start {start}");
        let row = look!(db, tx => get(&Scope::All, &mut tx, id)).unwrap().unwrap();
        assert_eq!((row.receipt_id, row.source.as_str()), (receipt, "test"));
        let seen = jobs_of(&db, receipt).await;
        let seen: Vec<_> = seen.iter().map(|job| (job.state, job.delivery_id)).collect();
        assert_eq!(seen, [(State::Available, Some(id)), (State::Completed, Some(id))]);
        assert_eq!(notices(&db).await.len(), 1);
        assert_eq!(stored_ends(&mut db.reader(View::Results).await.unwrap().tx()).await.unwrap(), []);
        db.close().await;
    }
}
