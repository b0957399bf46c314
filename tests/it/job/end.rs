//! Every state change of a job, and what the token keeps from happening.

use super::*;
use crate::stores::each_store;
use headworks::ids::{DeliveryId, LeaseToken};
use headworks::infra::db::DbErrorKind;
use headworks::job::HoldReason;

#[tokio::test]
async fn a_job_is_inserted_claimed_and_ended_in_every_way() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let ends = [
            (Ended::Completed, State::Completed, 0),
            (Ended::Failed, State::Failed, 1),
            (Ended::Cancelled, State::Cancelled, 0),
            (Ended::Discarded, State::Discarded, 0),
        ];
        for (end, state, attempts) in ends {
            let id = jobs.insert_one().await;
            assert_eq!(jobs.state(id).await, State::Available);
            let job = jobs.claim(1).await.pop().unwrap();
            assert_eq!(jobs.state(id).await, State::Running);
            assert!(jobs.end(&job, end).await);
            let view = jobs.view(id).await;
            assert_eq!((view.state, view.attempt), (state, attempts));
            assert!(view.first_started_at.is_some() && view.finished_at >= view.first_started_at);
        }
        assert_eq!(jobs.counts().await, (0, 4));
    })
    .await;
}

#[tokio::test]
async fn an_end_keeps_what_the_job_was_and_what_the_run_says() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let delivery = DeliveryId::fresh();
        let args = serde_json::json!({"n": 1, "text": "ß\"\\"});
        let new = NewJob { delivery_id: Some(delivery), args: args.clone(), ..jobs.new_job() };
        let id = jobs.insert(vec![new]).await[0];
        let job = jobs.claim(1).await.pop().unwrap();
        assert_eq!((job.args.clone(), job.delivery_id), (args, Some(delivery)));
        let report = serde_json::json!({"rows": 3});
        let end = End {
            id,
            token: job.lease_token,
            end: Ended::Failed,
            error: Some("line 7\0 is odd".into()),
            report: Some(report.clone()),
        };
        commit!(db, tx => store::end(&mut tx, &[end])).unwrap();
        let view = jobs.view(id).await;
        assert_eq!(view.last_error.as_deref(), Some("line 7\u{FFFD} is odd"));
        assert_eq!((view.report, view.delivery_id, view.queue), (Some(report), Some(delivery), jobs.name));
    })
    .await;
}

#[tokio::test]
async fn a_run_can_put_its_job_back_in_every_way() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let hold = PutBack::Hold { reason: HoldReason::NoRule, detail: "nobody".into() };
        let crash = PutBack::Crash { how: "signal 9".into(), limit: 9 };
        let snooze = PutBack::Snooze { wait: LONG, reason: "volume away".into() };
        let ways = [
            (retry(LONG), State::Retryable, (1, 0), None, "attempt_failed"),
            (snooze, State::Scheduled, (0, 0), Some("volume away"), ""),
            (hold, State::Held, (0, 0), Some("no_rule"), "held"),
            (crash, State::Available, (0, 1), None, "crashed"),
            (PutBack::Release, State::Available, (0, 0), None, ""),
            (wait(LONG), State::Waiting, (0, 0), Some("verdict"), ""),
        ];
        for (how, state, counts, reason, events) in ways {
            let job = jobs.running().await;
            let became = jobs.becomes(&job, how).await;
            assert_eq!(became, if state == State::Held { Became::Held } else { Became::AsMeant });
            let view = jobs.view(job.id).await;
            assert_eq!(view.state, state);
            assert_eq!((view.attempt, view.crashes), counts, "{state:?}");
            assert_eq!(view.wait_reason.as_deref(), reason, "{state:?}");
            assert_eq!(jobs.timeline(job.id).await, events, "{state:?}");
            assert!(!jobs.put_back(&job, PutBack::Release).await, "the lease is given up with the job");
            jobs.cancel(job.id).await;
        }
    })
    .await;
}

