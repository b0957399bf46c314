//! The envelope of a mail as the store and the manifest keep it.

use crate::delivery::manifest::{Envelope, RawText};
use crate::ids::Timestamp;
use serde::{Deserialize, Serialize};

/// Who sent what to whom, and what was odd about how it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailRecord {
    /// The envelope.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// Problem codes of the door.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl MailRecord {
    /// What the spool entry says.
    #[must_use]
    pub fn of(envelope: &mailhandler::Envelope) -> Self {
        let optional = |bytes: &[u8]| (!bytes.is_empty()).then(|| storable(bytes));
        Self {
            envelope: Envelope {
                door: match envelope.door {
                    mailhandler::Door::Pipe => "pipe".into(),
                    mailhandler::Door::Lmtp => "lmtp".into(),
                },
                sender: storable(&envelope.sender),
                recipient: storable(&envelope.recipient),
                original_recipient: optional(&envelope.original_recipient),
                queue_id: optional(&envelope.queue_id).map(|id| id.text),
                client: optional(&envelope.client_address).map(|client| client.text),
                received_at: Timestamp(envelope.received_at),
            },
            problems: envelope.problems.clone(),
        }
    }
}

/// Text as both stores can hold it, with the exact bytes beside it where they differ.
fn storable(bytes: &[u8]) -> RawText {
    RawText::decoded(String::from_utf8_lossy(bytes).replace('\0', "\u{FFFD}"), bytes)
}
