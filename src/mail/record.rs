//! The envelope of a mail as the store and the manifest keep it.

use crate::delivery::manifest::{Envelope, RawText, Transport};
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
    /// What the spool entry says, field by field: after the seal the entry is gone, and what is not taken over here is lost.
    #[must_use]
    pub fn of(envelope: &headworks_spool::Envelope) -> Self {
        let headworks_spool::Envelope {
            spool_id: _,   // home of the delivery
            receipt_id: _, // receipt of the delivery
            door,
            received_at,
            queue_id,
            sender,
            recipient,
            original_recipient,
            client_address,
            client_name,
            client_helo,
            client_protocol,
            sasl_user,
            nexthop,
            declared_bytes,
            problems,
            program,
        } = envelope;
        let transport = Transport {
            queue_id: plain(queue_id),
            client: plain(client_address),
            client_name: optional(client_name),
            client_helo: optional(client_helo),
            client_protocol: plain(client_protocol),
            sasl_user: optional(sasl_user),
            nexthop: optional(nexthop),
            declared_bytes: *declared_bytes,
            program: plain(program.as_bytes()),
        };
        let door = match door {
            headworks_spool::Door::Pipe => "pipe",
            headworks_spool::Door::Lmtp => "lmtp",
        };
        let envelope = Envelope {
            door: door.into(),
            sender: storable(sender),
            recipient: storable(recipient),
            original_recipient: optional(original_recipient),
            transport,
            received_at: Timestamp(*received_at),
        };
        Self { envelope, problems: problems.clone() }
    }
}

fn optional(bytes: &[u8]) -> Option<RawText> {
    (!bytes.is_empty()).then(|| storable(bytes))
}

/// Words of the mail system's own, which are plain.
fn plain(bytes: &[u8]) -> Option<String> {
    optional(bytes).map(|text| text.text)
}

/// Text as both stores can hold it, with the exact bytes beside it where they differ.
fn storable(bytes: &[u8]) -> RawText {
    RawText::decoded(String::from_utf8_lossy(bytes).replace('\0', "\u{FFFD}"), bytes)
}

#[cfg(test)]
mod tests {
    use super::MailRecord;
    use headworks_spool::Door;
    use serde_json::json;
    use uuid::Uuid;

    fn envelope() -> headworks_spool::Envelope {
        headworks_spool::Envelope {
            spool_id: Uuid::from_u128(1),
            receipt_id: Uuid::from_u128(2),
            door: Door::Pipe,
            received_at: 1_673_611_200_000_000,
            queue_id: b"4fXyz12345".to_vec(),
            sender: Vec::new(),
            recipient: b"b\xfcro@x.example".to_vec(),
            original_recipient: b"office@x.example".to_vec(),
            client_address: b"192.0.2.9".to_vec(),
            client_name: b"mx.dc1.example".to_vec(),
            client_helo: b"m\0x".to_vec(),
            client_protocol: b"ESMTP".to_vec(),
            sasl_user: b"grid7".to_vec(),
            nexthop: b"x.example".to_vec(),
            declared_bytes: Some(1042),
            problems: vec!["address_not_utf8".into()],
            program: "mailhandler 0.1.0".into(),
        }
    }

    #[test]
    fn everything_the_entry_says_is_kept_exactly() {
        let kept = json!({
            "door": "pipe",
            "sender": { "text": "" },
            "recipient": { "text": "b\u{fffd}ro@x.example", "raw_base64": "Yvxyb0B4LmV4YW1wbGU=" },
            "original_recipient": { "text": "office@x.example" },
            "queue_id": "4fXyz12345",
            "client": "192.0.2.9",
            "client_name": { "text": "mx.dc1.example" },
            "client_helo": { "text": "m\u{fffd}x", "raw_base64": "bQB4" },
            "client_protocol": "ESMTP",
            "sasl_user": { "text": "grid7" },
            "nexthop": { "text": "x.example" },
            "declared_bytes": 1042,
            "program": "mailhandler 0.1.0",
            "received_at": "2023-01-13T12:00:00Z",
            "problems": ["address_not_utf8"],
        });
        let record = MailRecord::of(&envelope());
        assert_eq!(json!(record), kept);
        assert_eq!(serde_json::from_value::<MailRecord>(kept).unwrap(), record);
    }
}
