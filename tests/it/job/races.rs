//! Two at once: whichever wins, the job ends once and its state is one of those the diagram knows.

use super::*;
use crate::stores::each_store;
use headworks::job::HoldReason;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Times each race is run.
const ROUNDS: usize = 1000;
/// Races run beside each other.
const ABREAST: usize = 8;

/// One round of a race.
struct Round {
    jobs: Jobs,
    number: usize,
    contest: Arc<Contest>,
}

/// What the rounds of a race saw.
#[derive(Default)]
struct Contest {
    left_first: AtomicUsize,
    right_first: AtomicUsize,
    overlapping: AtomicUsize,
}

impl Round {
    /// Sends both at once; which one is sent first changes every round.
    async fn both<L: Future, R: Future>(&self, left: L, right: R) -> (L::Output, R::Output) {
        let (left, right) = (timed(left), timed(right));
        let ((left, left_begun, left_done), (right, right_begun, right_done)) =
            if self.number.is_multiple_of(2) {
                tokio::join!(left, right)
            } else {
                let (right, left) = tokio::join!(right, left);
                (left, right)
            };
        let first = if left_done < right_done { &self.contest.left_first } else { &self.contest.right_first };
        first.fetch_add(1, Ordering::SeqCst);
        let overlap = left_begun < right_done && right_begun < left_done;
        self.contest.overlapping.fetch_add(usize::from(overlap), Ordering::SeqCst);
        (left, right)
    }
}

/// Runs `work`; also returns when it began and when it ended.
async fn timed<F: Future>(work: F) -> (F::Output, Instant, Instant) {
    let begun = Instant::now();
    (work.await, begun, Instant::now())
}

impl Contest {
    /// A race that one side always wins, or that never happens, shows nothing.
    fn assert_contested(&self, rounds: usize) {
        let [left, right, both] = [&self.left_first, &self.right_first, &self.overlapping]
            .map(|count| count.load(Ordering::SeqCst));
        eprintln!(
            "of {rounds} rounds left was first in {left}, right in {right}; both were under way in {both}"
        );
        assert_eq!(left + right, rounds);
        assert!(left >= rounds / 20 && right >= rounds / 20 && both >= rounds / 2);
    }
}

