//! The records of S3 (contract 5.1), which most stores send: `{"Records":[…]}` (row 8), or one alone (row 10).
//!
//! A record needs `eventName`, `s3.bucket.name` and `s3.object.key`. Everything else may be missing or odd; unknown
//! members are ignored.

use super::super::event::{Encoding, Event, Flags, Key, Kind, Vendor};
use super::super::json::Json;
use super::node::Node;
use super::vendor::{self, Rules};
use super::{Found, Poison, Reading, Reason, Seen, minio};

/// What a message says about a record beside it.
#[derive(Clone, Copy, Default)]
pub(super) struct Beside<'k> {
    /// How the source says that keys are written.
    pub encoding: Option<Encoding>,
    /// Bucket and key as MinIO repeats them in front of its records.
    pub key: Option<&'k [u8]>,
    /// The vendor, where the shape of the message tells.
    pub vendor: Option<Vendor>,
}

pub(super) fn takes(seen: &Seen<'_>) -> bool {
    match seen.top.as_ref().map(|top| top.get_any_case("Records")) {
        Some(Ok(Some(records))) => records.written().starts_with(b"["),
        Some(Err(_)) => true,
        _ => false,
    }
}

pub(super) fn read(seen: &Seen<'_>, _: &mut Reading) -> Result<Found, Poison> {
    let top = seen.object()?;
    let missing = || Poison::new(Reason::Missing, "/Records");
    let records = seen.elements(top.get_any_case("Records")?.ok_or_else(missing)?, "/Records")?;
    let key = top.get("Key")?.and_then(Json::string).filter(|_| records.len() == 1);
    let beside = Beside { encoding: seen.encoding, key: key.as_deref(), vendor: None };
    let records = (0..).zip(records);
    Ok(Found::events(records.map(|(n, json)| record(json, format!("/Records/{n}"), n, beside))))
}

pub(super) fn takes_bare(seen: &Seen<'_>) -> bool {
    seen.has(&["eventName", "s3"])
}

pub(super) fn read_bare(seen: &Seen<'_>, _: &mut Reading) -> Result<Found, Poison> {
    let beside = Beside { encoding: seen.encoding, ..Beside::default() };
    Ok(Found::events([record(seen.json.clone()?, String::new(), 0, beside)]))
}

/// Reads one record, which stands at `place`.
pub(super) fn record(
    json: Json<'_>,
    place: String,
    position: u32,
    beside: Beside<'_>,
) -> Result<Event, Poison> {
    let record = Node::of(json, place)?;
    let sent_name = record.need_text("eventName")?;
    let name = sent_name.strip_prefix("s3:").unwrap_or(&sent_name).to_owned();
    let (kind, flags) = Kind::of(&name);
    let s3 = record.node("s3")?;
    let bucket = s3.node("bucket")?.bucket("name")?;
    let object = if kind == Kind::BucketEvent { s3.node_if_any("object")? } else { s3.node("object")? };
    let user = record.node_if_any("userIdentity")?;
    let vendor = match beside.vendor {
        Some(vendor) => vendor,
        None => vendor::of(&record, &s3, &user)?,
    };
    let rules = vendor::rules(vendor);
    let key = key(&object, kind, &bucket, rules, beside)?;
    let (version, null_version) = version(object.text("versionId")?);
    let sequencer = object.text("sequencer")?;
    let event_time = record.time("eventTime")?;
    let request = record.node_if_any("requestParameters")?;
    let response = record.node_if_any("responseElements")?;
    let mut event = Event {
        position,
        vendor,
        bucket,
        key,
        kind,
        name,
        flags: Flags { null_version, newer: is_newer(&record)?, ..flags },
        size_bytes: object.count("size")?,
        etag: object.text("eTag")?.and_then(|etag| unquoted(&etag)),
        version,
        order: (rules.order)(sequencer.as_deref(), event_time),
        sequencer,
        event_time,
        region: record.text("awsRegion")?,
        actor: match user.text("principalId")? {
            Some(principal) => Some(principal),
            None => user.text("PrincipalId")?,
        },
        client: match request.text("sourceIPAddress")? {
            Some(address) => Some(address),
            None => record.node_if_any("source")?.text("host")?,
        },
        origin: match response.text("x-minio-origin-endpoint")? {
            Some(endpoint) => Some(endpoint),
            None => response.text("x-amz-id-2")?,
        },
        request_id: response.text("x-amz-request-id")?,
        id: record.text("eventId")?,
        sent_name,
    };
    (rules.mend)(&mut event);
    Ok(event)
}

fn key(
    object: &Node<'_>,
    kind: Kind,
    bucket: &str,
    rules: &Rules,
    beside: Beside<'_>,
) -> Result<Key, Poison> {
    if kind == Kind::BucketEvent {
        return Ok(Key::of(Vec::new(), Encoding::Plain));
    }
    let sent = object.need_bytes("key")?;
    if let Some(encoding) = beside.encoding {
        return Ok(Key::of(sent, encoding));
    }
    if let Some(encoding) = beside.key.and_then(|twice| minio::encoding(&sent, bucket, twice)) {
        return Ok(Key::of(sent, encoding));
    }
    let key = Key::of(sent, rules.encoding);
    Ok(match rules.doubt {
        Some(other) => key.in_doubt(other),
        None => key,
    })
}

/// A version, and whether it was S3's word for an object without one.
pub(super) fn version(sent: Option<String>) -> (Option<String>, bool) {
    match sent {
        Some(version) if version == "null" => (None, true),
        version => (version, false),
    }
}

/// An ETag without its quotes; `None` if nothing is left.
pub(super) fn unquoted(etag: &str) -> Option<String> {
    let etag = etag.trim_matches('"');
    (!etag.is_empty()).then(|| etag.to_owned())
}

fn is_newer(record: &Node<'_>) -> Result<bool, Poison> {
    let version = record.text("eventVersion")?.unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    Ok(major.is_some_and(|major| major > 2))
}
