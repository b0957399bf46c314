//! The first commit: keys, repeats, batches, rows of doors.

use super::*;
use crate::stores::each_store;
use futures_util::future::join_all;
use headworks::delivery::{AcceptError, find_accepted};
use headworks::infra::db::DbErrorKind;
use headworks::job::State;

#[tokio::test]
async fn a_repeat_is_told_what_the_first_was_told_with_and_without_a_delivery() {
    each_store(|db| async move {
        let doors = Doors::open(&db, 1).await;
        for (key, delivery) in [(1, None), (2, Some(new_delivery()))] {
            let new =
                NewReceipt { delivery: delivery.clone(), jobs: vec![first_job(); 2], ..new_receipt(key, 1) };
            let first = doors.acceptor.accept(new.clone()).await.unwrap();
            assert_eq!(first.delivery_id, delivery.map(|delivery| delivery.id));
            assert_eq!((first.jobs.len(), first.duplicate, first.sealed), (2, false, false));
            let seen = doors.jobs(first.receipt_id).await;
            assert_eq!(seen.iter().map(|job| job.id).collect::<Vec<_>>(), first.jobs);
            assert!(seen.iter().all(|job| job.delivery_id == first.delivery_id), "{seen:?}");

            // A repeat may bring another id for its delivery; its history may be gone.
            crate::execute(&db, "DELETE FROM job").await;
            let mut again = new.clone();
            again.delivery = again.delivery.map(|_| new_delivery());
            let again = doors.acceptor.accept(again).await.unwrap();
            assert!(again.duplicate);
            assert_eq!((again.delivery_id, &again.jobs), (first.delivery_id, &first.jobs));
            let found = look!(db, tx => find_accepted(&mut tx, &new.key, &new.fingerprint)).unwrap();
            assert_eq!(found, Some(again));
            assert_eq!(doors.count("job").await, 0);
        }
        let nobody = look!(db, tx => find_accepted(&mut tx, &[9; 32], &Digest::of(b"x"))).unwrap();
        assert_eq!(nobody, None);
        assert_eq!((doors.count("receipt").await, doors.count("delivery").await), (2, 1));
        crate::execute(
            &db,
            "UPDATE delivery SET path = 'a', sorted_at = received_at, sealed_at = received_at",
        )
        .await;
        assert!(doors.acceptor.accept(new_receipt(2, 1)).await.unwrap().sealed);
    })
    .await;
}