impl Jobs {
    /// Runs `race` on every one of `runs`, several at a time, and sees to it that the races were contested.
    async fn each<T, R>(&self, runs: Vec<T>, race: impl Fn(Round, T) -> R + Send + Sync + 'static)
    where
        T: Send + 'static,
        R: Future<Output = ()> + Send,
    {
        let (race, contest, rounds) = (Arc::new(race), Arc::new(Contest::default()), runs.len());
        let mut lanes: Vec<Vec<T>> = (0..ABREAST).map(|_| Vec::new()).collect();
        for (n, run) in runs.into_iter().enumerate() {
            lanes[n % ABREAST].push(run);
        }
        let mut tasks = tokio::task::JoinSet::new();
        for lane in lanes {
            let (jobs, race, contest) = (self.clone(), Arc::clone(&race), Arc::clone(&contest));
            tasks.spawn(async move {
                for (number, run) in lane.into_iter().enumerate() {
                    let round = Round { jobs: jobs.clone(), number, contest: Arc::clone(&contest) };
                    race(round, run).await;
                }
            });
        }
        tasks.join_all().await;
        contest.assert_contested(rounds);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_late_end_and_a_new_claim_cannot_both_have_the_job() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        jobs.insert_plain(ROUNDS).await;
        let expired = jobs.claim_for(ROUNDS, GONE).await;
        let rounds = expired.len();
        jobs.each(expired, |round, old| async move {
            let (ended, taken) =
                round.both(round.jobs.end(&old, Ended::Completed), round.jobs.claim_for(1, RACE)).await;
            if let Some(new) = taken.first()
                && new.id == old.id
            {
                assert!(!ended, "both had {}", old.id);
            }
            for new in taken {
                assert!(round.jobs.end(&new, Ended::Completed).await);
            }
        })
        .await;
        for rest in jobs.claim(ROUNDS).await {
            assert!(jobs.end(&rest, Ended::Completed).await);
        }
        assert_eq!(jobs.counts().await, (0, i64::try_from(rounds).unwrap()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_ends_once_however_often_its_end_is_repeated() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        jobs.insert_plain(ROUNDS).await;
        let runs = jobs.claim(ROUNDS).await;
        jobs.each(runs, |round, run| async move {
            let twice = [run.clone(), run.clone()];
            let (a, b) = round
                .both(round.jobs.end_all(&twice, Ended::Completed), round.jobs.end(&run, Ended::Failed))
                .await;
            assert_eq!(a.len() + usize::from(b), 1);
        })
        .await;
        assert_eq!(jobs.counts().await, (0, i64::try_from(ROUNDS).unwrap()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_heartbeat_never_revives_a_lease_that_somebody_else_took() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        jobs.insert_plain(ROUNDS).await;
        let expired = jobs.claim_for(ROUNDS, GONE).await;
        jobs.each(expired, |round, old| async move {
            let (_, taken) = round.both(round.jobs.renew(&old, LONG), round.jobs.claim_for(1, RACE)).await;
            for new in &taken {
                assert!(round.jobs.stands(new).await, "the newer lease on {}", new.id);
                assert!(
                    new.id != old.id || !round.jobs.renew(&old, LONG).await,
                    "the older lease on {}",
                    new.id
                );
            }
        })
        .await;
        assert_eq!(jobs.counts().await, (i64::try_from(ROUNDS).unwrap(), 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancelled_job_is_completed_or_cancelled_and_never_both() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        jobs.insert_plain(ROUNDS).await;
        let runs = jobs.claim(ROUNDS).await;
        jobs.each(runs, |round, run| async move {
            let (ended, act) =
                round.both(round.jobs.end(&run, Ended::Completed), round.jobs.cancel(run.id)).await;
            assert!(ended, "a lease that stands is honoured");
            assert!(matches!(act, Act::Requested | Act::NotFound), "{act:?}");
        })
        .await;
        assert_eq!(jobs.counts().await, (0, i64::try_from(ROUNDS).unwrap()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_that_is_called_off_while_it_is_put_back_ends_as_cancelled() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        jobs.insert_plain(ROUNDS).await;
        let runs = jobs.claim(ROUNDS).await;
        jobs.each(runs, |round, run| async move {
            let (back, act) =
                round.both(round.jobs.put_back(&run, retry(LONG)), round.jobs.cancel(run.id)).await;
            assert!(back && matches!(act, Act::Requested | Act::Done), "{act:?}");
        })
        .await;
        assert_eq!(jobs.counts().await, (0, i64::try_from(ROUNDS).unwrap()));
        assert_eq!(number(&jobs.db, "SELECT count(*) FROM job_done WHERE outcome = 2").await, 1000);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_due_job_that_is_cancelled_is_gone_whoever_comes_first() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let due = vec![NewJob { delay: Duration::from_micros(1), ..jobs.new_job() }; ROUNDS];
        let ids = jobs.insert(due).await;
        jobs.each(ids, |round, id| async move {
            let (promoted, act) = round.both(round.jobs.promote_some(1), round.jobs.cancel(id)).await;
            assert!(promoted <= 1);
            assert_eq!(act, Act::Done);
        })
        .await;
        assert_eq!(jobs.counts().await, (0, i64::try_from(ROUNDS).unwrap()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_signal_and_a_deadline_let_a_job_go_on_once() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        jobs.insert_plain(ROUNDS / 10).await;
        let runs = jobs.claim(ROUNDS / 10).await;
        for run in &runs {
            jobs.put_back(run, wait(Duration::ZERO)).await;
        }
        jobs.each(runs, |round, run| async move {
            let id = run.id;
            let signal = async { commit!(round.jobs.db, tx => store::signal(&mut tx, &[id])) };
            let promote = async { commit!(round.jobs.db, tx => store::promote(&mut tx, 1)) };
            let (signalled, _) = round.both(signal, promote).await;
            assert!(signalled.unwrap() <= 1);
        })
        .await;
        assert_eq!(jobs.claim(ROUNDS).await.len(), ROUNDS / 10, "each can be claimed once");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_that_name_their_jobs_in_opposite_orders_never_wait_for_each_other() {
    const BATCH: usize = 40;
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        jobs.insert_plain(BATCH).await;
        let forth = jobs.claim(BATCH).await;
        let back: Vec<Job> = forth.iter().rev().cloned().collect();
        jobs.each((0..ROUNDS / 10).collect(), move |round, _| {
            let (forth, back) = (forth.clone(), back.clone());
            async move {
                let held =
                    |runs: &[Job]| runs.iter().map(|run| (run.id, run.lease_token, None)).collect::<Vec<_>>();
                let (a, b) = (held(&forth), held(&back));
                let hold = |run: &Job| End {
                    id: run.id,
                    token: headworks::ids::LeaseToken::fresh(),
                    end: Ended::Completed,
                    error: None,
                    report: None,
                };
                let (c, d): (Vec<End>, Vec<End>) =
                    (forth.iter().map(hold).collect(), back.iter().map(hold).collect());
                let db = &round.jobs.db;
                let renew =
                    |held: Vec<_>| async move { commit!(db, tx => store::renew(&mut tx, &held, LONG)) };
                let end = |ends: Vec<End>| async move { commit!(db, tx => store::end(&mut tx, &ends)) };
                let forth = async { tokio::join!(renew(a), end(c)) };
                let back = async { tokio::join!(renew(b), end(d)) };
                let ((a, c), (b, d)) = round.both(forth, back).await;
                assert!(a.is_ok() && b.is_ok() && c.is_ok() && d.is_ok());
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn waiting_jobs_signalled_in_opposite_orders_go_on_without_a_deadlock() {
    const BATCH: usize = 20;
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        jobs.insert_plain(BATCH).await;
        for _ in 0..5 {
            // The second signal of the round before was kept: one wait takes it, the next one lasts.
            let text = "SELECT count(*) FROM job WHERE lane = 2";
            while number(&jobs.db, text).await < i64::try_from(BATCH).unwrap() {
                for run in jobs.claim(BATCH).await {
                    jobs.put_back(&run, wait(LONG)).await;
                }
            }
            let filter = store::Filter { state: Some(State::Waiting), ..store::Filter::default() };
            let forth: Vec<JobId> = look!(jobs.db, tx => store::list(&Scope::All, &mut tx, &filter, 100))
                .unwrap()
                .iter()
                .map(|job| job.id)
                .collect();
            let back: Vec<JobId> = forth.iter().rev().copied().collect();
            let (a, b) =
                tokio::join!(async { commit!(jobs.db, tx => store::signal(&mut tx, &forth)) }, async {
                    commit!(jobs.db, tx => store::signal(&mut tx, &back))
                });
            assert_eq!(a.unwrap() + b.unwrap(), u64::try_from(BATCH).unwrap());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_held_job_is_released_or_discarded_and_never_both() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        jobs.insert_plain(ROUNDS / 5).await;
        let runs = jobs.claim(ROUNDS / 5).await;
        for run in &runs {
            let hold = PutBack::Hold { reason: HoldReason::NoRule, detail: String::new() };
            jobs.put_back(run, hold).await;
        }
        jobs.each(runs, |round, run| async move {
            let (released, discarded) =
                round.both(round.jobs.release(run.id), round.jobs.discard(run.id)).await;
            let state = round.jobs.state(run.id).await;
            match (released, discarded) {
                (Act::Done, Act::WrongState) => assert_eq!(state, State::Available),
                (Act::NotFound, Act::Done) => assert_eq!(state, State::Discarded),
                other => panic!("{other:?}, now {state:?}"),
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_day_that_is_missing_at_midnight_is_made_by_many_at_once_and_the_end_repeated() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let run = jobs.running().await;
        if !db.is_pg() {
            return;
        }
        let drop_all = "DO $$ DECLARE t text; BEGIN
            FOR t IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'job_done'::regclass
            LOOP EXECUTE 'DROP TABLE ' || t; END LOOP; END $$";
        crate::execute(&db, drop_all).await;
        let end =
            End { id: run.id, token: run.lease_token, end: Ended::Completed, error: None, report: None };
        let refused = commit!(db, tx => store::end(&mut tx, &[end])).unwrap_err();
        assert_eq!(refused.kind(), headworks::infra::db::DbErrorKind::MissingPartition);
        assert!(refused.is_temporary());
        assert_eq!(jobs.state(run.id).await, State::Running, "nothing of the end was kept");
        let makers = (0..4).map(|_| async { commit!(db, tx => store::make_days(&mut tx)) });
        for made in futures_util::future::join_all(makers).await {
            made.unwrap();
        }
        assert!(jobs.end(&run, Ended::Completed).await);
    })
    .await;
}
