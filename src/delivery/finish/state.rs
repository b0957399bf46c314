//! The half of a finish that concerns the job table and the delivery.

use super::{Created, Entry, Sorted, Work};
use crate::delivery::feature_rows::{FeatureRow, Origin, RowWriters};
use crate::delivery::rows::Rows;
use crate::delivery::store::{self, DeliveryRecord};
use crate::ids::{DeliveryId, JobId, LeaseToken, ReceiptId};
use crate::infra::db::{DbError, DbErrorKind, Tx};
use crate::job::store::{End, NewJob, Note, PutBack};
use crate::job::{self, Became, Finished, FinishedEnd};
use crate::load::NewLoad;
use crate::log;
use std::collections::HashMap;

/// The end of a job, in a form that can be tried again.
pub struct Ending {
    finished: Finished<Work>,
    /// The log entries of rows that an earlier try committed. SQLite only: there the rows have a commit of their own.
    written: Option<Vec<log::Entry>>,
}

impl Ending {
    pub fn new(finished: Finished<Work>) -> Self {
        Self { finished, written: None }
    }

    pub fn job(&self) -> JobId {
        self.finished.job.id
    }

    pub fn lease(&self) -> (JobId, LeaseToken) {
        (self.finished.job.id, self.finished.job.lease_token)
    }

    pub fn load(&self) -> Option<&(NewLoad, Rows)> {
        self.finished.work.as_ref()?.load.as_ref()
    }

    pub fn load_mut(&mut self) -> Option<(&NewLoad, &mut Rows)> {
        self.finished.work.as_mut()?.load.as_mut().map(|(load, rows)| (&*load, rows))
    }

    pub fn has_load(&self) -> bool {
        self.load().is_some()
    }

    pub fn has_rows_to_write(&self) -> bool {
        self.has_load() && self.written.is_none()
    }

    pub fn rows_are_written(&mut self, entries: Vec<log::Entry>) {
        self.written = Some(entries);
    }

    pub fn is_large(&self) -> bool {
        self.load().is_some_and(|(_, rows)| super::is_large(rows))
    }

    /// The end as the job table needs it.
    pub fn leaving(&self) -> Leaving {
        let (id, token) = self.lease();
        let report = self.finished.work.as_ref().and_then(|work| work.report.clone());
        match &self.finished.end {
            FinishedEnd::Ended(end, error) => {
                Leaving::Ends(End { id, token, end: *end, error: error.clone(), report })
            }
            FinishedEnd::PutBack(how) => Leaving::PutBack(id, token, how.clone(), report),
        }
    }

    /// Everything that follows the fence, except rows of modules.
    pub fn consequences(&self) -> Consequences {
        let job = &self.finished.job;
        let owner = Owner { job: job.id, receipt: job.receipt_id, delivery: job.delivery_id };
        let held = match &self.finished.end {
            FinishedEnd::PutBack(PutBack::Hold { reason, .. }) => Some(reason.word().to_owned()),
            _ => None,
        };
        let Some(work) = &self.finished.work else { return Consequences { held, ..Consequences::of(owner) } };
        let mut children = work.children.clone();
        for child in &mut children {
            child.parent_id = Some(self.job());
        }
        Consequences {
            delivery: work.delivery.clone(),
            sorted: work.sorted.clone(),
            children,
            rows: work.rows.clone(),
            notes: work.notes.clone(),
            entries: self.written.iter().flatten().chain(&work.entries).cloned().collect(),
            held,
            ..Consequences::of(owner)
        }
    }

    /// Whether its commit touches the row of another job, or others signal its own.
    pub fn meets_others(&self) -> bool {
        self.finished.job.signals.is_some()
            || matches!(self.finished.end, FinishedEnd::PutBack(PutBack::Wait { .. }))
    }

    /// The delivery that the run made and the job's row will name.
    pub fn adopted(&self) -> Option<DeliveryId> {
        self.finished.work.as_ref()?.delivery.as_ref().and_then(Created::adopted)
    }

    /// Whether it writes something to `state.db` that may be refused there because of its content.
    pub fn may_be_refused(&self) -> bool {
        self.finished.work.as_ref().is_some_and(|work| work.delivery.is_some() || !work.rows.is_empty())
    }
}