#[tokio::test]
async fn a_key_with_another_fingerprint_is_flagged_or_refused() {
    each_store(|db| async move {
        let doors = Doors::open(&db, 1).await;
        doors.acceptor.accept(new_receipt(1, 1)).await.unwrap();
        let flagged = doors.acceptor.accept(new_receipt(1, 2)).await.unwrap();
        assert!(!flagged.duplicate);
        let reused = "SELECT count(*) FROM receipt WHERE key_reused";
        assert_eq!(crate::number(&db, reused).await, 1);

        let strict = |content| NewReceipt { reuse: Reuse::Refuse, ..new_receipt(1, content) };
        let refused = NewReceipt { delivery: Some(new_delivery()), rows: vec![notice("a")], ..strict(3) };
        let answer = doors.acceptor.accept(refused).await;
        assert!(matches!(answer, Err(AcceptError::KeyReused)), "{answer:?}");
        assert!(doors.acceptor.accept(strict(2)).await.unwrap().duplicate);
        let counts =
            [doors.count("receipt").await, doors.count("job").await, doors.count("ingest_key").await];
        assert_eq!(counts, [2, 2, 2]);
        assert_eq!((doors.count("delivery").await, doors.count("notice").await), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn of_two_at_once_one_is_the_first_in_one_batch_and_in_two() {
    each_store(|db| async move {
        crate::execute(&db, NOTICE).await;
        for (items, keys) in [(2, 0..5), (1, 5..10)] {
            let doors = Doors::open_again(&db, items).await;
            let other = Doors::open_again(&db, items).await;
            for key in keys {
                let second = if items == 1 { &other.acceptor } else { &doors.acceptor };
                let row = |word: &str| NewReceipt {
                    rows: vec![notice(&format!("{word} {key}"))],
                    jobs: Vec::new(),
                    ..new_receipt(key, 1)
                };
                let (a, b) = tokio::join!(doors.acceptor.accept(row("a")), second.accept(row("b")));
                let (a, b) = (a.unwrap(), b.unwrap());
                assert_eq!(a.receipt_id, b.receipt_id);
                assert_ne!(a.duplicate, b.duplicate);
            }
        }
        assert_eq!(notices(&db).await.len(), 10, "one row for each");
    })
    .await;
}

#[tokio::test]
async fn first_jobs_wait_and_run_as_they_were_asked_for() {
    each_store(|db| async move {
        let doors = Doors::open(&db, 1).await;
        let later = FirstJob { delay: Duration::from_secs(60), ..first_job() };
        let urgent = FirstJob { priority: Priority::Urgent, max_attempts: 7, ..first_job() };
        let other = FirstJob { queue: QueueName::parse("test/other"), ..first_job() };
        let told = FirstJob { args: serde_json::json!({ "object": "a" }), ..first_job() };
        let new = NewReceipt { jobs: vec![later, urgent, other, told], ..new_receipt(1, 1) };
        let jobs = doors.jobs(doors.acceptor.accept(new).await.unwrap().receipt_id).await;
        let states: Vec<State> = jobs.iter().map(|job| job.state).collect();
        assert_eq!(states, [State::Scheduled, State::Available, State::Available, State::Available]);
        assert_eq!((jobs[1].priority, jobs[1].max_attempts), (Priority::Urgent.code(), 7));
        assert_eq!(jobs[2].queue, "parse:test/other");
        assert_eq!(doors.claim(9).await[0].args, serde_json::json!({ "object": "a" }));

        let none = NewReceipt { jobs: Vec::new(), ..new_receipt(2, 1) };
        assert_eq!(doors.acceptor.accept(none).await.unwrap().jobs, []);
        // Far above the weight of a batch: it goes alone.
        let doors = Doors::open_again(&db, 100).await;
        let many = NewReceipt { jobs: vec![first_job(); 10_000], ..new_receipt(3, 1) };
        let (many, few) = tokio::join!(doors.acceptor.accept(many), doors.acceptor.accept(new_receipt(4, 1)));
        let (many, few) = (many.unwrap().jobs, few.unwrap().jobs);
        assert_eq!((many.len(), few.len()), (10_000, 1));
        assert!(many.is_sorted() && !many.contains(&few[0]));
        assert_eq!(doors.acceptor.accept(new_receipt(3, 1)).await.unwrap().jobs, many);
    })
    .await;
}

#[tokio::test]
async fn a_bad_row_of_a_door_spoils_only_its_own_item() {
    each_store(|db| async move {
        // One job and one row each: all ten in one batch.
        let doors = Doors::open(&db, 20).await;
        let new = |key: u8| {
            let row = match key {
                3 => notice("bad"),
                6 => FeatureRow { writer: "nobody".into(), ..notice("x") },
                _ => notice(&format!("word {key}")),
            };
            NewReceipt { delivery: (key < 5).then(new_delivery), rows: vec![row], ..new_receipt(key, 1) }
        };
        let answers = join_all((0..10).map(|key| doors.acceptor.accept(new(key)))).await;
        for (key, answer) in answers.iter().enumerate() {
            match answer {
                Ok(accepted) => assert!(!accepted.duplicate),
                Err(AcceptError::Store(error)) if key == 3 => assert_eq!(error.kind(), DbErrorKind::Content),
                Err(AcceptError::Store(error)) if key == 6 => {
                    assert!(error.to_string().contains("no feature writes rows named nobody"), "{error}");
                }
                Err(error) => panic!("{key}: {error}"),
            }
        }
        let written = notices(&db).await;
        let words: Vec<&str> = written.iter().map(|(word, _)| word.as_str()).collect();
        assert_eq!(words, [0, 1, 2, 4, 5, 7, 8, 9].map(|key| format!("word {key}")));
        let first = answers[0].as_ref().unwrap();
        let origin =
            Origin { receipt_id: Some(first.receipt_id), delivery_id: first.delivery_id, job_id: None };
        assert_eq!(written[0].1, origin);
        let counts = [doors.count("receipt").await, doors.count("job").await, doors.count("delivery").await];
        assert_eq!(counts, [8, 8, 4]);
        // A repeat writes nothing, or this word would be taken.
        let again = Doors::open_again(&db, 1).await.acceptor.accept(new(0)).await.unwrap();
        assert!(again.duplicate);
    })
    .await;
}
