//! The envelope of a mail as the store and the manifest keep it.

use crate::delivery::envelope::{Envelope, MailEnvelope, RawText};
use crate::ids::Timestamp;

/// The envelope of a spool entry, field by field: the entry is removed after the seal, so a field not copied here is lost.
/// `more` are problem codes that were found since.
#[must_use]
pub fn envelope(entry: &headworks_spool::Envelope, more: &[&str]) -> Envelope {
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
    } = entry;
    let mail = Box::new(MailEnvelope {
        sender: storable(sender),
        recipient: storable(recipient),
        original_recipient: optional(original_recipient),
        queue_id: plain(queue_id),
        client: plain(client_address),
        client_name: optional(client_name),
        client_helo: optional(client_helo),
        client_protocol: plain(client_protocol),
        sasl_user: optional(sasl_user),
        nexthop: optional(nexthop),
        declared_bytes: *declared_bytes,
        program: plain(program.as_bytes()),
        received_at: Timestamp(*received_at),
        problems: problems
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .map(str::to_owned)
            .collect(),
    });
    match door {
        headworks_spool::Door::Pipe => Envelope::Pipe(mail),
        headworks_spool::Door::Lmtp => Envelope::Lmtp(mail),
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
    use super::envelope;
    use headworks_spool::Door;
    use serde_json::json;
    use uuid::Uuid;

    fn entry() -> headworks_spool::Envelope {
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
        assert_eq!(json!(envelope(&entry(), &[])), kept);
    }

    #[test]
    fn problems_found_since_stand_behind_those_of_the_door() {
        let envelope = envelope(&entry(), &["cut_short"]);
        assert_eq!(envelope.mail().unwrap().problems, ["address_not_utf8", "cut_short"]);
    }
}