impl Created {
    pub(super) fn adopted(&self) -> Option<DeliveryId> {
        self.adopt.then_some(self.delivery.id)
    }
}

/// How a job leaves lane 0.
pub enum Leaving {
    /// Into the history.
    Ends(End),
    /// To an operator, with the report of its run, or to wait for a signal.
    PutBack(JobId, LeaseToken, PutBack, Option<serde_json::Value>),
}

/// What follows from the end of a job.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Consequences {
    /// `None` in an end that an older program stored: it has neither deliveries nor rows of features.
    #[serde(default)]
    pub owner: Option<Owner>,
    #[serde(default)]
    pub delivery: Option<Created>,
    pub sorted: Option<Sorted>,
    pub children: Vec<NewJob>,
    #[serde(default)]
    pub rows: Vec<FeatureRow>,
    pub notes: Vec<Note>,
    pub entries: Vec<log::Entry>,
    /// Word of the reason why the job, and with it its delivery, waits for an operator.
    #[serde(default)]
    pub held: Option<String>,
}

/// The job that ends, and what it belongs to.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct Owner {
    pub job: JobId,
    pub receipt: Option<ReceiptId>,
    pub delivery: Option<DeliveryId>,
}

impl Consequences {
    fn of(owner: Owner) -> Self {
        Self { owner: Some(owner), ..Self::default() }
    }

    /// The job was cancelled instead of being held or waiting: no child starts, and no operator is asked.
    fn cancel(&mut self) {
        self.children.clear();
        self.held = None;
        if let Some(sorted) = &mut self.sorted {
            sorted.held_reason = None;
        }
    }

    fn origin(&self) -> Origin {
        let created = self.delivery.as_ref().map(|created| created.delivery.id);
        let owner = self.owner;
        Origin {
            receipt_id: owner.and_then(|owner| owner.receipt),
            delivery_id: created.or(owner.and_then(|owner| owner.delivery)),
            job_id: owner.map(|owner| owner.job),
        }
    }
}

/// What the fence let through.
#[derive(Debug, Default)]
pub struct Fenced {
    /// The jobs whose lease we had, and what became of each.
    pub won: Vec<(JobId, Became)>,
    /// Jobs that their ends signal.
    signals: Vec<JobId>,
}

impl Fenced {
    /// What became of a job.
    pub fn became(&self, job: JobId) -> Became {
        self.won.iter().find(|(id, _)| *id == job).map_or(Became::Lost, |(_, became)| *became)
    }

    /// The jobs whose lease we had.
    pub fn jobs(&self) -> Vec<JobId> {
        self.won.iter().map(|(id, _)| *id).collect()
    }
}

/// Ends the jobs of a batch: only those returned still had their lease.
pub async fn fence(tx: &mut Tx<'_>, batch: &[Ending]) -> Result<Fenced, DbError> {
    // Batches whose jobs signal or wait for each other take the rows in one order. A large load commits alone and must not
    // hold the row of the job it signals that long.
    if batch.len() > 1 && batch.iter().any(Ending::meets_others) {
        let jobs: Vec<JobId> = batch.iter().map(Ending::job).collect();
        job::store::lock_with_signalled(tx, &jobs).await?;
    }
    for ending in batch {
        if let Some(delivery) = ending.adopted() {
            job::store::name_delivery(tx, ending.lease(), delivery).await?;
        }
    }
    leave(tx, batch.iter().map(Ending::leaving).collect()).await
}

/// As [`fence`], for ends that are not in a batch.
pub async fn leave(tx: &mut Tx<'_>, leaving: Vec<Leaving>) -> Result<Fenced, DbError> {
    let mut ends = Vec::new();
    let mut fenced = Fenced::default();
    for leaving in leaving {
        match leaving {
            Leaving::Ends(end) => ends.push(end),
            Leaving::PutBack(id, token, how, report) => {
                let became = job::store::put_back(tx, id, token, &how).await?;
                if became != Became::Lost {
                    fenced.won.push((id, became));
                }
                if let Some(report) = report.filter(|_| became == Became::Held) {
                    job::store::keep_report(tx, id, &report).await?;
                }
            }
        }
    }
    ends.sort_by_key(|end| end.id);
    if ends.is_empty() {
        return Ok(fenced);
    }
    let ended = job::store::end(tx, &ends).await?;
    fenced.signals.extend(ended.iter().filter_map(|won| won.signals));
    fenced.won.extend(ended.into_iter().map(|won| (won.id, Became::AsMeant)));
    Ok(fenced)
}

