//! `manifest.json`: what a delivery's tree holds and where it came from (`contracts/mail.md` 3.3).
//!
//! It is written last, so a tree with a manifest was complete when it was made. Offsets let anyone derive a part from
//! `message.eml` again and prove it. Bytes that are not text stand beside their decoded form as base64.

use super::part_name;
use super::tree_path::Place;
use crate::ids::{DeliveryId, Digest, ReceiptId, Timestamp};
use crate::infra::volume::{FileRange, Stored};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use module_api::{PartKind, Problem};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Everything about one tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub schema: Schema,
    /// Whose tree it is and how it came.
    #[serde(flatten)]
    pub about: About,
    /// `message.eml`; none where what came was no mail but a file, which is part 1 then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<FileFacts>,
    /// Parts in document order; part 1 is the first. Mail that is held, or that nobody took apart yet, may have none.
    pub parts: Vec<Part>,
}

/// The one format there is. A manifest of another one does not parse. Within a version only optional fields are added, so
/// what an older program wrote is read, and what a newer one wrote loses only what is not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Schema {
    /// First version.
    #[serde(rename = "headworks.manifest/1")]
    V1,
}

/// Whose a tree is, how it came, and why it is where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The delivery this tree belongs to; decides whether a tree that is there already is adopted.
    pub delivery: DeliveryId,
    /// The receipt its sender holds.
    pub receipt: ReceiptId,
    /// Coordinates, or why it is held.
    pub place: Place,
    /// The rule that matched; none where it is held or was assigned by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<MatchedRule>,
    /// Who sent it to whom, and when it was taken in.
    pub envelope: Envelope,
    /// Header fields of interest, in the order of the message.
    pub headers: Vec<Header>,
    /// What was odd about the message as a whole.
    pub problems: Vec<Problem>,
    /// Versions of the programs that made the tree, by name.
    pub software: BTreeMap<String, String>,
}

/// Who sent what to whom, and how it came, as the door recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Envelope {
    /// Kind of door: `pipe`, `lmtp`, `rest`, …
    pub door: String,
    /// Envelope sender; empty for the null sender. For `rest`, the name of the key.
    pub sender: RawText,
    /// Envelope recipient this delivery is for. For `rest`, the customer.
    pub recipient: RawText,
    /// The recipient before aliases, where the mail system told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_recipient: Option<RawText>,
    /// What else the mail system told; nothing of it for other doors.
    #[serde(flatten)]
    pub transport: Transport,
    /// When we took it in, by our clock.
    pub received_at: Timestamp,
}

/// How a mail came to us, in the words of the mail system in front of us. The client is the one of that mail system, and
/// absent for mail submitted on its host. Client name and account are personal data: stored and shown, never logged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Transport {
    /// Its queue id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_id: Option<String>,
    /// Address of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Name of the client, as the mail system looked it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<RawText>,
    /// What the client called itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_helo: Option<RawText>,
    /// What the client spoke, for example `ESMTP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_protocol: Option<String>,
    /// Account that the client proved to be; none where it did not say who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl_user: Option<RawText>,
    /// Where the mail system thought it sent the mail: the next hop of its transport.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nexthop: Option<RawText>,
    /// Length that was announced, in the measure of the mail system: not that of the bytes we have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared_bytes: Option<u64>,
    /// Program that put it into the spool, and its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// The rule that decided the coordinates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchedRule {
    /// Its name in the configuration.
    pub name: String,
    /// What its named groups captured.
    pub captures: BTreeMap<String, String>,
}

/// One header field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Field name as written.
    pub name: String,
    /// Its value, decoded, with the raw bytes where they differ.
    pub value: RawText,
}

/// Text from outside: readable, and exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RawText {
    /// Decoded; what could not be decoded is U+FFFD.
    pub text: String,
    /// The bytes as they came, where they are not those of `text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<String>,
}

impl RawText {
    /// `text` as decoded from `raw`.
    #[must_use]
    pub fn decoded(text: impl Into<String>, raw: &[u8]) -> Self {
        let text = text.into();
        let raw_base64 = (text.as_bytes() != raw).then(|| BASE64.encode(raw));
        Self { text, raw_base64 }
    }

    /// Bytes that should be UTF-8.
    #[must_use]
    pub fn of(raw: &[u8]) -> Self {
        Self::decoded(String::from_utf8_lossy(raw), raw)
    }
}

/// Length and digest of a file in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Length in bytes.
    pub len_bytes: u64,
    /// SHA-256, 64 hex digits.
    #[serde(with = "hex_digest")]
    pub sha256: Digest,
}

