//! A runner at work in a test, and handlers for it.

use super::*;
use headworks::ids::SpoolId;
use headworks::infra::db::{DbError, Lane, Tx};
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
pub type Work = String;

/// The one spool of every runner here.
pub const SPOOL: SpoolId = SpoolId(uuid::Uuid::from_u128(7));

/// A runner at work, with a keeper that promotes what is due.
pub struct Working {
    pub stop: CancellationToken,
    runner: JoinHandle<()>,
    keeper: JoinHandle<()>,
    pub leases: Leases,
    pub wake: Wake,
}

impl Working {
    pub fn start(jobs: &Jobs, settings: RunnerSettings, rules: QueueRules, handler: Handler<Work>) -> Self {
        Self::finishing_with(jobs, settings, rules, handler, finish(jobs.db.clone()))
    }

    pub fn finishing_with(
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
                let promoted = jobs
                    .db
                    .write(Lane::State, |mut tx| Box::pin(async move { store::promote(&mut tx, 500).await }));
                drop(promoted.await);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { runner: tokio::spawn(runner.run(stop.clone())), keeper, stop, leases, wake }
    }

    /// Returns once the runner has looked for work `rounds` times more: it reads the queues each time, and nothing else may read
    /// meanwhile.
    pub async fn looks(&self, jobs: &Jobs, rounds: u64) {
        let (wanted, deadline) = (jobs.db.reads() + rounds, Instant::now() + Duration::from_secs(60));
        while jobs.db.reads() < wanted {
            assert!(Instant::now() < deadline, "the runner does not look");
            self.wake.wake();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.runner.await.unwrap();
        self.keeper.await.unwrap();
        assert!(self.leases.is_empty(), "a lease is still renewed");
    }
}

/// Runs that wait to be let through; clones share them.
#[derive(Clone, Default)]
pub struct Gates(Arc<GatesState>);

struct GatesState {
    begun: AtomicUsize,
    ended: AtomicUsize,
    open: Semaphore,
}

impl Default for GatesState {
    fn default() -> Self {
        Self { begun: AtomicUsize::new(0), ended: AtomicUsize::new(0), open: Semaphore::new(0) }
    }
}

impl Gates {
    /// A handler whose runs end once they are let through.
    pub fn handler(&self) -> Handler<Work> {
        let gates = self.clone();
        handler(move |_| {
            let gates = gates.clone();
            async move { Outcome::Done(gates.pass().await) }
        })
    }

    /// Counts a run, and waits until it is let through.
    pub async fn pass(&self) -> Work {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        self.0.open.acquire().await.unwrap().forget();
        self.0.ended.fetch_add(1, Ordering::SeqCst);
        "written".into()
    }

    /// Lets `runs` more through.
    pub fn open(&self, runs: usize) {
        self.0.open.add_permits(runs);
    }

    /// How many have begun.
    pub fn count(&self) -> usize {
        self.0.begun.load(Ordering::SeqCst)
    }

    /// Returns once `runs` have begun.
    pub async fn begun(&self, runs: usize) {
        reached(&self.0.begun, runs).await;
    }

    /// Returns once `runs` have ended.
    pub async fn ended(&self, runs: usize) {
        reached(&self.0.ended, runs).await;
    }
}

pub async fn reached(counter: &AtomicUsize, wanted: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while counter.load(Ordering::SeqCst) < wanted {
        assert!(Instant::now() < deadline, "{counter:?} of {wanted}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The end and a note in one commit, as the product writes its rows.
pub fn finish(db: Db) -> Finish<Work> {
    Arc::new(move |finished| {
        let db = db.clone();
        Box::pin(async move { commit!(db, tx => finish_in(&mut tx, finished)) })
    })
}

async fn finish_in(tx: &mut Tx<'_>, finished: Finished<Work>) -> Result<Became, DbError> {
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

async fn write(tx: &mut Tx<'_>, job: &Job, became: Became, work: Option<Work>) -> Result<Became, DbError> {
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
