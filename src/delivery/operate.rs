//! What operators do: release, assign, discard, cancel, retry, replay.
//!
//! Each is one transaction: what the operator may see, the change, and a note of who did it. Workers are woken after it.
//! A job outside the operator's scope does not exist.
//!
//! ```text
//!   held ──release──▶ available      the rules are asked again if the job is a `sort`
//!        ──assign───▶ available      with coordinates set by hand
//!        ──discard──▶ discarded      a rejection also by itself, after `held.keep`
//!   live ──cancel───▶ cancelled      at once, or once its run has stopped
//!   failed, cancelled, discarded ──retry──▶ a new job that names the old one
//! ```

use super::store;
use crate::ids::{Coordinates, DeliveryId, JobId, Scope, Slug, Timestamp};
use crate::infra::db::{Db, DbError, Lane, Tx};
use crate::job::store::{Act, Filter, JobView, NewJob, Note};
use crate::job::{self, Priority, QueueName, QueueRow, State, Wake};
use futures_util::future::BoxFuture;
use std::borrow::Cow;
use std::time::Duration;

/// Somebody who may act on jobs and deliveries.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The store.
    pub db: Db,
    /// Wakes workers.
    pub wake: Wake,
    /// Whose jobs they may touch.
    pub scope: Scope,
    /// Who they are, for the timeline.
    pub actor: String,
}

/// Why an act was refused.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// There is none with this id, or the operator may not see it.
    #[error("there is no such job or delivery")]
    NotFound,
    /// Its state does not allow this.
    #[error("{0}")]
    WrongState(Cow<'static, str>),
    /// The customer is not registered.
    #[error("customer {0} is not registered")]
    UnknownCustomer(Slug),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] DbError),
}

/// Result of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It has ended.
    Ended,
    /// It runs; its run is stopped.
    Requested,
}

pub(super) type ActResult<T> = Result<T, OperateError>;

/// Runs a block in [`Operator::act`].
macro_rules! act {
    ($operator:expr, $tx:ident => $body:block) => {
        $operator
            .act(move |mut $tx| {
                Box::pin(async move {
                    let $tx = &mut $tx;
                    $body
                })
            })
            .await
    };
}
pub(super) use act;

impl Operator {
    /// Runs a held job again.
    ///
    /// # Errors
    /// See [`OperateError`].
    pub async fn release(&self, id: JobId) -> ActResult<()> {
        let scope = self.scope.clone();
        let note = self.note("released", None);
        act!(self, tx => {
            let job = held(&scope, tx, id).await?;
            still_held(job::store::release(tx, id).await?)?;
            if let Some(delivery) = to_be_sorted(&job) {
                store::start_over(tx, delivery).await?;
            }
            no_longer_held(tx, &job, note).await
        })
    }

    /// Gives a held mail its coordinates and makes its job available.
    ///
    /// # Errors
    /// See [`OperateError`].
    pub async fn assign(&self, id: JobId, coordinates: Coordinates) -> ActResult<()> {
        let scope = self.scope.clone();
        let note = self.note("assigned", Some(coordinates.words().join("/")));
        act!(self, tx => {
            let job = held(&scope, tx, id).await?;
            let Some(delivery) = to_be_sorted(&job) else {
                return wrong("only mail that waits to be sorted can be given coordinates");
            };
            let foreign = scope.customer().is_some_and(|own| own != coordinates.customer.as_str());
            if foreign || !store::is_customer(tx, &coordinates.customer).await? {
                return Err(OperateError::UnknownCustomer(coordinates.customer));
            }
            still_held(job::store::release(tx, id).await?)?;
            store::assign(tx, delivery, &coordinates).await?;
            no_longer_held(tx, &job, note).await
        })
    }

    /// Ends a held job that is not needed.
    ///
    /// # Errors
    /// See [`OperateError`].
    pub async fn discard(&self, id: JobId) -> ActResult<()> {
        let (scope, why) = (self.scope.clone(), format!("discarded by {}", self.actor));
        let note = self.note("discarded", None);
        act!(self, tx => {
            let job = held(&scope, tx, id).await?;
            still_held(job::store::discard(tx, id, &why).await?)?;
            no_longer_held(tx, &job, note).await
        })
    }

    /// Cancels a job.
    ///
    /// # Errors
    /// See [`OperateError`].
    pub async fn cancel(&self, id: JobId) -> ActResult<Cancelled> {
        let (scope, why) = (self.scope.clone(), format!("cancelled by {}", self.actor));
        let note = self.note("cancelled", None);
        act!(self, tx => {
            let job = job::store::get(&scope, tx, id).await?.ok_or(OperateError::NotFound)?;
            let came = match job::store::cancel(tx, id, &why).await? {
                Act::Done => Cancelled::Ended,
                Act::Requested => Cancelled::Requested,
                Act::WrongState | Act::NotFound => return wrong("the job has ended"),
            };
            if job.state == State::Held {
                no_longer_held(tx, &job, note).await?;
            } else {
                job::store::note(tx, &[of_job(note, &job)]).await?;
            }
            Ok(came)
        })
    }

