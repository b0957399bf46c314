//! The job core on both stores: every state change, every race of `contracts/jobs.md` 5.5 that exists yet, outages, and
//! the plans that make claims cheap.

mod claim;
mod end;
mod outage;
mod pause;
mod plans;
mod races;
mod runner;
pub mod server;
mod told;
mod unknown;
mod view;
mod waiting;
mod worker;
mod working;

use crate::number;
use headworks::ids::{BootId, JobId, Scope, Timestamp};
use headworks::infra::db::Db;
use headworks::job::store::{Act, Claim, End, JobView, PutBack, Want};
use headworks::job::{Became, Ended, Job, NewJob, Priority, QueueName, QueueRow, State, store};
use std::time::Duration;

/// A lease that outlasts every test.
const LONG: Duration = Duration::from_secs(600);
/// A lease under which expired ones may be taken over at once: the server must have been up for as long as it.
const BRIEF: Duration = Duration::from_secs(1);
/// As [`BRIEF`], for races, which last longer; on a server that is younger nobody takes over, and nobody may.
const RACE: Duration = Duration::from_secs(20);
/// A lease that has expired by the next statement.
const GONE: Duration = Duration::ZERO;

/// A store with one queue, one worker and its days made.
#[derive(Clone)]
struct Jobs {
    db: Db,
    name: String,
    row: QueueRow,
    queue: i16,
    worker: i32,
}

impl Jobs {
    async fn on(db: Db) -> Self {
        Self::on_queue(db, QueueName::parse("test")).await
    }

    async fn on_queue(db: Db, queue: QueueName) -> Self {
        let name = queue.to_string();
        commit!(db, tx => store::make_days(&mut tx)).unwrap();
        let row = commit!(db, tx => store::queue_row(&mut tx, &queue)).unwrap();
        let worker = commit!(db, tx => store::register_worker(&mut tx, BootId::fresh(), "here")).unwrap();
        Self { db, name, row, queue: row.id, worker }
    }

    fn new_job(&self) -> NewJob {
        NewJob {
            queue: self.row,
            priority: Priority::Normal,
            delivery_id: None,
            receipt_id: None,
            parent_id: None,
            retry_of: None,
            signals: None,
            max_attempts: 3,
            delay: Duration::ZERO,
            args: serde_json::json!({}),
        }
    }

    async fn insert(&self, jobs: Vec<NewJob>) -> Vec<JobId> {
        commit!(self.db, tx => store::insert(&mut tx, &jobs)).unwrap()
    }

    async fn insert_plain(&self, count: usize) -> Vec<JobId> {
        self.insert(vec![self.new_job(); count]).await
    }

    async fn insert_one(&self) -> JobId {
        self.insert_plain(1).await[0]
    }

    /// Claims up to `count` jobs of priority normal; takes over expired leases.
    async fn claim_for(&self, count: usize, lease: Duration) -> Vec<Job> {
        let priority = Priority::Normal.code();
        let want = Want { queue: self.queue, priority, floor: 0, count: i32::try_from(count).unwrap() };
        let claim = Claim { wants: vec![want], worker: self.worker, lease, take_expired: true };
        let mut jobs = commit!(self.db, tx => store::claim(&mut tx, &claim)).unwrap();
        jobs.sort_by_key(|job| job.pos);
        jobs
    }

    async fn claim(&self, count: usize) -> Vec<Job> {
        self.claim_for(count, LONG).await
    }

    /// Inserts one job and claims it.
    async fn running(&self) -> Job {
        let id = self.insert_one().await;
        let mut claimed = self.claim(1).await;
        let job = claimed.pop().unwrap();
        assert_eq!(job.id, id, "another job stood in the way");
        job
    }

    /// Ends a job; `false`: the lease was lost.
    async fn end(&self, job: &Job, end: Ended) -> bool {
        !self.end_all(std::slice::from_ref(job), end).await.is_empty()
    }

    /// Ends jobs in one statement and returns those that were ours.
    async fn end_all(&self, jobs: &[Job], end: Ended) -> Vec<JobId> {
        let end = |job: &Job| End { id: job.id, token: job.lease_token, end, error: None, report: None };
        let ends: Vec<End> = jobs.iter().map(end).collect();
        let won = commit!(self.db, tx => store::end(&mut tx, &ends)).unwrap();
        won.into_iter().map(|won| won.id).collect()
    }

    /// Puts a job back; `false`: the lease was lost.
    async fn put_back(&self, job: &Job, how: PutBack) -> bool {
        self.becomes(job, how).await != Became::Lost
    }

    /// Puts a job back, and what became of it.
    async fn becomes(&self, job: &Job, how: PutBack) -> Became {
        let (id, token) = (job.id, job.lease_token);
        commit!(self.db, tx => store::put_back(&mut tx, id, token, &how)).unwrap()
    }

    async fn renew(&self, job: &Job, lease: Duration) -> bool {
        let held = [(job.id, job.lease_token, None)];
        !commit!(self.db, tx => store::renew(&mut tx, &held, lease)).unwrap().is_empty()
    }

    /// Whether the lease is still this run's, even while somebody else has the row locked.
    async fn stands(&self, job: &Job) -> bool {
        let held = [(job.id, job.lease_token)];
        !commit!(self.db, tx => store::standing(&mut tx, &held)).unwrap().is_empty()
    }

    async fn promote(&self) -> u64 {
        self.promote_some(10_000).await
    }

    async fn promote_some(&self, limit: i32) -> u64 {
        commit!(self.db, tx => store::promote(&mut tx, limit)).unwrap()
    }

    /// Signals a job; returns whether that made it available.
    async fn signal(&self, id: JobId) -> bool {
        commit!(self.db, tx => store::signal(&mut tx, &[id])).unwrap() == 1
    }

    async fn cancel(&self, id: JobId) -> Act {
        commit!(self.db, tx => store::cancel(&mut tx, id, "called off")).unwrap()
    }

    async fn release(&self, id: JobId) -> Act {
        commit!(self.db, tx => store::release(&mut tx, id)).unwrap()
    }

    async fn discard(&self, id: JobId) -> Act {
        commit!(self.db, tx => store::discard(&mut tx, id, "not needed")).unwrap()
    }

    async fn view(&self, id: JobId) -> JobView {
        look!(self.db, tx => store::get(&Scope::All, &mut tx, id)).unwrap().unwrap()
    }

    async fn state(&self, id: JobId) -> State {
        self.view(id).await.state
    }

    /// Jobs in the live table and in the history.
    async fn counts(&self) -> (i64, i64) {
        let live = number(&self.db, "SELECT count(*) FROM job").await;
        (live, number(&self.db, "SELECT count(*) FROM job_done").await)
    }

    /// Words of the timeline of a job, oldest first, joined by spaces.
    async fn timeline(&self, id: JobId) -> String {
        let text = "SELECT event FROM timeline WHERE job_id = $1 ORDER BY id";
        let mut reader = self.db.reader(headworks::infra::db::View::State).await.unwrap();
        let events: Vec<String> =
            headworks::on_either!(&mut reader.tx(), c => sqlx::query_scalar(text).bind(id).fetch_all(c).await)
                .unwrap();
        events.join(" ")
    }
}

/// A wait for a verdict of at most `span`.
fn wait(span: Duration) -> PutBack {
    PutBack::Wait { until: Timestamp::now().after(span), reason: "verdict".into() }
}

fn retry(wait: Duration) -> PutBack {
    PutBack::Retry { wait, error: "broke".into() }
}
