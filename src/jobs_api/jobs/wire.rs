//! Jobs as clients see them.

use crate::delivery::{Event, JobStory, Loaded};
use crate::ids::JobId;
use crate::job::store::JobView;
use crate::jobs_api::BASE;
use crate::jobs_api::links::{Linked, Links};
use crate::load::query::{FindingRow, LoadRow};
use serde::Serialize;
use utoipa::ToSchema;

/// A job and where to read on.
pub type Job = Linked<JobView>;

/// A job and what happened to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobDetail {
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// What happened, oldest first.
    pub timeline: Vec<Event>,
    /// What it loaded.
    pub load: Option<LoadRow>,
    /// The first thousand findings of that load.
    pub findings: Vec<FindingRow>,
}

/// The result of an act on a job.
#[derive(Debug, Serialize, ToSchema)]
pub struct Acted {
    /// The job: for a retry the new one.
    pub id: JobId,
    /// `done`, or `requested` if a running job has to stop first.
    pub came: &'static str,
}

impl From<JobView> for Job {
    fn from(row: JobView) -> Self {
        let links = Links {
            this: format!("{BASE}/jobs/{}", row.id),
            delivery: row.delivery_id.map(|id| format!("{BASE}/deliveries/{id}")),
            receipt: row.receipt_id.map(|id| format!("{BASE}/receipts/{id}")),
            parent: row.parent_id.map(|id| format!("{BASE}/jobs/{id}")),
            retry_of: row.retry_of.map(|id| format!("{BASE}/jobs/{id}")),
            ..Links::default()
        };
        Self { row, links }
    }
}

impl JobDetail {
    /// `job` with its story.
    pub fn of(job: JobView, story: JobStory) -> Self {
        let (load, findings) = story.load.map(|Loaded { load, findings }| (load, findings)).unzip();
        Self { job: job.into(), timeline: story.timeline, load, findings: findings.unwrap_or_default() }
    }
}
