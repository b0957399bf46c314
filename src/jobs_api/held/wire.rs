//! Held jobs as operators see them.

use crate::delivery::manifest::Manifest;
use crate::delivery::store::DeliveryRow;
use crate::ids::{Coordinates, DeliveryId, JobId, Slug, Timestamp};
use crate::job::store::JobView;
use crate::jobs_api::deliveries::wire::Contents;
use crate::jobs_api::jobs::wire::Job;
use crate::load::query::FindingRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that waits for an operator.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeldJob {
    /// The job that waits.
    pub job_id: JobId,
    /// Its delivery.
    pub delivery_id: Option<DeliveryId>,
    /// Why: a stable word.
    pub reason: Option<String>,
    /// What exactly.
    pub detail: Option<String>,
    /// Its source.
    pub source: Option<String>,
    /// Whose it is, where that is known.
    pub customer: Option<String>,
    /// When it arrived.
    pub received_at: Option<Timestamp>,
    /// Envelope sender.
    pub sender: Option<String>,
    /// Envelope recipient.
    pub recipient: Option<String>,
    /// Subject of a mail whose tree is made.
    pub subject: Option<String>,
    /// Length of its bytes.
    pub bytes: Option<i64>,
}

/// One thing that waits, with a look into it.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeldDetail {
    /// The summary.
    #[serde(flatten)]
    pub held: HeldJob,
    /// The job that waits.
    pub job: Job,
    /// What it holds; null while its tree is not made.
    pub contents: Option<Contents>,
    /// What its module found before it was held.
    pub findings: Vec<FindingRow>,
}

/// Coordinates set by hand.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Whose it is.
    pub customer: Slug,
    /// Family of formats.
    pub category: Slug,
    /// Format.
    #[serde(rename = "type")]
    pub type_: Slug,
    /// What it is about.
    pub group: Slug,
}

impl HeldJob {
    /// The summary of a job, its delivery, and what its tree says.
    pub fn of(job: &JobView, row: Option<&DeliveryRow>, manifest: Option<&Manifest>) -> Self {
        let subject = manifest.and_then(|manifest| {
            manifest.about.headers.iter().find(|header| header.name.eq_ignore_ascii_case("subject"))
        });
        Self {
            job_id: job.id,
            delivery_id: job.delivery_id,
            reason: job.wait_reason.clone(),
            detail: job.last_error.clone(),
            source: job.source.clone(),
            customer: job.customer.clone(),
            received_at: row.map(|row| row.received_at),
            sender: row.map(|row| row.envelope.sender().to_owned()),
            recipient: row.map(|row| row.envelope.recipient().to_owned()),
            subject: subject.map(|header| header.value.text.clone()),
            bytes: row.map(|row| row.bytes),
        }
    }
}

impl From<Assignment> for Coordinates {
    fn from(wanted: Assignment) -> Self {
        let Assignment { customer, category, type_, group } = wanted;
        Self { customer, category, type_, group }
    }
}
