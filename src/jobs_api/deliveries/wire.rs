//! Deliveries as clients see them.

use crate::delivery::envelope::Envelope;
use crate::delivery::manifest::{self, Manifest};
use crate::delivery::store::DeliveryRow;
use crate::delivery::{Accepted, Loaded, Trace};
use crate::ids::{DeliveryId, ReceiptId, Timestamp};
use crate::jobs_api::BASE;
use crate::jobs_api::jobs::wire::{Event, Finding, Job, Load};
use serde::Serialize;
use utoipa::ToSchema;

/// A delivery.
#[derive(Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// The receipt its sender holds.
    pub receipt_id: ReceiptId,
    /// Way in.
    pub source: String,
    /// Coordinates, as far as they are known.
    pub customer: Option<String>,
    /// See `customer`.
    pub category: Option<String>,
    /// See `customer`.
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// See `customer`.
    pub group: Option<String>,
    /// Rule that decided them; null: an operator, the sender, or nobody yet.
    pub rule: Option<String>,
    /// Why it waits for an operator.
    pub held_reason: Option<String>,
    /// Whether a copy of the original is kept on volume archive, at the same path.
    pub archived: bool,
    /// When it arrived.
    pub received_at: Timestamp,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// Length of its bytes.
    pub bytes: i64,
    /// Who sent what to whom, and how it came.
    pub envelope: Envelope,
    /// Its tree on volume inbox.
    pub path: Option<String>,
    /// When its tree was made.
    pub sorted_at: Option<Timestamp>,
    /// When its tree became durable.
    pub sealed_at: Option<Timestamp>,
    /// Whether its sender had used the key (for mail the queue id and recipient) before, for other bytes.
    pub key_reused: bool,
    /// Where to read on.
    pub links: Links,
}

/// Where to read on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Links {
    /// This delivery.
    #[serde(rename = "self")]
    pub this: String,
    /// Its receipt.
    pub receipt: String,
    /// Everything that is known of it.
    pub trace: String,
}

/// A delivery and what it holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryDetail {
    /// The delivery.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// What it holds; null while its tree is not made.
    pub contents: Option<Contents>,
}

/// What a tree holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct Contents {
    /// Where the mail's exact bytes are; null where what came was no mail.
    pub message: Option<String>,
    /// Its header fields, name and decoded value. Older trees have the 14 that people look for.
    pub headers: Vec<Header>,
    /// What was odd about it: stable codes.
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
    /// What was odd about it: stable codes.
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
    pub loads: Vec<Load>,
    /// The first findings of each load.
    pub findings: Vec<Finding>,
}

/// The yes.
#[derive(Debug, Serialize, ToSchema)]
pub struct Taken {
    /// What to ask with.
    pub receipt_id: ReceiptId,
    /// The delivery; of the first time where this is a repetition. Null where that delivery was purged since.
    pub delivery_id: Option<DeliveryId>,
    /// The same had come before.
    pub duplicate: bool,
}

impl From<DeliveryRow> for Delivery {
    fn from(row: DeliveryRow) -> Self {
        let this = format!("{BASE}/deliveries/{}", row.id);
        let links = Links {
            trace: format!("{this}/trace"),
            this,
            receipt: format!("{BASE}/receipts/{}", row.receipt_id),
        };
        Self {
            id: row.id,
            receipt_id: row.receipt_id,
            source: row.source,
            customer: row.customer,
            category: row.category,
            type_: row.type_,
            group: row.group,
            rule: row.rule,
            held_reason: row.held_reason,
            archived: row.archive,
            received_at: row.received_at,
            sha256: row.digest.to_string(),
            bytes: row.bytes,
            envelope: row.envelope,
            path: row.path,
            sorted_at: row.sorted_at,
            sealed_at: row.sealed_at,
            key_reused: row.key_reused,
            links,
        }
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
            loads.push(Load::from(load));
            findings.extend(found.into_iter().map(Finding::from));
        }
        Self {
            delivery: trace.delivery.into(),
            contents: manifest.map(Contents::of),
            jobs: trace.jobs.into_iter().map(Job::from).collect(),
            timeline: trace.timeline.into_iter().map(Event::from).collect(),
            loads,
            findings,
        }
    }
}

impl From<Accepted> for Taken {
    fn from(accepted: Accepted) -> Self {
        Self {
            receipt_id: accepted.receipt_id,
            delivery_id: accepted.delivery_id,
            duplicate: accepted.duplicate,
        }
    }
}
