//! Everything that is known about one delivery: its row, its jobs, its loads, its timeline.
//!
//! The timeline is derived from times that are stored anyway (of the delivery, its jobs and its loads); notes add the rest:
//! failed attempts, crashes, acts of operators.

use super::store::{self, DeliveryRow};
use crate::ids::{DeliveryId, JobId, Scope, Timestamp};
use crate::infra::db::{Db, DbError, View};
use crate::job::{self, store::Event, store::JobView};
use crate::load::query::{FindingRow, LoadRow, findings_of_load, loads_of_delivery};

/// One delivery and everything it led to.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Its row.
    pub delivery: DeliveryRow,
    /// Its jobs, newest first.
    pub jobs: Vec<JobView>,
    /// What happened, oldest first.
    pub timeline: Vec<Event>,
    /// What it led to.
    pub loads: Vec<Loaded>,
}

/// A load and its first findings.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its row.
    pub load: LoadRow,
    /// In order, cut at the caller's limit.
    pub findings: Vec<FindingRow>,
}

/// One job with its part of the story of its delivery.
#[derive(Debug, Clone)]
pub struct JobStory {
    /// What happened, oldest first.
    pub timeline: Vec<Event>,
    /// What it loaded.
    pub load: Option<Loaded>,
}

impl JobStory {
    /// Gathers it for a job that `scope` may see. Of its load at most `findings` are read.
    pub async fn of(db: &Db, scope: &Scope, job: &JobView, findings: u32) -> Result<Self, DbError> {
        let mut loads = match job.delivery_id {
            Some(delivery) => loads_of_delivery(db, scope, delivery).await?.into_iter(),
            None => Vec::new().into_iter(),
        };
        let load = match loads.find(|load| load.job_id == job.id) {
            Some(load) => Some(Loaded::of(db, scope, load, findings).await?),
            None => None,
        };
        let notes = job::store::timeline_of_job(&mut db.reader(View::State).await?.tx(), job).await?;
        let mut timeline = of_job(job);
        timeline.extend(load.iter().map(|loaded| of_load(&loaded.load)));
        timeline.extend(notes);
        timeline.sort_by_key(|event| event.at); // stable: equal times stay in the order of causes
        Ok(Self { timeline, load })
    }
}

impl Loaded {
    /// All loads of a delivery. Of each at most `findings` are read.
    pub async fn all(
        db: &Db,
        scope: &Scope,
        delivery: DeliveryId,
        findings: u32,
    ) -> Result<Vec<Self>, DbError> {
        let mut loads = Vec::new();
        for load in loads_of_delivery(db, scope, delivery).await? {
            loads.push(Self::of(db, scope, load, findings).await?);
        }
        Ok(loads)
    }

    async fn of(db: &Db, scope: &Scope, load: LoadRow, findings: u32) -> Result<Self, DbError> {
        let findings = findings_of_load(db, scope, load.id, 0, findings).await?;
        Ok(Self { load, findings })
    }
}

impl Trace {
    /// Gathers it; `None` where there is no such delivery for `scope`. Of each load at most `findings` are read.
    pub async fn of(db: &Db, scope: &Scope, id: DeliveryId, findings: u32) -> Result<Option<Self>, DbError> {
        let mut state = db.reader(View::State).await?;
        let Some(delivery) = store::get(scope, &mut state.tx(), id).await? else { return Ok(None) };
        let jobs = job::store::of_delivery(scope, &mut state.tx(), id).await?;
        let notes = job::store::timeline_of_delivery(scope, &mut state.tx(), id).await?;
        drop(state);
        let loads = Loaded::all(db, scope, id, findings).await?;
        let timeline = timeline(&delivery, &jobs, notes, &loads);
        Ok(Some(Self { delivery, jobs, timeline, loads }))
    }
}

fn timeline(delivery: &DeliveryRow, jobs: &[JobView], notes: Vec<Event>, loads: &[Loaded]) -> Vec<Event> {
    let mut events = of_delivery(delivery);
    events.extend(jobs.iter().rev().flat_map(of_job));
    events.extend(loads.iter().map(|loaded| of_load(&loaded.load)));
    events.extend(notes);
    events.sort_by_key(|event| event.at); // stable: equal times stay in the order of causes
    events
}

fn event(at: Timestamp, event: &'static str, job_id: Option<JobId>, detail: Option<String>) -> Event {
    Event { at, event: event.into(), job_id, actor: None, detail }
}

fn of_delivery(delivery: &DeliveryRow) -> Vec<Event> {
    let place = [&delivery.customer, &delivery.category, &delivery.type_, &delivery.group];
    let place: Vec<&str> = place.into_iter().filter_map(|word| word.as_deref()).collect();
    let mut events = vec![event(delivery.received_at, "received", None, Some(delivery.source.clone()))];
    events.extend(delivery.sorted_at.map(|at| event(at, "sorted", None, Some(place.join("/")))));
    events.extend(delivery.sealed_at.map(|at| event(at, "sealed", None, delivery.path.clone())));
    events
}

fn of_job(job: &JobView) -> Vec<Event> {
    let mut events = vec![event(job.created_at, "queued", Some(job.id), Some(job.queue.clone()))];
    events.extend(job.first_started_at.map(|at| event(at, "started", Some(job.id), None)));
    events
        .extend(job.finished_at.map(|at| event(at, job.state.word(), Some(job.id), job.last_error.clone())));
    events
}

fn of_load(load: &LoadRow) -> Event {
    let changed: u64 = load.row_counts.values().map(|counts| counts.inserted + counts.updated).sum();
    let detail = format!("{} {}: {changed} rows new or changed", load.module, load.parser_version);
    event(load.loaded_at, "loaded", Some(load.job_id), Some(detail))
}
