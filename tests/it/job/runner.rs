//! The runner: whatever a handler returns becomes the right row, and a stop loses nothing.

use super::working::{
    BRIEF_LEASE, Gates, RULES, SETTINGS, SPOOL, Work, Working, finish, handler, obey, reached,
};
use super::*;
use crate::stores::each_store;
use headworks::infra::db::{DbError, DbErrorKind};
use headworks::job::{Finish, Interrupted, Outcome, QueueRules, RunnerSettings, Wake};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn every_outcome_becomes_its_state() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let working = Working::start(&jobs, SETTINGS, RULES, handler(obey));
        let table = [
            ("done", State::Completed, (0, 0), "work"),
            ("fail", State::Failed, (1, 0), "work"),
            ("retry once", State::Completed, (1, 0), "attempt_failed work"),
            ("retry", State::Failed, (3, 0), "attempt_failed attempt_failed"),
            ("snooze once", State::Completed, (0, 0), "work"),
            ("hold", State::Held, (0, 0), "held"),
            ("wait", State::Waiting, (0, 0), "work"),
            ("crash once", State::Completed, (0, 1), "crashed work"),
            ("crash", State::Held, (0, 2), "crashed crashed held"),
        ];
        let ids = jobs.insert(table.iter().map(|(word, ..)| jobs.job_that(word)).collect()).await;
        for (id, (word, state, counts, events)) in ids.into_iter().zip(table) {
            jobs.wait_for(id, state).await;
            let view = jobs.view(id).await;
            assert_eq!((view.attempt, view.crashes), counts, "{word}");
            assert_eq!(view.lost, 0, "{word}");
            assert_eq!(jobs.timeline(id).await, events, "{word}");
        }
        working.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_mail_that_is_out_of_attempts_is_held() {
    each_store(|db| async move {
        let jobs = Jobs::on_queue(db, QueueName::sort(SPOOL)).await;
        let working = Working::start(&jobs, SETTINGS, RULES, handler(obey));
        let id = jobs.insert(vec![jobs.job_that("retry")]).await[0];
        jobs.wait_for(id, State::Held).await;
        let view = jobs.view(id).await;
        assert_eq!((view.attempt, view.wait_reason.as_deref()), (3, Some("out_of_attempts")));
        assert_eq!(view.last_error.as_deref(), Some("retry at attempt 2"));
        working.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_run_hears_at_the_next_heartbeat_that_it_was_called_off() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let working = Working::start(&jobs, BRIEF_LEASE, RULES, handler(obey));
        let id = jobs.insert(vec![jobs.job_that("for ever")]).await[0];
        jobs.wait_for(id, State::Running).await;
        assert_eq!(jobs.cancel(id).await, Act::Requested);
        jobs.wait_for(id, State::Cancelled).await;
        working.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_run_that_lost_its_lease_is_stopped_and_writes_nothing() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let ended = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&ended);
        // Only sees that it was given up: whatever it would return is in vain.
        let watching = handler(move |run| {
            let gone = DropCount(Arc::clone(&seen));
            async move {
                let outcome = obey(run).await;
                drop(gone);
                outcome
            }
        });
        let working = Working::start(&jobs, BRIEF_LEASE, RULES, watching);
        let id = jobs.insert(vec![jobs.job_that("for ever")]).await[0];
        jobs.wait_for(id, State::Running).await;
        // Somebody else took it, and holds it for long.
        let other = uuid::Uuid::new_v4().simple();
        let token = if jobs.db.is_pg() { format!("'{other}'") } else { format!("x'{other}'") };
        let until = headworks::ids::Timestamp::now().after(LONG);
        let until = if jobs.db.is_pg() { format!("'{until}'") } else { until.0.to_string() };
        let text = format!("UPDATE job SET lease_token = {token}, lease_until = {until} WHERE id = {id}");
        crate::execute(&jobs.db, &text).await;
        reached(&ended, 1).await;
        working.stop().await;
        let view = jobs.view(id).await;
        assert_eq!((view.state, view.attempt, view.crashes), (State::Running, 0, 0));
        assert_eq!(jobs.timeline(id).await, "");
    })
    .await;
}

struct DropCount(Arc<AtomicUsize>);

