//! Sender, recipient and how a delivery arrived: one form per door. Delivery rows and manifests keep it as JSON, tagged `door`.

use crate::ids::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a door recorded about one delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "door", rename_all = "snake_case")]
pub enum Envelope {
    /// A mail that Postfix handed to `mailhandler`.
    Pipe(Box<MailEnvelope>),
    /// A mail received over LMTP.
    Lmtp(Box<MailEnvelope>),
    /// A delivery posted to the REST API.
    Rest(RestEnvelope),
}

/// The envelope of a mail, in the words of the mail system in front of us. The client is the one of that mail system, and
/// absent for mail submitted on its host. Client name and account are personal data: stored and shown, never logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MailEnvelope {
    /// Envelope sender; empty for the null sender.
    pub sender: RawText,
    /// Envelope recipient this delivery is for.
    pub recipient: RawText,
    /// The recipient before aliases, where the mail system names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_recipient: Option<RawText>,
    /// Queue id of the mail system.
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
    /// Protocol of the client, for example `ESMTP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_protocol: Option<String>,
    /// Account the client authenticated as, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl_user: Option<RawText>,
    /// The next hop of the mail system's transport.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nexthop: Option<RawText>,
    /// Length that the mail system announced, in its own measure: not that of the bytes we have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared_bytes: Option<u64>,
    /// Program that put it into the spool, and its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// When we received it, by our clock.
    pub received_at: Timestamp,
    /// Problem codes of the door.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// The envelope of a delivery posted to the REST API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestEnvelope {
    /// Name of the key that posted it.
    #[serde(rename = "sender")]
    pub principal: RawText,
    /// Customer it was posted for.
    #[serde(rename = "recipient")]
    pub customer: RawText,
    /// When it arrived, by our clock.
    pub received_at: Timestamp,
}

impl Envelope {
    /// The envelope of a mail; `None` for other deliveries.
    #[must_use]
    pub fn mail(&self) -> Option<&MailEnvelope> {
        match self {
            Self::Pipe(mail) | Self::Lmtp(mail) => Some(mail),
            Self::Rest(_) => None,
        }
    }

    /// Who sent it, readable: an address, or the name of a key.
    #[must_use]
    pub fn sender(&self) -> &str {
        match self {
            Self::Pipe(mail) | Self::Lmtp(mail) => &mail.sender.text,
            Self::Rest(rest) => &rest.principal.text,
        }
    }

    /// Who it is for, readable: an address, or a customer.
    #[must_use]
    pub fn recipient(&self) -> &str {
        match self {
            Self::Pipe(mail) | Self::Lmtp(mail) => &mail.recipient.text,
            Self::Rest(rest) => &rest.customer.text,
        }
    }
}

/// Text from outside: readable, and exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RawText {
    /// Decoded; what could not be decoded is U+FFFD.
    pub text: String,
    /// The bytes as received, where they differ from those of `text`.
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

#[cfg(test)]
mod tests {
    use super::{Envelope, RawText};
    use serde_json::{Value, json};

    fn read(stored: &Value) -> Envelope {
        serde_json::from_value(stored.clone()).unwrap()
    }

    #[test]
    fn what_version_0_1_0_stored_is_read_and_written_alike() {
        let mail = json!({
            "door": "pipe", "sender": { "text": "" },
            "recipient": { "text": "b\u{fffd}ro@x.example", "raw_base64": "Yvxyb0B4LmV4YW1wbGU=" },
            "original_recipient": { "text": "office@x.example" }, "queue_id": "4fXyz12345", "client": "192.0.2.9",
            "client_name": { "text": "mx.dc1.example" }, "client_helo": { "text": "m\u{fffd}x", "raw_base64": "bQB4" },
            "client_protocol": "ESMTP", "sasl_user": { "text": "grid7" }, "nexthop": { "text": "x.example" },
            "declared_bytes": 1042, "program": "mailhandler 0.1.0", "received_at": "2023-01-13T12:00:00Z",
            "problems": ["address_not_utf8"],
        });
        let lmtp = json!({
            "door": "lmtp", "sender": { "text": "a@b.example" }, "recipient": { "text": "c@d.example" },
            "received_at": "2023-01-13T12:00:00Z",
        });
        let rest = json!({
            "door": "rest", "sender": { "text": "admin" }, "recipient": { "text": "acme" },
            "received_at": "2023-01-13T12:00:00Z",
        });
        for stored in [&mail, &lmtp, &rest] {
            assert_eq!(&json!(read(stored)), stored);
        }
        assert_eq!(read(&mail).mail().unwrap().problems, ["address_not_utf8"]);
        assert!(matches!(read(&lmtp), Envelope::Lmtp(_)));
        assert_eq!((read(&rest).sender(), read(&rest).recipient()), ("admin", "acme"));
        assert!(read(&rest).mail().is_none());
    }

    #[test]
    fn a_field_that_is_missing_or_a_door_that_is_unknown_is_an_error_that_names_it() {
        let error = |stored: Value| serde_json::from_value::<Envelope>(stored).unwrap_err().to_string();
        assert!(error(json!({ "door": "pipe", "sender": { "text": "" } })).contains("recipient"));
        assert!(error(json!({ "door": "fax" })).contains("fax"));
    }

    #[test]
    fn raw_bytes_are_kept_only_where_the_text_does_not_show_them() {
        assert_eq!(RawText::of("Büro".as_bytes()).raw_base64, None);
        let latin = RawText::of(b"B\xfcro");
        assert_eq!((latin.text.as_str(), latin.raw_base64.as_deref()), ("B\u{fffd}ro", Some("Qvxybw==")));
    }
}