    /// Repeats a job that failed or was cancelled or discarded; returns the new one.
    ///
    /// # Errors
    /// See [`OperateError`].
    pub async fn retry(&self, id: JobId) -> ActResult<JobId> {
        let scope = self.scope.clone();
        let note = self.note("retried", Some(format!("repeats job {id}")));
        act!(self, tx => {
            let job = job::store::get(&scope, tx, id).await?.ok_or(OperateError::NotFound)?;
            match job.state {
                State::Failed | State::Cancelled | State::Discarded => {}
                State::Completed => return wrong("the job completed; replay its delivery instead"),
                _ => return wrong("the job has not ended"),
            }
            match (job.delivery_id, job.receipt_id) {
                (Some(delivery), _) => drop(store::lock(&scope, tx, delivery).await?),
                (None, Some(receipt)) => store::lock_receipt(tx, receipt).await?,
                (None, None) => {}
            }
            if let Some(other) = job::store::repetition(tx, &job).await? {
                return wrong(format!("job {other} repeats it"));
            }
            let args = job::store::arguments(tx, id).await?.ok_or(OperateError::NotFound)?;
            let Ok(queue) = job.queue.parse::<QueueName>() else {
                return wrong(format!("this version does not know jobs of kind {}", job.kind));
            };
            let queue = job::store::queue_row(tx, &queue).await?;
            let new = repetition(&job, queue, args);
            let made = job::store::insert(tx, &[new]).await?;
            let &made = made.first().ok_or(OperateError::NotFound)?;
            job::store::note(tx, &[of_job(note, &JobView { id: made, ..job })]).await?;
            Ok(made)
        })
    }

    pub(super) fn note(&self, event: &'static str, detail: Option<String>) -> Note {
        Note { event: event.into(), actor: Some(self.actor.clone()), detail, ..Note::default() }
    }

    /// Runs `f` in one transaction, which a refusal commits: it comes before the first change.
    pub(super) async fn act<T, F>(&self, f: F) -> ActResult<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(Tx<'c>) -> BoxFuture<'c, ActResult<T>> + Send + 'static,
    {
        let acting = self.db.write(Lane::State, |tx| {
            Box::pin(async move {
                match f(tx).await {
                    Err(OperateError::Store(error)) => Err(error),
                    answer => Ok(answer),
                }
            })
        });
        let done = acting.await??;
        self.wake.wake();
        Ok(done)
    }
}

fn still_held(act: Act) -> ActResult<()> {
    if act == Act::Done { Ok(()) } else { wrong("the job is not held any more") }
}

pub(super) fn wrong<T>(why: impl Into<Cow<'static, str>>) -> ActResult<T> {
    Err(OperateError::WrongState(why.into()))
}

fn of_job(note: Note, job: &JobView) -> Note {
    Note { delivery_id: job.delivery_id, job_id: Some(job.id), ..note }
}

fn repetition(job: &JobView, queue: QueueRow, args: serde_json::Value) -> NewJob {
    NewJob {
        queue,
        priority: Priority::Urgent,
        delivery_id: job.delivery_id,
        receipt_id: job.receipt_id,
        parent_id: None,
        retry_of: Some(job.id),
        signals: None,
        max_attempts: u16::try_from(job.max_attempts).unwrap_or(1),
        delay: Duration::ZERO,
        args,
    }
}

/// The delivery that a run of the job would sort.
fn to_be_sorted(job: &JobView) -> Option<DeliveryId> {
    job.delivery_id.filter(|_| job.kind.known().is_some_and(|kind| kind.facts().sorts))
}

async fn held(scope: &Scope, tx: &mut Tx<'_>, id: JobId) -> ActResult<JobView> {
    match job::store::get(scope, tx, id).await? {
        None => Err(OperateError::NotFound),
        Some(job) if job.state == State::Held => Ok(job),
        Some(job) => wrong(format!("the job is {}, not held", job.state.word())),
    }
}

/// Clears why the delivery of a job waits for an operator, and adds the note to the timeline.
async fn no_longer_held(tx: &mut Tx<'_>, job: &JobView, note: Note) -> ActResult<()> {
    if let Some(delivery) = job.delivery_id {
        store::set_held(tx, delivery, None).await?;
    }
    Ok(job::store::note(tx, &[of_job(note, job)]).await?)
}

/// Discards what is held as a rejection since before `before`, at most `limit` jobs; returns how many there were. Their
/// receipts say so from then on, and so does the timeline, with `why`.
pub async fn discard_rejections(
    tx: &mut Tx<'_>,
    before: Timestamp,
    why: &str,
    limit: i32,
) -> Result<usize, DbError> {
    let found = job::store::rejections(tx, before, limit).await?;
    for &(id, delivery) in &found {
        if job::store::discard(tx, id, why).await? != Act::Done {
            continue; // Somebody released it at this moment.
        }
        if let Some(delivery) = delivery {
            store::set_held(tx, delivery, None).await?;
        }
        let detail = Some(why.to_owned());
        let note = Note {
            delivery_id: delivery,
            job_id: Some(id),
            event: "discarded".into(),
            detail,
            ..Note::default()
        };
        job::store::note(tx, &[note]).await?;
    }
    Ok(found.len())
}

/// Jobs that wait for an operator, newest first, each with its delivery; at most `limit`, below `before`.
pub async fn list_held(
    scope: &Scope,
    tx: &mut Tx<'_>,
    filter: Filter,
    limit: u32,
) -> Result<Vec<(JobView, Option<store::DeliveryRow>)>, DbError> {
    let filter = Filter { state: Some(State::Held), ..filter };
    let jobs = job::store::list(scope, tx, &filter, limit).await?;
    let ids: Vec<DeliveryId> = jobs.iter().filter_map(|job| job.delivery_id).collect();
    let rows = store::of_ids(scope, tx, &ids).await?;
    let row = |job: &JobView| rows.iter().find(|row| Some(row.id) == job.delivery_id).cloned();
    Ok(jobs.into_iter().map(|job| (row(&job), job)).map(|(row, job)| (job, row)).collect())
}