impl From<Stored> for FileFacts {
    fn from(stored: Stored) -> Self {
        Self { len_bytes: stored.len_bytes, sha256: stored.digest }
    }
}

impl FileFacts {
    /// The same facts as a volume tells them.
    #[must_use]
    pub fn stored(self) -> Stored {
        Stored { len_bytes: self.len_bytes, digest: self.sha256 }
    }
}

/// One part in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its number, from 1; the NNN of its file.
    pub number: u32,
    /// Name of its file.
    pub stored_name: String,
    /// What the message said about it, and what it is.
    #[serde(flatten)]
    pub facts: PartFacts,
    /// Its bytes after transfer-decoding.
    #[serde(flatten)]
    pub file: FileFacts,
}

/// What is known of a part apart from its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFacts {
    /// Place in the tree of parts: `1.2` is the second child of the first part.
    pub path: String,
    /// Number of the part this one was found in; none for parts of the outermost message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// Body, attachment or embedded message.
    pub kind: PartKind,
    /// Declared media type in lower case, without parameters.
    pub media_type: String,
    /// Media type by content.
    pub sniffed_type: String,
    /// Declared character set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
    /// Declared disposition: `inline`, `attachment`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disposition: Option<String>,
    /// Declared file name. To be shown, never to be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<RawText>,
    /// Declared content transfer encoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_encoding: Option<String>,
    /// Where its encoded body lies in `message.eml`, where that is one piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_message: Option<Span>,
    /// What was odd about it.
    pub problems: Vec<Problem>,
}

/// A piece of `message.eml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub len_bytes: u64,
}

/// A part on its way into a tree: what is known of it, and where its bytes are now.
#[derive(Debug, Clone)]
pub struct PartRecord<'a> {
    /// Without `name_bidi` and `name_twin`, which are found here.
    pub facts: PartFacts,
    /// A range of the spill or of the message.
    pub bytes: FileRange<'a>,
}

/// Numbers and names the parts of a tree, in document order.
#[must_use]
pub fn parts(records: &[PartRecord<'_>]) -> Vec<Part> {
    let name = |record: &PartRecord<'_>| record.facts.name.as_ref().map(|name| name.text.clone());
    let named: Vec<(usize, String)> =
        records.iter().enumerate().filter_map(|(i, record)| Some((i, name(record)?))).collect();
    let texts: Vec<&str> = named.iter().map(|(_, text)| text.as_str()).collect();
    let twins: Vec<usize> = part_name::twins(&texts).into_iter().map(|i| named[i].0).collect();
    (1..).zip(records).map(|(number, record)| part(number, record, &twins)).collect()
}

fn part(number: u32, record: &PartRecord<'_>, twins: &[usize]) -> Part {
    let mut facts = record.facts.clone();
    let name = facts.name.as_ref().map(|name| name.text.as_str());
    let mut report = |code: &'static str| {
        facts.problems.push(Problem { code: Cow::Borrowed(code), detail: String::new() });
    };
    if name.is_some_and(part_name::hides_something) {
        report("name_bidi");
    }
    if twins.iter().any(|twin| number as usize == twin + 1) {
        report("name_twin");
    }
    let stored_name = part_name::stored_name(number, name, &facts.sniffed_type);
    Part { number, stored_name, facts, file: record.bytes.stored.into() }
}

impl Manifest {
    /// The manifest as stored.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("plain structs with text keys always encode");
        json.push(b'\n');
        json
    }

    /// Reads a stored manifest.
    ///
    /// # Errors
    /// When it is not one of a version this program knows.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

