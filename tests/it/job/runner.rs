//! The runner: whatever a handler returns becomes the right row, and a stop loses nothing.

use super::*;
use crate::stores::each_store;
use headworks::ids::SpoolId;
use headworks::infra::db::{DbError, DbErrorKind};
use headworks::job::store::Note;
use headworks::job::{
    Backoff, Finish, Finished, FinishedEnd, Handler, HoldReason, Interrupted, Kind, Leases, Outcome,
    QueueRules, Run, Runner, RunnerSettings, Wake,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// No lease expires, however slow the machine is.
pub const SETTINGS: RunnerSettings = RunnerSettings {
    lease: LONG,
    claim_lag: Duration::from_millis(20),
    sweep: Duration::from_millis(100),
    poll_min: Duration::from_millis(5),
    poll_max: Duration::from_millis(50),
    max_crashes: 2,
    max_lost: 10,
    max_finishing: 512,
    grace: Duration::from_secs(5),
};
/// For tests about leases: heartbeats every 100 ms.
pub const BRIEF_LEASE: RunnerSettings = RunnerSettings { lease: Duration::from_millis(300), ..SETTINGS };
pub const RULES: QueueRules = QueueRules {
    concurrency: 4,
    prefetch: 4,
    max_attempts: 3,
    soft_timeout: Duration::from_secs(20),
    hard_timeout: Duration::from_secs(30),
    backoff: Backoff { base: Duration::from_millis(1), max: Duration::from_millis(2) },
};

/// What a finished job wants written here: one note.
type Work = String;

/// The one spool of every runner here.
const SPOOL: SpoolId = SpoolId(uuid::Uuid::from_u128(7));

/// A runner at work, with a keeper that promotes what is due.
pub struct Working {
    stop: CancellationToken,
    runner: JoinHandle<()>,
    keeper: JoinHandle<()>,
    pub leases: Leases,
    pub wake: Wake,
}

impl Working {
    pub fn start(jobs: &Jobs, settings: RunnerSettings, rules: QueueRules, handler: Handler<Work>) -> Self {
        Self::finishing_with(jobs, settings, rules, handler, finish(jobs.db.clone()))
    }

    fn finishing_with(
        jobs: &Jobs,
        settings: RunnerSettings,
        rules: QueueRules,
        handler: Handler<Work>,
        finish: Finish<Work>,
    ) -> Self {
        let (stop, leases, wake) = (CancellationToken::new(), Leases::default(), Wake::default());
        let kinds = Kind::ALL.iter().map(|&kind| (kind, Arc::clone(&handler)));
        let runner = Runner {
            db: jobs.db.clone(),
            worker: jobs.worker,
            settings,
            handlers: kinds.collect::<HashMap<_, _>>(),
            homes: vec![SPOOL],
            rules: Arc::new(move |_| Some(rules)),
            wake: wake.clone(),
            leases: leases.clone(),
            finish,
        };
        let (jobs, stopped) = (jobs.clone(), stop.clone());
        let keeper = tokio::spawn(async move {
            while !stopped.is_cancelled() {
                let promoted = jobs.db.write(headworks::infra::db::Lane::State, |mut tx| {
                    Box::pin(async move { store::promote(&mut tx, 500).await })
                });
                drop(promoted.await);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { runner: tokio::spawn(runner.run(stop.clone())), keeper, stop, leases, wake }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.runner.await.unwrap();
        self.keeper.await.unwrap();
        assert!(self.leases.is_empty(), "a lease is still renewed");
    }
}

/// The end and a note in one commit, as the product writes its rows.
fn finish(db: Db) -> Finish<Work> {
    Arc::new(move |finished| {
        let db = db.clone();
        Box::pin(async move { commit!(db, tx => finish_in(&mut tx, finished)) })
    })
}

async fn finish_in(
    tx: &mut headworks::infra::db::Tx<'_>,
    finished: Finished<Work>,
) -> Result<Became, DbError> {
    let Finished { job, work, end } = finished;
    let (end, error) = match end {
        FinishedEnd::PutBack(how) => {
            let became = store::put_back(tx, job.id, job.lease_token, &how).await?;
            return if matches!(how, PutBack::Wait { .. }) {
                write(tx, &job, became, work).await
            } else {
                Ok(became)
            };
        }
        FinishedEnd::Ended(end, error) => (end, error),
    };
    let end = End { id: job.id, token: job.lease_token, end, error, report: None };
    let won = !store::end(tx, &[end]).await?.is_empty();
    write(tx, &job, if won { Became::AsMeant } else { Became::Lost }, work).await
}

async fn write(
    tx: &mut headworks::infra::db::Tx<'_>,
    job: &Job,
    became: Became,
    work: Option<Work>,
) -> Result<Became, DbError> {
    if let (true, Some(work)) = (became != Became::Lost, work) {
        let note = Note { job_id: Some(job.id), event: "work".into(), detail: Some(work), ..Note::default() };
        store::note(tx, &[note]).await?;
    }
    Ok(became)
}

/// A handler from a plain function of the run.
pub fn handler<R>(f: impl Fn(Run) -> R + Send + Sync + 'static) -> Handler<Work>
where
    R: Future<Output = Outcome<Work>> + Send + 'static,
{
    Arc::new(move |run| Box::pin(f(run)))
}

/// Does what the job's arguments say.
pub async fn obey(run: Run) -> Outcome<Work> {
    let word = run.job.args["do"].as_str().unwrap_or("done").to_owned();
    let first = run.job.attempt == 0 && run.job.crashes == 0;
    let error = format!("{word} at attempt {}", run.job.attempt);
    match word.as_str() {
        "done" => Outcome::Done("written".into()),
        "fail" => Outcome::Failed { error, work: Some("findings".into()) },
        "retry once" if first => Outcome::Retry { error },
        "retry" => Outcome::Retry { error },
        "hold" => Outcome::Hold { reason: HoldReason::NoRule, detail: error, work: None },
        "crash once" if first => Outcome::Crashed { how: error },
        "crash" => Outcome::Crashed { how: error },
        "wait" => {
            let until = headworks::ids::Timestamp::now().after(LONG);
            Outcome::Wait { until, reason: "verdict".into(), work: Some("asked".into()) }
        }
        "snooze once"
            if run.job.created_at.after(Duration::from_millis(30)) > headworks::ids::Timestamp::now() =>
        {
            Outcome::Snooze { after: Duration::from_millis(40), reason: error }
        }
        "work in time" => {
            let work = std::future::pending::<Result<Work, Interrupted>>();
            run.in_time(work).await.map_or_else(Outcome::from, Outcome::Done)
        }
        "wait for others" => {
            let freed = async {
                // Longer than any limit here.
                tokio::time::sleep(Duration::from_millis(1500)).await;
                Ok::<_, Interrupted>("written".to_owned())
            };
            run.wait(freed).await.map_or_else(Outcome::from, Outcome::Done)
        }
        "for ever" => std::future::pending().await,
        _ => Outcome::Done("written".into()),
    }
}

impl Jobs {
    pub fn job_that(&self, word: &str) -> NewJob {
        NewJob { args: serde_json::json!({ "do": word }), ..self.new_job() }
    }

    pub async fn wait_for(&self, id: JobId, state: State) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let view = self.view(id).await;
            if view.state == state {
                return;
            }
            assert!(Instant::now() < deadline, "not {state:?}: {view:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

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
        let deadline = Instant::now() + Duration::from_secs(20);
        while ended.load(Ordering::SeqCst) == 0 {
            assert!(Instant::now() < deadline, "the run was not stopped");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
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
        let working = Working::start(&jobs, SETTINGS, rules, handler(obey));
        let once = |word: &str| NewJob { max_attempts: 1, ..jobs.job_that(word) };
        let words = ["work in time", "for ever", "wait for others"];
        let ids = jobs.insert(words.map(once).to_vec()).await;
        let errors = ["stopped after soft_timeout of 100ms", "stopped after 1s, twice soft_timeout"];
        for (id, error) in ids.iter().zip(errors) {
            jobs.wait_for(*id, State::Failed).await;
            assert_eq!(jobs.view(*id).await.last_error.as_deref(), Some(error));
        }
        jobs.wait_for(ids[2], State::Completed).await;
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
        let slow = handler(|_| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Outcome::Done("written".into())
        });
        let working = Working::start(&jobs, SETTINGS, RULES, slow);
        let id = jobs.insert_one().await;
        jobs.wait_for(id, State::Running).await;
        working.stop().await;
        assert_eq!(jobs.state(id).await, State::Completed);
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
        let start = |jobs: &Jobs| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            let count = handler(move |run| {
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    obey(run).await
                }
            });
            Working::start(jobs, SETTINGS, RULES, count)
        };
        let both = [start(&jobs), start(&jobs)];
        let ids = jobs.insert_plain(COUNT).await;
        for id in ids {
            jobs.wait_for(id, State::Completed).await;
        }
        for working in both {
            working.stop().await;
        }
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
