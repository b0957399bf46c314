//! The half of a finish that concerns the job table and the delivery.

use super::{Entry, Sorted, Work};
use crate::delivery::rows::Rows;
use crate::delivery::store;
use crate::ids::{JobId, LeaseToken};
use crate::infra::db::{DbError, Tx};
use crate::job::store::{End, NewJob, Note, PutBack};
use crate::job::{self, Became, Ended, Finished, FinishedEnd};
use crate::load::{LogEntry, NewLoad};
use crate::log::{self, TopicId};
use std::collections::{BTreeMap, HashMap};

/// A job on its way out, in a form that can be tried again.
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

    pub fn rows(&self) -> u64 {
        self.load().map_or(0, |(_, rows)| rows.len())
    }

    /// The end as the job table needs it.
    pub fn leaving(&self) -> Leaving {
        let (id, token) = self.lease();
        let report = self.finished.work.as_ref().and_then(|work| work.report.clone());
        let ended = |end, error| Leaving::Ends(End { id, token, end, error, report: report.clone() });
        match &self.finished.end {
            FinishedEnd::Completed => ended(Ended::Completed, None),
            FinishedEnd::Failed(error) => ended(Ended::Failed, Some(error.clone())),
            FinishedEnd::Cancelled => ended(Ended::Cancelled, Some("called off while it ran".into())),
            FinishedEnd::Held(reason, detail) => {
                Leaving::PutBack(id, token, PutBack::Hold { reason: *reason, detail: detail.clone() })
            }
            FinishedEnd::Waiting { until, reason } => {
                Leaving::PutBack(id, token, PutBack::Wait { until: *until, reason: reason.clone() })
            }
        }
    }

    /// Everything that follows the fence, but for rows.
    pub fn consequences(&self) -> Consequences {
        let Some(work) = &self.finished.work else { return Consequences::default() };
        let mut children = work.children.clone();
        for child in &mut children {
            child.parent_id = Some(self.job());
        }
        Consequences {
            sorted: work.sorted.clone(),
            children,
            notes: work.notes.clone(),
            entries: self.written.iter().flatten().chain(&work.entries).cloned().collect(),
        }
    }
}

/// How a job leaves lane 0.
pub enum Leaving {
    /// Into the history.
    Ends(End),
    /// To an operator, or to wait for a signal.
    PutBack(JobId, LeaseToken, PutBack),
}

/// What follows from the end of a job.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Consequences {
    pub sorted: Option<Sorted>,
    pub children: Vec<NewJob>,
    pub notes: Vec<Note>,
    pub entries: Vec<log::Entry>,
}

/// The jobs that were ours to end, and what became of each.
pub type Fenced = Vec<(JobId, Became)>;

/// Ends the jobs of a batch: only those returned were ours to end.
pub async fn fence(tx: &mut Tx<'_>, batch: &[Ending]) -> Result<Fenced, DbError> {
    leave(tx, batch.iter().map(Ending::leaving).collect()).await
}

/// As [`fence`], for ends that are not a batch's.
pub async fn leave(tx: &mut Tx<'_>, leaving: Vec<Leaving>) -> Result<Fenced, DbError> {
    let mut ends = Vec::new();
    let mut won = Vec::new();
    for leaving in leaving {
        match leaving {
            Leaving::Ends(end) => ends.push(end),
            Leaving::PutBack(id, token, how) => match job::store::put_back(tx, id, token, &how).await? {
                Became::Lost => {}
                became => won.push((id, became)),
            },
        }
    }
    ends.sort_by_key(|end| end.id);
    if ends.is_empty() {
        return Ok(won);
    }
    let ended = job::store::end(tx, &ends).await?;
    let signals: Vec<JobId> = ended.iter().filter_map(|won| won.signals).collect();
    if !signals.is_empty() {
        job::store::signal(tx, &signals).await?;
    }
    won.extend(ended.into_iter().map(|won| (won.id, Became::AsMeant)));
    Ok(won)
}

/// Writes what follows for those who won; log entries last.
pub async fn apply(tx: &mut Tx<'_>, batch: &[Ending], won: &[JobId], rows: &[Entry]) -> Result<(), DbError> {
    let mut entries: Vec<log::Entry> =
        rows.iter().filter(|(job, _)| won.contains(job)).map(|(_, entry)| entry.clone()).collect();
    let all: Vec<Consequences> =
        batch.iter().filter(|ending| won.contains(&ending.job())).map(Ending::consequences).collect();
    follow(tx, all, &mut entries).await
}

/// Coordinates, children, notes, log.
pub async fn follow(
    tx: &mut Tx<'_>,
    all: Vec<Consequences>,
    entries: &mut Vec<log::Entry>,
) -> Result<(), DbError> {
    let sorted: Vec<_> = all.iter().filter_map(|consequences| consequences.sorted.as_ref()).collect();
    store::set_sorted(tx, &sorted).await?;
    let mut children = Vec::new();
    let mut notes = Vec::new();
    for consequences in all {
        children.extend(consequences.children);
        notes.extend(consequences.notes);
        entries.extend(consequences.entries);
    }
    if !children.is_empty() {
        job::store::insert(tx, &children).await?;
    }
    job::store::note(tx, &notes).await?;
    if entries.is_empty() { Ok(()) } else { log::append(tx, entries).await.map(|_| ()) }
}

/// Topics of published tables, by name.
pub type Topics = HashMap<String, TopicId>;

/// A published row as a log entry; none where its table was published after this process started.
pub fn published(topics: &Topics, entry: LogEntry) -> Option<log::Entry> {
    Some(log::Entry {
        topic: *topics.get(&entry.topic)?,
        key: Some(entry.key.into_bytes()),
        headers: BTreeMap::new(),
        body: entry.body,
    })
}