impl Drop for DropCount {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn work_is_stopped_in_time_and_a_run_given_up_and_what_waits_for_others_is_neither() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let rules = QueueRules {
            soft_timeout: Duration::from_millis(100),
            hard_timeout: Duration::from_secs(1),
            max_attempts: 1,
            ..RULES
        };
        let gates = Gates::default();
        let others = gates.clone();
        let perform = handler(move |run| {
            let others = others.clone();
            async move {
                if run.job.args["do"] != "wait for others" {
                    return obey(run).await;
                }
                let freed = async { Ok::<_, Interrupted>(others.pass().await) };
                run.wait(freed).await.map_or_else(Outcome::from, Outcome::Done)
            }
        });
        let working = Working::start(&jobs, SETTINGS, rules, perform);
        let once = |word: &str| NewJob { max_attempts: 1, ..jobs.job_that(word) };
        let waits = jobs.insert(vec![once("wait for others")]).await[0];
        gates.begun(1).await;
        let ids = jobs.insert(["work in time", "for ever"].map(once).to_vec()).await;
        let errors = ["stopped after soft_timeout of 100ms", "stopped after 1s, twice soft_timeout"];
        for (id, error) in ids.iter().zip(errors) {
            jobs.wait_for(*id, State::Failed).await;
            assert_eq!(jobs.view(*id).await.last_error.as_deref(), Some(error));
        }
        // It began before those that were out of time.
        assert_eq!(jobs.state(waits).await, State::Running);
        gates.open(1);
        jobs.wait_for(waits, State::Completed).await;
        working.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_stop_gives_back_what_runs_too_long_and_what_was_never_started() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let settings = RunnerSettings { grace: Duration::from_millis(50), ..SETTINGS };
        let rules = QueueRules { concurrency: 2, ..RULES };
        let working = Working::start(&jobs, settings, rules, handler(obey));
        let ids = jobs.insert(vec![jobs.job_that("for ever"); 3]).await;
        for id in &ids {
            jobs.wait_for(*id, State::Running).await;
        }
        working.stop().await;
        for id in ids {
            let view = jobs.view(id).await;
            let counts = (view.attempt, view.crashes, view.lost);
            assert_eq!((view.state, counts), (State::Available, (0, 0, 0)));
        }
    })
    .await;
}

#[tokio::test]
async fn a_stop_lets_runs_finish_within_the_grace() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let gates = Gates::default();
        let settings = RunnerSettings { grace: LONG, ..SETTINGS };
        let rules = QueueRules { concurrency: 1, ..RULES };
        let working = Working::start(&jobs, settings, rules, gates.handler());
        let ids = jobs.insert_plain(2).await;
        gates.begun(1).await;
        jobs.wait_for(ids[1], State::Running).await;
        working.stop.cancel();
        // Once what was claimed ahead is given back, the runner is stopping.
        jobs.wait_for(ids[1], State::Available).await;
        gates.open(1);
        working.stop().await;
        assert_eq!(jobs.state(ids[0]).await, State::Completed);
        assert_eq!(jobs.state(ids[1]).await, State::Available);
    })
    .await;
}

#[tokio::test]
async fn a_job_whose_lease_was_lost_too_often_is_held() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let id = jobs.insert_one().await;
        for _ in 0..SETTINGS.max_lost {
            jobs.claim_for(1, GONE).await;
        }
        let working = Working::start(&jobs, BRIEF_LEASE, RULES, handler(obey));
        jobs.wait_for(id, State::Held).await;
        let view = jobs.view(id).await;
        assert_eq!((view.wait_reason.as_deref(), view.lost), (Some("lost"), 10));
        working.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_slow_commit_keeps_its_lease() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let (inner, gate) = (finish(db), Arc::new(Semaphore::new(0)));
        let may_commit = Arc::clone(&gate);
        let slow: Finish<Work> = Arc::new(move |finished| {
            let (commit, may_commit) = (inner(finished), Arc::clone(&may_commit));
            Box::pin(async move {
                may_commit.acquire().await.unwrap().forget();
                commit.await
            })
        });
        let settings = RunnerSettings { lease: Duration::from_secs(2), ..SETTINGS };
        let working = Working::finishing_with(&jobs, settings, RULES, handler(obey), slow);
        let id = jobs.insert_one().await;
        jobs.wait_for(id, State::Running).await;
        // Four renewals are more than one lease.
        let lease_until = format!("SELECT lease_until FROM job WHERE id = {id}");
        let lease_until = if jobs.db.is_pg() {
            lease_until
                .replace("lease_until FROM", "(extract(epoch FROM lease_until) * 1000000)::bigint FROM")
        } else {
            lease_until
        };
        let (mut last, mut renewals) = (number(&jobs.db, &lease_until).await, 0);
        let deadline = Instant::now() + Duration::from_secs(60);
        while renewals < 4 {
            assert!(Instant::now() < deadline, "{renewals} renewals");
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = number(&jobs.db, &lease_until).await;
            renewals += i32::from(now > last);
            last = now;
        }
        gate.add_permits(1);
        jobs.wait_for(id, State::Completed).await;
        assert_eq!((jobs.view(id).await.lost, jobs.timeline(id).await.as_str()), (0, "work"));
        working.stop().await;
    })
    .await;
}

