//! What is seen of jobs: states in SQL and in code are one thing, and a scope sees its own only.

use super::*;
use crate::stores::each_store;
use headworks::job::HoldReason;
use headworks::job::store::Filter;
use std::time::Instant;

#[tokio::test]
async fn the_state_a_filter_asks_for_is_the_state_that_is_shown() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        one_in_every_state(&jobs).await;
        let all = look!(db, tx => store::list(&Scope::All, &mut tx, &Filter::default(), 100)).unwrap();
        assert_eq!(all.len(), State::ALL.len());
        assert!(all.is_sorted_by(|a, b| a.id > b.id), "newest first");
        for state in State::ALL {
            let filter = Filter { state: Some(state), ..Filter::default() };
            let found = look!(db, tx => store::list(&Scope::All, &mut tx, &filter, 100)).unwrap();
            let shown: Vec<JobId> = all.iter().filter(|job| job.state == state).map(|job| job.id).collect();
            assert_eq!(found.iter().map(|job| job.id).collect::<Vec<_>>(), shown, "{state:?}");
            assert_eq!(found.len(), 1, "{state:?}");
            assert_eq!(found[0].state, state);
        }
    })
    .await;
}

async fn one_in_every_state(jobs: &Jobs) {
    for end in [Ended::Completed, Ended::Failed, Ended::Cancelled, Ended::Discarded] {
        let job = jobs.running().await;
        jobs.end(&job, end).await;
    }
    let hold = PutBack::Hold { reason: HoldReason::NoRule, detail: String::new() };
    for how in [retry(LONG), wait(LONG), hold] {
        let job = jobs.running().await;
        jobs.put_back(&job, how).await;
    }
    jobs.insert(vec![NewJob { delay: LONG, ..jobs.new_job() }]).await;
    jobs.running().await;
    let orphan = jobs.running().await;
    jobs.renew(&orphan, GONE).await;
    jobs.insert_one().await;
}

#[tokio::test]
async fn a_customer_sees_jobs_of_its_own_deliveries_only() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let delivery = headworks::ids::DeliveryId::fresh();
        let text =
            "INSERT INTO delivery (id, receipt_id, source, customer, received_at, digest, bytes, envelope)
                    VALUES ($1, $1, 'mail', 'ours', $2, $3, 0, '{}')";
        let digest = headworks::ids::Digest::of(b"");
        commit!(db, tx => async {
            let now = headworks::ids::Timestamp::now();
            headworks::on_either!(&mut tx, c => {
                sqlx::query(text).bind(delivery).bind(now).bind(digest).execute(c).await?;
            });
            Ok(())
        })
        .unwrap();
        let ours = jobs.insert(vec![NewJob { delivery_id: Some(delivery), ..jobs.new_job() }]).await[0];
        let nobodys = jobs.insert_one().await;
        let scope = |name: &str| Scope::Customer(name.parse().unwrap());
        for (scope, id, visible) in [
            (scope("ours"), ours, true),
            (scope("theirs"), ours, false),
            (scope("ours"), nobodys, false),
            (Scope::All, nobodys, true),
        ] {
            let found = look!(db, tx => store::get(&scope, &mut tx, id)).unwrap();
            assert_eq!(found.is_some(), visible);
        }
    })
    .await;
}

#[tokio::test]
async fn queue_depths_count_every_state() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        one_in_every_state(&jobs).await;
        let depths = look!(db, tx => store::queue_depths(&mut tx, None, 10)).unwrap();
        let [depth] = depths.as_slice() else { panic!("{depths:?}") };
        // Running is also what waits for its expired lease to be taken over.
        assert_eq!((depth.available, depth.running, depth.held), (1, 2, 1));
        assert_eq!((depth.scheduled, depth.retryable, depth.waiting), (1, 1, 1));
        assert!(depth.oldest_at.is_some() && !depth.paused);
    })
    .await;
}

#[tokio::test]
async fn held_jobs_are_counted_by_their_reason() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        for reason in [HoldReason::Malformed, HoldReason::NoRule] {
            let job = jobs.running().await;
            jobs.put_back(&job, PutBack::Hold { reason, detail: String::new() }).await;
        }
        one_in_every_state(&jobs).await;
        let counts = look!(db, tx => store::held_counts(&mut tx)).unwrap();
        let found: Vec<_> = counts.iter().map(|count| (count.reason.as_deref(), count.jobs)).collect();
        assert_eq!(found, [(Some("malformed"), 1), (Some("no_rule"), 2)]);
        assert!(counts.iter().all(|count| count.oldest_at.is_some()));
    })
    .await;
}

#[tokio::test]
async fn one_process_leads_until_it_is_silent_for_a_term() {
    each_store(|db| async move {
        let leader = |term: Duration| headworks::job::Leader::new(db.clone(), BootId::fresh(), term);
        let term = Duration::from_millis(200);
        let (first, second) = (leader(term), leader(LONG));
        assert!(first.leads("keep").await.unwrap());
        let silent = Instant::now();
        assert!(first.leads("keep").await.unwrap());
        if db.is_pg() {
            assert!(second.leads("another duty").await.unwrap());
            while !second.leads("keep").await.unwrap() {
                assert!(silent.elapsed() < Duration::from_secs(20), "nobody replaced the silent one");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert!(silent.elapsed() >= term, "{:?}", silent.elapsed());
            assert!(!first.leads("keep").await.unwrap());
        }
    })
    .await;
}
