//! `manifest.json`: what a delivery's tree holds and how it arrived (`contracts/mail.md` 3.3).
//!
//! It is written last, so a tree with a manifest was complete when it was made. Offsets let anyone derive a part from
//! `message.eml` again and prove it. Bytes that are not text are kept as base64 beside their decoded form.

use super::envelope::{Envelope, RawText};
use super::tree_path::Place;
use crate::ids::{DeliveryId, Digest, ReceiptId};
use crate::infra::volume::Stored;
use module_api::frame::MimeLimits;
use module_api::{PartKind, Problem};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name of the program that splits mails, in [`About::software`].
pub const SPLITTER: &str = "headworks-modules";

/// Everything about one tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub schema: Schema,
    /// Whose tree it is and how it arrived.
    #[serde(flatten)]
    pub about: About,
    /// `message.eml`; `None` if the delivery is a file and not a mail; the file is part 1 then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<FileFacts>,
    /// Parts in document order; part 1 is the first. A mail that was not split has none.
    pub parts: Vec<Part>,
}

/// The one format there is; a manifest of another one does not parse. A version only ever gains optional fields, so older
/// manifests are read, and of newer ones only the fields that are unknown here are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Schema {
    /// First version.
    #[serde(rename = "headworks.manifest/1")]
    V1,
}

/// Whose a tree is, how it arrived, and why it is where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The delivery this tree belongs to; decides whether a tree that is there already is adopted.
    pub delivery: DeliveryId,
    /// The receipt its sender holds.
    pub receipt: ReceiptId,
    /// Coordinates, or why it is held.
    pub place: Place,
    /// The rule that matched; `None` if it is held or was assigned by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<MatchedRule>,
    /// Sender, recipient, and when it was received.
    pub envelope: Envelope,
    /// Header fields of the message, in its order. All that were split off where `split_limits` is set; older programs
    /// kept the 14 that people look for.
    pub headers: Vec<Header>,
    /// What was odd about the message as a whole.
    pub problems: Vec<Problem>,
    /// Versions of the programs that made the tree, by name.
    pub software: BTreeMap<String, String>,
    /// Limits under which the message was split: the same version of [`SPLITTER`] finds the same header and parts under the
    /// same limits. None where the message was not split, or by a program that did not keep all that a module may see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_limits: Option<MimeLimits>,
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

/// Length and digest of a file in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Length in bytes.
    pub len_bytes: u64,
    /// SHA-256, 64 hex digits.
    pub sha256: Digest,
}

impl From<Stored> for FileFacts {
    fn from(stored: Stored) -> Self {
        Self { len_bytes: stored.len_bytes, sha256: stored.digest }
    }
}

impl FileFacts {
    /// The same facts in the form of a volume.
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

/// Everything about a part except its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFacts {
    /// Place in the tree of parts: `1.2` is the second child of the first part.
    pub path: String,
    /// Index, from 0, of the part this one was found in; none for parts of the outermost message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// Body, attachment or embedded message.
    pub kind: PartKind,
    /// Declared media type in lower case, without parameters.
    pub media_type: String,
    /// Media type by content.
    pub sniffed_type: String,
    /// Character set to read it by: the declared one, unless the bytes cannot be that.
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
    /// Nothing had to be decoded: its bytes are those of `in_message`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verbatim: bool,
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

impl Manifest {
    /// The manifest as stored.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("plain structs with text keys always encode");
        json.push(b'\n');
        json
    }

    /// Whether its header and parts are what `version` of [`SPLITTER`] finds in the message under `limits`.
    #[must_use]
    pub fn is_split_by(&self, version: &str, limits: &MimeLimits) -> bool {
        self.about.software.get(SPLITTER).is_some_and(|by| by == version)
            && self.about.split_limits.as_ref() == Some(limits)
    }

    /// Reads a stored manifest.
    ///
    /// # Errors
    /// When it is not one of a version this program knows.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

#[cfg(test)]
mod tests;
