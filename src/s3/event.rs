//! One thing that happened to one object, whoever told it.

mod key;
mod kind;
mod order;
mod vendor;

pub use key::{Encoding, Key};
pub use kind::Kind;
pub use order::Order;
pub use vendor::Vendor;

use crate::ids::Timestamp;

/// An event, as every dialect ends (contract section 2). Which source it came from and when are the caller's to add.
///
/// Only bucket, key and kind are promised. The rest is what the sender said, unchecked: none of it may be an address
/// that we call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Place of its record in the message, from 0.
    pub position: u32,
    /// Whose words these are.
    pub vendor: Vendor,
    /// Name of the bucket: at most 255 bytes, without `/` and NUL. It may exist in several stores; the source tells which.
    pub bucket: String,
    /// Name of the object.
    pub key: Key,
    /// What happened.
    pub kind: Kind,
    /// The event's name without `s3:` or `b2:`, in the words of S3 where there are some. Empty if the sender has no names.
    pub name: String,
    /// The name as sent.
    pub sent_name: String,
    /// What the kind leaves out.
    pub flags: Flags,
    /// Size of the object. `None` for removed ones, and where the sender tells another number.
    pub size_bytes: Option<u64>,
    /// Without quotes, in the sender's case; compare it ignoring case. May end in `-N` (parts of an upload).
    pub etag: Option<String>,
    /// Version of the object; `None` without versions.
    pub version: Option<String>,
    /// When it stands among the events of this object.
    pub order: Order,
    /// The sequencer as sent.
    pub sequencer: Option<String>,
    /// When it happened, by the store's clock.
    pub event_time: Option<Timestamp>,
    /// Region of the bucket.
    pub region: Option<String>,
    /// Who did it: a principal of the store.
    pub actor: Option<String>,
    /// Address of who did it; not of the store.
    pub client: Option<String>,
    /// The node of the store that sent it, as it calls itself.
    pub origin: Option<String>,
    /// The store's id of the request that caused it. One request may cause many events.
    pub request_id: Option<String>,
    /// The sender's own id of this event, the same when it is sent again.
    pub id: Option<String>,
}

impl Event {
    /// An event of which the sender says no more than this: it has no name, and stands where its time puts it.
    pub(super) fn bare(
        vendor: Vendor,
        bucket: String,
        key: Key,
        kind: Kind,
        event_time: Option<Timestamp>,
    ) -> Self {
        Self {
            position: 0,
            vendor,
            bucket,
            key,
            kind,
            name: String::new(),
            sent_name: String::new(),
            flags: Flags::default(),
            size_bytes: None,
            etag: None,
            version: None,
            order: Order::by_time(event_time),
            sequencer: None,
            event_time,
            region: None,
            actor: None,
            client: None,
            origin: None,
            request_id: None,
            id: None,
        }
    }
}

/// What the kind of an event leaves out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// A life cycle rule did it.
    pub expired: bool,
    /// The store lost the object.
    pub lost: bool,
    /// The version was given as `null`: the object of a bucket that has, or had, no versions.
    pub null_version: bool,
    /// The record's major version is newer than 2; it was read like 2.
    pub newer: bool,
}