#[tokio::test]
async fn due_jobs_become_available_and_others_wait() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let later = jobs.insert(vec![NewJob { delay: LONG, ..jobs.new_job() }]).await[0];
        assert_eq!(jobs.state(later).await, State::Scheduled);
        for how in [
            retry(Duration::ZERO),
            PutBack::Snooze { wait: Duration::ZERO, reason: "away".into() },
            wait(Duration::ZERO),
        ] {
            let job = jobs.running().await;
            jobs.put_back(&job, how).await;
            assert_eq!(jobs.claim(9).await.len(), 0, "not before it is promoted");
            assert_eq!(jobs.promote().await, 1);
            let view = jobs.view(job.id).await;
            assert_eq!((view.state, view.wait_reason), (State::Available, None));
            assert_eq!(jobs.claim(1).await[0].id, job.id);
        }
        assert_eq!(jobs.promote().await, 0);
        assert_eq!(jobs.state(later).await, State::Scheduled);
    })
    .await;
}

#[tokio::test]
async fn a_signal_lets_waiting_jobs_go_on_and_touches_no_others() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let waiting = jobs.running().await;
        jobs.put_back(&waiting, wait(LONG)).await;
        let running = jobs.running().await;
        let asked = [waiting.id, running.id, JobId(i64::MAX)];
        assert_eq!(commit!(db, tx => store::signal(&mut tx, &asked)).unwrap(), 1);
        assert_eq!(jobs.state(waiting.id).await, State::Available);
        assert_eq!(jobs.state(running.id).await, State::Running);
    })
    .await;
}

#[tokio::test]
async fn whoever_ends_names_the_job_that_waits_for_it() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let waiting = jobs.running().await;
        let child = NewJob { signals: Some(waiting.id), ..jobs.new_job() };

        jobs.put_back(&waiting, wait(LONG)).await;
        jobs.insert(vec![child.clone()]).await;
        let run = jobs.claim(1).await.pop().unwrap();
        let end =
            End { id: run.id, token: run.lease_token, end: Ended::Completed, error: None, report: None };
        let won = commit!(db, tx => store::end(&mut tx, &[end])).unwrap();
        assert_eq!(won[0].signals, Some(waiting.id));
        commit!(db, tx => store::signal(&mut tx, &[waiting.id])).unwrap();

        // One that is called off or discarded ends too, and nobody else is there to send its signal.
        for held in [false, true] {
            let run = jobs.claim(1).await.pop().unwrap();
            assert_eq!(run.id, waiting.id);
            jobs.put_back(&run, wait(LONG)).await;
            let child = jobs.insert(vec![child.clone()]).await[0];
            if held {
                let run = jobs.claim(1).await.pop().unwrap();
                let hold = PutBack::Hold { reason: HoldReason::NoModule, detail: String::new() };
                jobs.put_back(&run, hold).await;
                assert_eq!(jobs.discard(child).await, Act::Done);
            } else {
                assert_eq!(jobs.cancel(child).await, Act::Done);
            }
            assert_eq!(jobs.state(waiting.id).await, State::Available);
        }
    })
    .await;
}

#[tokio::test]
async fn a_held_job_is_released_with_a_clean_slate_or_discarded() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let hold = PutBack::Hold { reason: HoldReason::OutOfAttempts, detail: "broke".into() };
        let released = jobs.running().await;
        jobs.put_back(&released, hold.clone()).await;
        assert_eq!(jobs.view(released.id).await.attempt, 1, "the run that was one too many failed as well");
        let discarded = jobs.running().await;
        jobs.put_back(&discarded, hold).await;

        assert_eq!(jobs.release(released.id).await, Act::Done);
        let view = jobs.view(released.id).await;
        assert_eq!((view.state, view.attempt, view.crashes, view.lost), (State::Available, 0, 0, 0));
        assert_eq!(jobs.release(released.id).await, Act::WrongState);
        assert_eq!(jobs.discard(released.id).await, Act::WrongState);

        assert_eq!(jobs.discard(discarded.id).await, Act::Done);
        let view = jobs.view(discarded.id).await;
        assert_eq!((view.state, view.last_error.as_deref()), (State::Discarded, Some("not needed")));
        assert_eq!(jobs.release(discarded.id).await, Act::NotFound);
        assert_eq!(jobs.discard(JobId(i64::MAX)).await, Act::NotFound);
    })
    .await;
}