/// The whole end of a batch whose rows of modules are written, or will be.
pub async fn finish(tx: &mut Tx<'_>, writers: &RowWriters, batch: &[Ending]) -> Result<Fenced, DbError> {
    let fenced = fence(tx, batch).await?;
    apply(tx, writers, batch, &fenced, &[]).await?;
    Ok(fenced)
}

/// Writes what follows for jobs whose lease held; log entries last.
pub async fn apply(
    tx: &mut Tx<'_>,
    writers: &RowWriters,
    batch: &[Ending],
    fenced: &Fenced,
    rows: &[Entry],
) -> Result<(), DbError> {
    let won = fenced.jobs();
    let entries = rows.iter().filter(|(job, _)| won.contains(job)).map(|(_, entry)| entry.clone()).collect();
    let all = batch.iter().filter(|ending| won.contains(&ending.job())).map(Ending::consequences).collect();
    follow(tx, writers, fenced, all, entries).await
}

/// Deliveries, coordinates, children, rows of features, notes, signals, log.
pub async fn follow(
    tx: &mut Tx<'_>,
    writers: &RowWriters,
    fenced: &Fenced,
    mut all: Vec<Consequences>,
    mut entries: Vec<log::Entry>,
) -> Result<(), DbError> {
    for (job, _) in fenced.won.iter().filter(|(_, became)| *became == Became::Cancelled) {
        let cancelled = |one: &&mut Consequences| one.owner.is_some_and(|owner| owner.job == *job);
        all.iter_mut().filter(cancelled).for_each(Consequences::cancel);
    }
    create_deliveries(tx, &all).await?;
    let sorted: Vec<_> = all.iter().filter_map(|consequences| consequences.sorted.as_ref()).collect();
    store::set_sorted(tx, &sorted).await?;
    for one in all.iter().filter(|one| one.held.is_some() && one.sorted.is_none()) {
        if let Some(delivery) = one.owner.and_then(|owner| owner.delivery) {
            store::set_held(tx, delivery, one.held.as_deref()).await?;
        }
    }
    let children: Vec<NewJob> = all.iter().flat_map(|consequences| &consequences.children).cloned().collect();
    if !children.is_empty() {
        job::store::insert(tx, &children).await?;
    }
    let mut rows = Vec::new();
    for one in &all {
        rows.extend(one.rows.iter().map(|row| (one.origin(), row)));
    }
    writers.insert(tx, &rows).await?;
    let mut notes = Vec::new();
    for consequences in all {
        notes.extend(consequences.notes);
        entries.extend(consequences.entries);
    }
    job::store::note(tx, &notes).await?;
    job::store::signal(tx, &fenced.signals).await?;
    if entries.is_empty() { Ok(()) } else { log::append(tx, &entries).await.map(|_| ()) }
}

async fn create_deliveries(tx: &mut Tx<'_>, all: &[Consequences]) -> Result<(), DbError> {
    let created = all.iter().filter_map(|one| Some((one.owner?, one.delivery.as_ref()?)));
    let created: Vec<(Owner, &Created)> = created.collect();
    if created.is_empty() {
        return Ok(());
    }
    let receipts: Vec<ReceiptId> = created.iter().filter_map(|(owner, _)| owner.receipt).collect();
    let sources: HashMap<ReceiptId, String> = store::sources(tx, &receipts).await?.into_iter().collect();
    let mut records = Vec::with_capacity(created.len());
    for (owner, Created { delivery, received_at, .. }) in created {
        let Some((receipt_id, source)) = owner.receipt.and_then(|id| Some((id, sources.get(&id)?))) else {
            let why = format!("job {} has no receipt that a delivery could belong to", owner.job);
            return Err(DbError::new(DbErrorKind::Content, why));
        };
        let (received_at, created_by) = (*received_at, Some(owner.job));
        records.push(DeliveryRecord { delivery, path: None, receipt_id, source, received_at, created_by });
    }
    store::insert_deliveries(tx, &records).await
}
