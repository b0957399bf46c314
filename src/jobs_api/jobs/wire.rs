//! Jobs as clients see them.

use crate::delivery::{self, JobStory, Loaded};
use crate::ids::{DeliveryId, JobId, LoadId, ReceiptId, Timestamp};
use crate::job::store::JobView;
use crate::job::{State, StoredKind};
use crate::jobs_api::BASE;
use crate::load;
use crate::load::query::{FindingRow, LoadRow};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A job.
#[derive(Debug, Serialize, ToSchema)]
pub struct Job {
    /// Never used twice.
    pub id: JobId,
    /// State at the time of the answer.
    pub state: State,
    /// What it does; a number if this version does not know the kind.
    pub kind: StoredKind,
    /// Name of its queue.
    pub queue: String,
    /// 0 urgent, 1 normal, 2 low, 3 idle.
    pub priority: i16,
    /// Delivery it works on.
    pub delivery_id: Option<DeliveryId>,
    /// Receipt it counts in.
    pub receipt_id: Option<ReceiptId>,
    /// Job that made it.
    pub parent_id: Option<JobId>,
    /// Finished job it repeats.
    pub retry_of: Option<JobId>,
    /// Way in of its delivery, or of its receipt where it has no delivery.
    pub source: Option<String>,
    /// Coordinates of its delivery, as far as they are known; where it has none, the customer of its receipt.
    pub customer: Option<String>,
    /// See `customer`.
    pub category: Option<String>,
    /// See `customer`.
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// See `customer`.
    pub group: Option<String>,
    /// Runs that failed.
    pub attempt: i16,
    /// Failed runs it may have.
    pub max_attempts: i16,
    /// Module processes that died on it.
    pub crashes: i16,
    /// Leases that only expired.
    pub lost: i16,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it first ran.
    pub started_at: Option<Timestamp>,
    /// When it is due, or its wait ends.
    pub run_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it waits or is held.
    pub wait_reason: Option<String>,
    /// Last error.
    pub last_error: Option<String>,
    /// How far it is, as its run said last: its `step` (`split`, `tree`; `expand`, `module`, `results`), and `rows` and
    /// `findings` so far where there are many.
    pub progress: Option<serde_json::Value>,
    /// What its run said of itself at the end.
    pub report: Option<serde_json::Value>,
    /// Where to read on.
    pub links: Links,
}

/// Where to read on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Links {
    /// This job.
    #[serde(rename = "self")]
    pub this: String,
    /// Its delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// Its receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// The job that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The job it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
}

/// A job and what happened to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobDetail {
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// What happened, oldest first.
    pub timeline: Vec<Event>,
    /// What it loaded.
    pub load: Option<Load>,
    /// The first thousand findings of that load.
    pub findings: Vec<Finding>,
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Stable word.
    pub event: String,
    /// Which job, where it concerns one.
    pub job_id: Option<JobId>,
    /// Name of the key that did it; null: headworks.
    pub actor: Option<String>,
    /// What exactly.
    pub detail: Option<String>,
}

/// The rows one job produced.
#[derive(Debug, Serialize, ToSchema)]
pub struct Load {
    /// Its id: `load_id` of its rows.
    pub id: LoadId,
    /// Who read it.
    pub module: String,
    /// In which version.
    pub parser_version: String,
    /// In which job.
    pub job_id: JobId,
    /// The module's word for how it went.
    pub outcome: String,
    /// The profile that shaped the rows.
    pub profile: Option<String>,
    /// What became of its rows, by table.
    pub rows: BTreeMap<String, Counts>,
    /// How many findings it has.
    pub findings: i64,
    /// When it was stored.
    pub loaded_at: Timestamp,
}

/// What became of one load's rows of one table.
#[derive(Debug, Serialize, ToSchema)]
pub struct Counts {
    /// Rows with a new key.
    pub inserted: u64,
    /// Rows that took the place of an older one that said something else.
    pub updated: u64,
    /// Rows that said what was known already.
    pub duplicate: u64,
    /// Rows that were older than what is there.
    pub stale: u64,
}