#[tokio::test]
async fn the_second_crash_holds_the_job_as_poisoned() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let crash = PutBack::Crash { how: "signal 11".into(), limit: 2 };
        let job = jobs.running().await;
        assert_eq!(jobs.becomes(&job, crash.clone()).await, Became::AsMeant);
        assert_eq!(jobs.state(job.id).await, State::Available);
        let again = jobs.claim(1).await.pop().unwrap();
        assert_eq!((again.id, again.crashes, again.lost), (job.id, 1, 0));
        assert_eq!(jobs.becomes(&again, crash).await, Became::Held);
        let view = jobs.view(job.id).await;
        assert_eq!((view.state, view.wait_reason.as_deref()), (State::Held, Some("poisoned")));
        assert_eq!(jobs.timeline(job.id).await, "crashed crashed held");
    })
    .await;
}

#[tokio::test]
async fn a_job_that_does_not_run_is_called_off_at_once() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let available = jobs.insert_one().await;
        assert_eq!(jobs.cancel(available).await, Act::Done);
        let scheduled = jobs.insert(vec![NewJob { delay: LONG, ..jobs.new_job() }]).await[0];
        assert_eq!(jobs.cancel(scheduled).await, Act::Done);
        jobs.insert_one().await;
        let orphaned = jobs.claim_for(1, GONE).await.pop().unwrap();
        assert_eq!(jobs.cancel(orphaned.id).await, Act::Done);
        assert!(!jobs.end(&orphaned, Ended::Completed).await);
        for id in [available, scheduled, orphaned.id] {
            let view = jobs.view(id).await;
            assert_eq!((view.state, view.last_error.as_deref()), (State::Cancelled, Some("called off")));
        }
        assert_eq!(jobs.cancel(available).await, Act::NotFound);
    })
    .await;
}

#[tokio::test]
async fn a_running_job_that_was_called_off_never_runs_again() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let crash = PutBack::Crash { how: "signal 9".into(), limit: 1 };
        let hold = PutBack::Hold { reason: HoldReason::NoRule, detail: String::new() };
        for how in [retry(Duration::ZERO), PutBack::Release, crash, hold] {
            let job = jobs.running().await;
            assert_eq!(jobs.cancel(job.id).await, Act::Requested);
            let held = [(job.id, job.lease_token, None)];
            let renewed = commit!(db, tx => store::renew(&mut tx, &held, LONG)).unwrap();
            assert!(renewed[0].cancel_requested, "the next heartbeat tells its run");
            assert_eq!(jobs.becomes(&job, how).await, Became::Cancelled);
            assert_eq!(jobs.state(job.id).await, State::Cancelled);
        }
        // Its process died with it: whoever takes over is told at once.
        let job = jobs.running().await;
        jobs.cancel(job.id).await;
        assert!(jobs.renew(&job, GONE).await);
        let taken = jobs.claim_for(1, BRIEF).await.pop().unwrap();
        assert!(taken.id == job.id && taken.cancel_requested);
    })
    .await;
}

#[tokio::test]
async fn a_stale_token_changes_nothing() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let mut job = jobs.running().await;
        let fresh = std::mem::replace(&mut job.lease_token, LeaseToken::fresh());
        assert!(!jobs.end(&job, Ended::Completed).await);
        assert!(!jobs.renew(&job, LONG).await);
        for how in [retry(LONG), PutBack::Release, PutBack::Crash { how: String::new(), limit: 1 }] {
            assert!(!jobs.put_back(&job, how).await);
        }
        let asked = [(job.id, job.lease_token), (job.id, fresh)];
        assert_eq!(commit!(db, tx => store::standing(&mut tx, &asked[..1])).unwrap(), []);
        assert_eq!(commit!(db, tx => store::standing(&mut tx, &asked[1..])).unwrap(), [job.id]);
        let view = jobs.view(job.id).await;
        assert_eq!((view.state, view.attempt, view.crashes), (State::Running, 0, 0));
        assert_eq!(jobs.timeline(job.id).await, "");
        assert_eq!(jobs.counts().await, (1, 0));
    })
    .await;
}

#[tokio::test]
async fn a_heartbeat_carries_progress_and_keeps_it() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let (one, two) = (jobs.running().await, jobs.running().await);
        let half = serde_json::json!({"part": 3, "of": 6});
        for progress in [Some(half.clone()), None] {
            let held = [(one.id, one.lease_token, progress), (two.id, two.lease_token, None)];
            assert_eq!(commit!(db, tx => store::renew(&mut tx, &held, LONG)).unwrap().len(), 2);
        }
        assert_eq!(jobs.view(one.id).await.progress, Some(half));
        assert_eq!(jobs.view(two.id).await.progress, None);
    })
    .await;
}

