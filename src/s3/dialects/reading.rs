//! What a message turned out to be.

use super::super::event::Event;
use super::super::sns::Envelope;
use super::elastic::{Document, Question};
use super::poison::Poison;
use crate::ids::{Digest, Timestamp};

/// Rows of the recognition table (contract section 1), in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// 1: HEAD or GET: is anybody there?
    Probe,
    /// 2: POST without a body, from an old MinIO: the same question.
    EmptyPost,
    /// 3: words of Elasticsearch: MinIO's target, or StorageGRID's search integration.
    Elastic,
    /// 4: SNS without its envelope: unsigned.
    SnsRaw,
    /// 5: SNS in its envelope: signed.
    Sns,
    /// 6: a call of SNS's own API, as StorageGRID makes it.
    Publish,
    /// 7: CloudEvents with its attributes in headers.
    CloudEventHeaders,
    /// 8: a notification of S3 or of one of its relatives.
    Records,
    /// 9: an array of records.
    RecordArray,
    /// 10: one record alone.
    BareRecord,
    /// 11: EventBridge, or its `detail` alone.
    EventBridge,
    /// 12: CloudEvents in one JSON text.
    CloudEvent,
    /// 13: S3 or VersityGW tries its configuration.
    TestEvent,
    /// 14: SeaweedFS's filer.
    Seaweedfs,
    /// 15: Backblaze B2.
    B2,
    /// 16: a document of StorageGRID's search integration.
    SearchDocument,
    /// 17: NooBaa tries its configuration.
    NoobaaTest,
    /// 18: anything else.
    Unknown,
}

/// What was read of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Rows that took it: of the message itself, then of what was wrapped in it.
    pub dialects: Vec<Dialect>,
    /// The envelope of SNS around it. Nothing of the message may be believed before it is verified. `None`: nobody signed
    /// it, whatever its headers say, so the way `sns` does not let it in.
    pub envelope: Option<Box<Envelope>>,
    /// The document of Elasticsearch that the request writes or deletes.
    pub document: Option<Document>,
    /// What it says.
    pub found: Found,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing: it asks whether somebody is there.
    Probe,
    /// A question that an Elasticsearch client asks before it sends.
    Question(Question),
    /// Nothing: the sender tries its configuration. Names the bucket, where it has one.
    Test(Option<String>),
    /// What happened to objects; none if it tells only what we do not follow, such as a directory.
    Events {
        /// Those that could be read.
        events: Vec<Event>,
        /// Those that could not.
        poison: Vec<Poison>,
    },
    /// The document of the reading is gone. Which object it was, the caller looks up.
    Deleted,
    /// SNS asks to confirm a subscription, by an address in the envelope.
    Subscription,
    /// SNS ended a subscription. The address in its envelope would begin it again.
    Unsubscribed,
    /// Nothing of the message could be read.
    Poison(Poison),
}

impl Found {
    pub(super) fn events(records: impl IntoIterator<Item = Result<Event, Poison>>) -> Self {
        let (mut events, mut poison) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                Ok(event) => events.push(event),
                Err(broken) => poison.push(broken),
            }
        }
        Self::Events { events, poison }
    }
}

impl Reading {
    /// The row that took the innermost message.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialects.last().copied().unwrap_or(Dialect::Unknown)
    }

    /// The events; empty unless there are some.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        if let Found::Events { events, .. } = &self.found { events } else { &[] }
    }

    /// What could not be read: the message, or some of its records.
    #[must_use]
    pub fn poison(&self) -> &[Poison] {
        match &self.found {
            Found::Events { poison, .. } => poison,
            Found::Poison(poison) => std::slice::from_ref(poison),
            _ => &[],
        }
    }

    /// A digest that is the same when `event`, one of this reading, comes to `source` again (contract 6.2). `None` if the
    /// sender gives neither an id nor a time: then each arrival is another event.
    #[must_use]
    pub fn delivery_id(&self, source: &str, event: &Event) -> Option<Digest> {
        let several = self.events().len() + self.poison().len() > 1;
        let position = if several { event.position.to_string() } else { String::new() };
        let outer = self.envelope.as_ref().map(|envelope| envelope.message_id.as_str());
        let version = event.version.as_deref().unwrap_or_default();
        let object: [&[u8]; 4] =
            [event.bucket.as_bytes(), event.key.bytes(), version.as_bytes(), event.name.as_bytes()];
        let mut parts: Vec<&[u8]> = vec![source.as_bytes(), position.as_bytes()];
        parts.extend(object);
        let time = event.event_time.map(|Timestamp(micros)| micros.to_string());
        if let Some(id) = outer.or(event.id.as_deref()) {
            parts.extend([b"id".as_slice(), id.as_bytes()]);
        } else {
            let moment = event.sequencer.as_deref().or(time.as_deref())?;
            let etag = event.etag.as_deref().unwrap_or_default();
            let request = event.request_id.as_deref().unwrap_or_default();
            parts.extend([b"event".as_slice(), moment.as_bytes(), etag.as_bytes(), request.as_bytes()]);
        }
        let framed: Vec<u8> =
            parts.iter().flat_map(|part| [&part.len().to_be_bytes(), *part].concat()).collect();
        Some(Digest::of(&framed))
    }
}
