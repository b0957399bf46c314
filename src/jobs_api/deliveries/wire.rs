//! Deliveries as clients see them.

use crate::delivery::manifest::{self, Manifest};
use crate::delivery::store::DeliveryRow;
use crate::delivery::{Accepted, Awaited, Event, Loaded, ReceiptState, ReceiptView, Trace};
use crate::ids::Timestamp;
use crate::jobs_api::jobs::wire::Job;
use crate::jobs_api::links::{Linked, Links};
use crate::jobs_api::{Api, BASE};
use crate::load::query::{FindingRow, LoadRow};
use crate::web::open_requests::Counted;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// A delivery and where to read on.
pub type Delivery = Linked<DeliveryRow>;

/// The answer to a posted delivery.
#[derive(Debug, Serialize, ToSchema)]
pub struct Posted {
    /// What was accepted.
    #[serde(flatten)]
    pub accepted: Accepted,
    /// With `wait`: the state of its receipt at the time of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<ReceiptState>,
    /// With `wait`: when the last of its jobs ended; absent while one has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

/// A delivery and what it holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryDetail {
    /// The delivery.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// What it holds; null while its tree is not made.
    pub contents: Option<Contents>,
    /// What reading it found, in its archives too: the first findings of each load.
    pub findings: Vec<FindingRow>,
}

/// What a tree holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct Contents {
    /// Where the mail's exact bytes are; null if the delivery is not a mail.
    pub message: Option<String>,
    /// Its header fields, name and decoded value. Older trees have the 14 that people look for.
    pub headers: Vec<Header>,
    /// Problems found in it: stable codes.
    pub problems: Vec<String>,
    /// Its parts.
    pub parts: Vec<Part>,
}

/// One header field.
#[derive(Debug, Serialize, ToSchema)]
pub struct Header {
    /// As written.
    pub name: String,
    /// Decoded.
    pub value: String,
}

/// One part.
#[derive(Debug, Serialize, ToSchema)]
pub struct Part {
    /// Its number, from 1.
    pub number: u32,
    /// Name as declared. To be shown, never to be opened.
    pub name: Option<String>,
    /// Name of its file in the tree.
    pub stored_name: String,
    /// `body`, `attachment`, `message` or `member`.
    #[schema(value_type = String)]
    pub kind: module_api::PartKind,
    /// Declared media type.
    pub media_type: String,
    /// Media type by content.
    pub sniffed_type: String,
    /// Length after transfer-decoding.
    pub bytes: u64,
    /// SHA-256 after transfer-decoding, in hex.
    pub sha256: String,
    /// Problems found in it: stable codes.
    pub problems: Vec<String>,
    /// Where its bytes are.
    pub link: String,
}

/// Everything that is known of one delivery.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryTrace {
    /// The delivery.
    pub delivery: Delivery,
    /// What it holds; null while its tree is not made.
    pub contents: Option<Contents>,
    /// Its jobs, newest first.
    pub jobs: Vec<Job>,
    /// What happened, oldest first.
    pub timeline: Vec<Event>,
    /// What it led to.
    pub loads: Vec<LoadRow>,
    /// The first findings of each load.
    pub findings: Vec<FindingRow>,
}

impl Posted {
    /// What was accepted, after waiting for its end if the sender asked for that. It stays accepted if the store fails now.
    pub async fn of(api: &Api, accepted: Accepted, wait: Option<Duration>, request: &Counted) -> Self {
        let id = accepted.receipt_id;
        let Some(most) = wait else { return Self { accepted, state: None, finished_at: None } };
        let look = || ReceiptView::find(&api.db, id);
        let settled = |found: &Option<ReceiptView>| found.as_ref().is_none_or(|receipt| receipt.is_settled);
        let found = api.waiters.settled(Awaited::Receipt(id), most, request, look, settled).await;
        let found = found.unwrap_or_else(|error| {
            tracing::warn!(%error, "a delivery was accepted, and its state cannot be read");
            None
        });
        let (state, finished_at) = found.map(|receipt| (receipt.state, receipt.finished_at)).unzip();
        Self { accepted, state, finished_at: finished_at.flatten() }
    }
}

impl From<DeliveryRow> for Delivery {
    fn from(row: DeliveryRow) -> Self {
        let this = format!("{BASE}/deliveries/{}", row.id);
        let links = Links {
            trace: Some(format!("{this}/trace")),
            this,
            receipt: Some(format!("{BASE}/receipts/{}", row.receipt_id)),
            ..Links::default()
        };
        Self { row, links }
    }
}

impl Contents {
    /// What a manifest says.
    pub fn of(manifest: Manifest) -> Self {
        let this = format!("{BASE}/deliveries/{}", manifest.about.delivery);
        let header = |header: manifest::Header| Header { name: header.name, value: header.value.text };
        Self {
            message: manifest.message.map(|_| format!("{this}/message")),
            headers: manifest.about.headers.into_iter().map(header).collect(),
            problems: codes(manifest.about.problems),
            parts: manifest.parts.into_iter().map(|part| Part::of(&this, part)).collect(),
        }
    }
}

impl Part {
    fn of(delivery: &str, part: manifest::Part) -> Self {
        Self {
            number: part.number,
            name: part.facts.name.map(|name| name.text),
            stored_name: part.stored_name,
            kind: part.facts.kind,
            media_type: part.facts.media_type,
            sniffed_type: part.facts.sniffed_type,
            bytes: part.file.len_bytes,
            sha256: part.file.sha256.to_string(),
            problems: codes(part.facts.problems),
            link: format!("{delivery}/parts/{}", part.number),
        }
    }
}

fn codes(problems: Vec<module_api::Problem>) -> Vec<String> {
    problems.into_iter().map(|problem| problem.code.into_owned()).collect()
}

impl DeliveryTrace {
    /// The trace with what its manifest says.
    pub fn of(trace: Trace, manifest: Option<Manifest>) -> Self {
        let (mut loads, mut findings) = (Vec::new(), Vec::new());
        for Loaded { load, findings: found } in trace.loads {
            loads.push(load);
            findings.extend(found);
        }
        Self {
            delivery: trace.delivery.into(),
            contents: manifest.map(Contents::of),
            jobs: trace.jobs.into_iter().map(Job::from).collect(),
            timeline: trace.timeline,
            loads,
            findings,
        }
    }
}