#[tokio::test]
async fn a_retry_is_a_new_job_that_names_the_old_one() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let old = jobs.running().await;
        jobs.end(&old, Ended::Failed).await;
        let new = jobs.insert(vec![NewJob { retry_of: Some(old.id), ..jobs.new_job() }]).await[0];
        assert!(new > old.id);
        assert_eq!(jobs.claim(1).await[0].retry_of, Some(old.id));
        assert_eq!(jobs.state(old.id).await, State::Failed);
        assert_eq!(jobs.view(new).await.retry_of, Some(old.id));
    })
    .await;
}

#[tokio::test]
async fn a_batch_with_one_bad_item_keeps_nothing_and_the_others_go_in_one_by_one() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let mut batch = vec![jobs.new_job(); 5];
        // Postgres refuses NUL in jsonb; SQLite takes any text, so something else refuses here.
        if db.is_pg() {
            batch[2].args = serde_json::json!({"subject": "a\0b"});
        } else {
            crate::execute(
                &db,
                "CREATE TRIGGER bad BEFORE INSERT ON job WHEN new.args LIKE '%bad%'
                BEGIN SELECT RAISE(ABORT, 'refused'); END",
            )
            .await;
            batch[2].args = serde_json::json!({"subject": "bad"});
        }
        let whole = batch.clone();
        let refused = commit!(db, tx => store::insert(&mut tx, &whole)).unwrap_err();
        assert_eq!(refused.kind(), DbErrorKind::Content);
        assert_eq!(jobs.counts().await, (0, 0));
        let mut kept = 0;
        for job in batch {
            kept += usize::from(commit!(db, tx => store::insert(&mut tx, &[job])).is_ok());
        }
        assert_eq!((kept, jobs.counts().await), (4, (4, 0)));
    })
    .await;
}

#[tokio::test]
async fn texts_from_outside_are_cut_and_cleaned_before_they_are_stored() {
    let long = "\0é".repeat(store::TEXT_BYTES);
    let stored = store::storable(&long);
    assert!(stored.len() <= store::TEXT_BYTES && stored.starts_with("\u{FFFD}é"));
    assert!(!stored.contains('\0'));
}

#[tokio::test]
async fn history_is_pruned_and_the_worst_end_stays_with_the_receipt() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let receipt = headworks::ids::ReceiptId(uuid::Uuid::from_u128(7));
        let text = "INSERT INTO receipt (id, source) VALUES ($1, 'mail')";
        commit!(db, tx => async {
            headworks::on_either!(&mut tx, c => { sqlx::query(text).bind(receipt).execute(c).await?; });
            Ok(())
        })
        .unwrap();
        jobs.insert(vec![NewJob { receipt_id: Some(receipt), ..jobs.new_job() }; 4]).await;
        let run = jobs.claim(4).await;
        jobs.end_all(&run[..1], Ended::Completed).await;
        jobs.end_all(&run[1..2], Ended::Failed).await;
        jobs.end_all(&run[2..3], Ended::Discarded).await;
        age_history(&db).await;
        jobs.end_all(&run[3..], Ended::Discarded).await;
        let day = Duration::from_secs(24 * 3600);
        assert!(commit!(db, tx => store::prune(&mut tx, day, 100)).unwrap() > 0);
        assert_eq!(jobs.counts().await, (0, 1));
        assert_eq!(number(&db, "SELECT CAST(worst_outcome AS bigint) FROM receipt").await, 1);
    })
    .await;
}

/// Moves the history three days back; on Postgres into a partition of that day.
async fn age_history(db: &Db) {
    if db.is_pg() {
        let make = "DO $$ DECLARE d date := (now() AT TIME ZONE 'UTC')::date - 3; BEGIN
            EXECUTE format('CREATE TABLE job_done_%s PARTITION OF job_done FOR VALUES FROM (%L) TO (%L)',
                           to_char(d, 'YYYYMMDD'), d || ' 00:00+00', d + 1 || ' 00:00+00'); END $$";
        crate::execute(db, make).await;
        crate::execute(db, "UPDATE job_done SET finished_at = finished_at - interval '3 days'").await;
    } else {
        crate::execute(db, "UPDATE job_done SET finished_at = finished_at - 3 * 86400000000").await;
    }
}