#[tokio::test]
async fn only_a_refused_result_costs_an_attempt_and_a_store_that_is_away_does_not() {
    for (kind, attempts, events) in
        [(DbErrorKind::Unavailable, 0, "work"), (DbErrorKind::Content, 1, "attempt_failed work")]
    {
        each_store(|db| async move {
            let jobs = Jobs::on(db.clone()).await;
            let (inner, calls) = (finish(db), AtomicUsize::new(0));
            let once: Finish<Work> = Arc::new(move |finished| match calls.fetch_add(1, Ordering::SeqCst) {
                0 => Box::pin(async move { Err(DbError::new(kind, "the first time")) }),
                _ => inner(finished),
            });
            let working = Working::finishing_with(&jobs, SETTINGS, RULES, handler(obey), once);
            let id = jobs.insert_one().await;
            jobs.wait_for(id, State::Completed).await;
            assert_eq!((jobs.view(id).await.attempt, jobs.timeline(id).await.as_str()), (attempts, events));
            working.stop().await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_run_every_job_once_and_no_more_at_once_than_allowed() {
    const COUNT: usize = 400;
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let shares = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let start = |share: &Arc<AtomicUsize>| {
            let (now, most, share) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(share));
            let count = handler(move |run| {
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                share.fetch_add(1, Ordering::SeqCst);
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    obey(run).await
                }
            });
            Working::start(&jobs, SETTINGS, RULES, count)
        };
        let both = shares.each_ref().map(start);
        let ids = jobs.insert_plain(COUNT).await;
        for id in ids {
            jobs.wait_for(id, State::Completed).await;
        }
        for working in both {
            working.stop().await;
        }
        let shares = shares.map(|share| share.load(Ordering::SeqCst));
        assert!(shares.iter().all(|share| *share > 0), "one had all of them: {shares:?}");
        assert!(most.load(Ordering::SeqCst) <= 8, "{most:?} at once");
        let count = i64::try_from(COUNT).unwrap();
        assert_eq!(jobs.counts().await, (0, count));
        assert_eq!(number(&jobs.db, "SELECT count(*) FROM timeline WHERE event = 'work'").await, count);
    })
    .await;
}

#[tokio::test]
async fn a_wake_up_beats_the_poll_within_and_across_processes() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let lazy = RunnerSettings { poll_min: LONG, poll_max: LONG, ..SETTINGS };
        let working = Working::start(&jobs, lazy, RULES, handler(obey));
        let stop = CancellationToken::new();
        let elsewhere = Wake::default();
        let relays: Vec<_> = [&working.wake, &elsewhere]
            .map(|wake| {
                let (wake, db, stop) = (wake.clone(), db.clone(), stop.clone());
                tokio::spawn(async move { wake.relay(&db, &stop).await })
            })
            .into_iter()
            .collect();
        let mut wakers = vec![&working.wake];
        if db.is_pg() {
            wakers.push(&elsewhere);
        }
        for wake in wakers {
            // Nobody says when a relay has begun to listen, so it is woken until it hears. The poll would be minutes away.
            let id = jobs.insert_one().await;
            let deadline = Instant::now() + Duration::from_secs(20);
            while jobs.state(id).await != State::Completed {
                assert!(Instant::now() < deadline, "the wake-up was not heard");
                wake.wake();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        stop.cancel();
        for relay in relays {
            relay.await.unwrap();
        }
        working.stop().await;
    })
    .await;
}