/// Digests in JSON: 64 hex digits in lower case.
mod hex_digest {
    use crate::ids::Digest;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(digest)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is not a SHA-256 in hex")))
    }

    fn parse(text: &str) -> Option<Digest> {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        for (i, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Digest(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        About, Envelope, FileFacts, Manifest, MatchedRule, PartFacts, PartRecord, RawText, Schema, Transport,
        parts,
    };
    use crate::delivery::tree_path::Place;
    use crate::ids::{Coordinates, DeliveryId, ReceiptId, Slug, Timestamp};
    use crate::infra::volume::{FileRange, Stored};
    use module_api::PartKind;
    use std::collections::BTreeMap;
    use uuid::Uuid;

    fn part<'a>(file: &'a std::fs::File, name: &str) -> PartRecord<'a> {
        let facts = PartFacts {
            path: "1".into(),
            parent: None,
            kind: PartKind::Attachment,
            media_type: "text/csv".into(),
            sniffed_type: "text/csv".into(),
            charset: Some("utf-8".into()),
            disposition: Some("attachment".into()),
            name: Some(RawText::decoded(name, b"=?utf-8?q?encoded?=")),
            transfer_encoding: Some("base64".into()),
            in_message: None,
            problems: Vec::new(),
        };
        PartRecord { facts, bytes: FileRange { file, offset: 0, stored: Stored::of(b"a,b\n") } }
    }

    fn manifest() -> Manifest {
        let file = tempfile::tempfile().unwrap();
        let coordinates = Coordinates {
            customer: Slug::of("acme"),
            category: Slug::of("hydrastor"),
            type_: Slug::of("alert"),
            group: Slug::of("grid"),
        };
        let about = About {
            delivery: DeliveryId(Uuid::from_u128(7)),
            receipt: ReceiptId(Uuid::from_u128(8)),
            place: Place::Delivered(coordinates),
            rule: Some(MatchedRule {
                name: "alerts".into(),
                captures: BTreeMap::from([("group".into(), "grid".into())]),
            }),
            envelope: Envelope {
                door: "lmtp".into(),
                sender: RawText::of(b"a@b.example"),
                recipient: RawText::of(b"b\xfcro@x.example"),
                original_recipient: None,
                transport: Transport {
                    queue_id: None,
                    client: Some("192.0.2.1".into()),
                    client_name: Some(RawText::of(b"mx.b.example")),
                    client_helo: Some(RawText::of(b"m\xfcx")),
                    client_protocol: Some("ESMTP".into()),
                    sasl_user: Some(RawText::of(b"grid7")),
                    nexthop: Some(RawText::of(b"x.example")),
                    declared_bytes: Some(10),
                    program: Some("mailhandler 0.1.0".into()),
                },
                received_at: Timestamp(1_673_611_200_000_000),
            },
            headers: Vec::new(),
            problems: Vec::new(),
            software: BTreeMap::from([("headworks".into(), "0.1.0".into())]),
        };
        let message = FileFacts::from(Stored::of(b"message"));
        Manifest {
            schema: Schema::V1,
            about,
            message: Some(message),
            parts: parts(&[part(&file, "Nodes.csv")]),
        }
    }

    #[test]
    fn a_manifest_looks_like_this() {
        insta::assert_snapshot!(String::from_utf8(manifest().to_json()).unwrap());
    }

    #[test]
    fn a_manifest_reads_back_as_written() {
        assert_eq!(Manifest::parse(&manifest().to_json()).unwrap(), manifest());
    }

    #[test]
    fn a_manifest_from_before_a_field_was_added_reads_and_one_from_after_it_too() {
        let mut json: serde_json::Value = serde_json::from_slice(&manifest().to_json()).unwrap();
        let envelope = json["envelope"].as_object_mut().unwrap();
        envelope
            .retain(|field, _| ["door", "sender", "recipient", "client", "received_at"].contains(&&**field));
        envelope.insert("of_the_future".into(), "whatever".into());
        let mut expected = manifest();
        let client = expected.about.envelope.transport.client.take();
        expected.about.envelope.transport = Transport { client, ..Transport::default() };
        assert_eq!(Manifest::parse(json.to_string().as_bytes()).unwrap(), expected);
    }

    #[test]
    fn a_manifest_of_another_version_does_not_parse() {
        let other = String::from_utf8(manifest().to_json()).unwrap().replace("manifest/1", "manifest/2");
        assert!(Manifest::parse(other.as_bytes()).is_err());
    }

    #[test]
    fn a_digest_of_odd_length_or_with_odd_characters_does_not_parse() {
        let json = String::from_utf8(manifest().to_json()).unwrap();
        let digest = Stored::of(b"message").digest.to_string();
        for wrong in [digest[1..].to_owned(), format!("+{}", &digest[1..]), format!("é{}", &digest[2..])] {
            assert!(Manifest::parse(json.replace(&digest, &wrong).as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_that_hide_or_repeat_are_flagged() {
        let file = tempfile::tempfile().unwrap();
        let records = [part(&file, "a.csv"), part(&file, "A.csv"), part(&file, "a\u{202e}vsc.csv")];
        let codes: Vec<Vec<String>> = parts(&records)
            .iter()
            .map(|part| part.facts.problems.iter().map(|problem| problem.code.to_string()).collect())
            .collect();
        assert_eq!(codes, [vec![], vec!["name_twin".to_owned()], vec!["name_bidi".to_owned()]]);
    }

    #[test]
    fn raw_bytes_are_kept_only_where_the_text_does_not_show_them() {
        assert_eq!(RawText::of("Büro".as_bytes()).raw_base64, None);
        let latin = RawText::of(b"B\xfcro");
        assert_eq!((latin.text.as_str(), latin.raw_base64.as_deref()), ("B\u{fffd}ro", Some("Qvxybw==")));
    }
}
