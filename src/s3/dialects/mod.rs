//! Reads what object stores and their relays send.
//!
//! ```text
//!   Message ─▶ TABLE: the first row that takes it ─▶ its dialect ─▶ Reading
//!                ▲                                     │
//!                └──── what is wrapped in it ◀─────────┘ SNS, StorageGRID's Publish, CloudEvents; within a limit
//! ```
//!
//! The table has the rows of contract section 1 in their order. A dialect is a file: what it takes and how it is read. A
//! new one is a file, a row, and a sample in `samples/`. Vendors who speak the dialect of S3, each with an accent, have a
//! file too: their `vendor::Rules`.
//!
//! A record that cannot be read is poison by itself; the others of its message are read.

mod aws;
mod b2;
mod ceph;
mod cloudevents;
mod elastic;
mod eventbridge;
mod message;
mod minio;
mod node;
mod noobaa;
mod poison;
mod probe;
mod publish;
mod reading;
mod records;
mod rustfs;
mod search;
mod seaweedfs;
mod sns;
mod storagegrid;
mod vendor;
mod versitygw;
mod zenko;

pub use elastic::{Document, Question};
pub use message::{Limits, Message};
pub use poison::{Poison, Reason};
pub use reading::{Dialect, Found, Reading};

use super::event::Encoding;
use super::json::Json;
use node::Node;

/// A row of the table.
struct Row {
    dialect: Dialect,
    takes: fn(&Seen<'_>) -> bool,
    read: fn(&Seen<'_>, &mut Reading) -> Result<Found, Poison>,
}

/// The recognition table: the first row that takes a message reads it.
const TABLE: [Row; 18] = [
    Row { dialect: Dialect::Probe, takes: probe::asks, read: probe::probe },
    Row { dialect: Dialect::EmptyPost, takes: probe::is_empty_post, read: probe::probe },
    Row { dialect: Dialect::Elastic, takes: elastic::takes, read: elastic::read },
    Row { dialect: Dialect::SnsRaw, takes: sns::is_raw, read: sns::read_raw },
    Row { dialect: Dialect::Sns, takes: sns::takes, read: sns::read },
    Row { dialect: Dialect::Publish, takes: publish::takes, read: publish::read },
    Row { dialect: Dialect::CloudEventHeaders, takes: cloudevents::in_headers, read: cloudevents::read_body },
    Row { dialect: Dialect::Records, takes: records::takes, read: records::read },
    Row { dialect: Dialect::RecordArray, takes: versitygw::takes, read: versitygw::read },
    Row { dialect: Dialect::BareRecord, takes: records::takes_bare, read: records::read_bare },
    Row { dialect: Dialect::EventBridge, takes: eventbridge::takes, read: eventbridge::read },
    Row { dialect: Dialect::CloudEvent, takes: cloudevents::takes, read: cloudevents::read },
    Row { dialect: Dialect::TestEvent, takes: aws::is_test, read: aws::read_test },
    Row { dialect: Dialect::Seaweedfs, takes: seaweedfs::takes, read: seaweedfs::read },
    Row { dialect: Dialect::B2, takes: b2::takes, read: b2::read },
    Row { dialect: Dialect::SearchDocument, takes: search::takes, read: search::read },
    Row { dialect: Dialect::NoobaaTest, takes: noobaa::is_test, read: probe::test },
    Row { dialect: Dialect::Unknown, takes: |_| true, read: probe::unknown },
];

/// The rows for what is wrapped in another message, and has neither method nor headers.
const WRAPPED: usize = 4;
/// The rows for a body whose headers have been looked at.
const BODY: usize = 7;

/// Reads a message. `encoding` is how its source says that keys are written; without one the sender decides.
///
/// Never panics; takes time linear in the message but for wrapped ones, which `limits` bounds. Any message gives a
/// reading, if only poison.
#[must_use]
pub fn read(message: &Message<'_>, encoding: Option<Encoding>, limits: &Limits) -> Reading {
    let mut reading = Reading { dialects: Vec::new(), envelope: None, document: None, found: Found::Probe };
    if message.body.len() > limits.body_bytes {
        reading.dialects.push(Dialect::Unknown);
        reading.found = Found::Poison(Poison::new(Reason::TooLarge, "body"));
        return reading;
    }
    let seen = Seen::of(*message, encoding, *limits, 0);
    reading.found = seen.read_from(0, &mut reading);
    reading
}

/// A message with what the rows look at.
struct Seen<'a> {
    message: Message<'a>,
    /// The body as JSON.
    json: Result<Json<'a>, Poison>,
    /// The body as a JSON object.
    top: Option<Node<'a>>,
    encoding: Option<Encoding>,
    limits: Limits,
    /// Messages around this one.
    wrappers: usize,
}

impl<'a> Seen<'a> {
    fn of(message: Message<'a>, encoding: Option<Encoding>, limits: Limits, wrappers: usize) -> Self {
        let json = Json::parse(message.body, limits.depth).map_err(Poison::from);
        let top = json.as_ref().ok().and_then(|json| Node::of(*json, "").ok());
        Self { message, json, top, encoding, limits, wrappers }
    }

    /// Reads by the first row from `row` on that takes the message.
    fn read_from(&self, row: usize, reading: &mut Reading) -> Found {
        let Some(row) = TABLE[row..].iter().find(|row| (row.takes)(self)) else { return Found::Probe };
        reading.dialects.push(row.dialect);
        (row.read)(self, reading).unwrap_or_else(Found::Poison)
    }

    /// Reads what is wrapped in this message at `place`.
    fn read_wrapped(&self, inner: &[u8], place: &str, reading: &mut Reading) -> Result<Found, Poison> {
        if self.wrappers == self.limits.wrappers {
            return Err(Poison::new(Reason::TooWrapped, place));
        }
        let seen = Seen::of(Message::queued(inner), self.encoding, self.limits, self.wrappers + 1);
        Ok(match seen.read_from(WRAPPED, reading) {
            Found::Poison(poison) => Found::Poison(poison.below(place)),
            Found::Events { events, poison } => Found::Events {
                events,
                poison: poison.into_iter().map(|poison| poison.below(place)).collect(),
            },
            found => found,
        })
    }

    /// The body as an object.
    fn object(&self) -> Result<&Node<'a>, Poison> {
        match (&self.top, &self.json) {
            (Some(top), _) => Ok(top),
            (None, Ok(_)) => Err(Poison::new(Reason::WrongType, "body")),
            (None, Err(poison)) => Err(poison.clone()),
        }
    }

    /// Whether the body is an object with all of these members.
    fn has(&self, names: &[&str]) -> bool {
        self.top.as_ref().is_some_and(|top| names.iter().all(|name| top.has(name)))
    }

    /// The elements of an array, unless they are more than a message may have.
    fn elements(&self, json: Json<'a>, place: &str) -> Result<Vec<Json<'a>>, Poison> {
        let elements = json.elements().ok_or_else(|| Poison::new(Reason::WrongType, place))?;
        if elements.len() > self.limits.records {
            return Err(Poison::new(Reason::TooMany, place));
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod samples_tests;
#[cfg(test)]
mod tests;