/// A warning with a place.
#[derive(Debug, Serialize, ToSchema)]
pub struct Finding {
    /// Its load.
    pub load_id: LoadId,
    /// `info`, `warning` or `error`.
    pub severity: String,
    /// Which check spoke.
    pub rule: String,
    /// Path of the part.
    pub part: String,
    /// 1-based line or record.
    pub line: Option<i64>,
    /// Byte in the part.
    pub byte_offset: Option<i64>,
    /// Which field.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
    /// The offending text.
    pub excerpt: String,
}

/// What came of an act on a job.
#[derive(Debug, Serialize, ToSchema)]
pub struct Acted {
    /// The job: for a retry the new one.
    pub id: JobId,
    /// `done`, or `requested` where a run has to hear of it first.
    pub came: &'static str,
}

impl From<JobView> for Job {
    fn from(job: JobView) -> Self {
        let links = Links {
            this: format!("{BASE}/jobs/{}", job.id),
            delivery: job.delivery_id.map(|id| format!("{BASE}/deliveries/{id}")),
            receipt: job.receipt_id.map(|id| format!("{BASE}/receipts/{id}")),
            parent: job.parent_id.map(|id| format!("{BASE}/jobs/{id}")),
            retry_of: job.retry_of.map(|id| format!("{BASE}/jobs/{id}")),
        };
        Self {
            id: job.id,
            state: job.state,
            kind: job.kind,
            queue: job.queue,
            priority: job.priority,
            delivery_id: job.delivery_id,
            receipt_id: job.receipt_id,
            parent_id: job.parent_id,
            retry_of: job.retry_of,
            source: job.source,
            customer: job.customer,
            category: job.category,
            type_: job.type_,
            group: job.group,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            crashes: job.crashes,
            lost: job.lost,
            created_at: job.created_at,
            started_at: job.first_started_at,
            run_at: job.run_at,
            finished_at: job.finished_at,
            wait_reason: job.wait_reason,
            last_error: job.last_error,
            progress: job.progress,
            report: job.report,
            links,
        }
    }
}

impl From<delivery::Event> for Event {
    fn from(event: delivery::Event) -> Self {
        Self {
            at: event.at,
            event: event.event.into_owned(),
            job_id: event.job_id,
            actor: event.actor,
            detail: event.detail,
        }
    }
}

impl From<LoadRow> for Load {
    fn from(load: LoadRow) -> Self {
        Self {
            id: load.id,
            module: load.module,
            parser_version: load.parser_version,
            job_id: load.job_id,
            outcome: load.outcome,
            profile: load.profile,
            rows: load.row_counts.into_iter().map(|(table, counts)| (table, counts.into())).collect(),
            findings: load.findings,
            loaded_at: load.loaded_at,
        }
    }
}

impl From<load::Counts> for Counts {
    fn from(counts: load::Counts) -> Self {
        let load::Counts { inserted, updated, duplicate, stale } = counts;
        Self { inserted, updated, duplicate, stale }
    }
}

impl From<FindingRow> for Finding {
    fn from(finding: FindingRow) -> Self {
        Self {
            load_id: finding.load_id,
            severity: finding.severity,
            rule: finding.rule,
            part: finding.part,
            line: finding.line,
            byte_offset: finding.byte_offset,
            field: finding.field,
            message: finding.message,
            excerpt: finding.excerpt,
        }
    }
}

impl JobDetail {
    /// `job` with its story.
    pub fn of(job: JobView, story: JobStory) -> Self {
        let (load, findings) = match story.load {
            Some(Loaded { load, findings }) => {
                (Some(load.into()), findings.into_iter().map(Finding::from).collect())
            }
            None => (None, Vec::new()),
        };
        let timeline = story.timeline.into_iter().map(Event::from).collect();
        Self { job: job.into(), timeline, load, findings }
    }
}
