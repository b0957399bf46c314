//! SNS: in its envelope (row 5), or raw (row 4), which has neither topic nor signature (contract 5.7).
//!
//! Reading an envelope says nothing about its truth: the caller verifies it before it does anything with the rest.

use super::super::sns::{Envelope, EnvelopeKind};
use super::node::Node;
use super::{BODY, Found, Poison, Reading, Reason, Seen};

pub(super) fn is_raw(seen: &Seen<'_>) -> bool {
    seen.message.header("x-amz-sns-rawdelivery").is_some_and(|value| value.eq_ignore_ascii_case(b"true"))
}

pub(super) fn read_raw(seen: &Seen<'_>, reading: &mut Reading) -> Result<Found, Poison> {
    Ok(seen.read_from(BODY, reading))
}

pub(super) fn takes(seen: &Seen<'_>) -> bool {
    seen.message.header("x-amz-sns-message-type").is_some()
        || seen.has(&["Type", "MessageId", "TopicArn", "Timestamp"])
}

pub(super) fn read(seen: &Seen<'_>, reading: &mut Reading) -> Result<Found, Poison> {
    if reading.envelope.is_some() {
        return Err(Poison::new(Reason::TooWrapped, "body"));
    }
    let envelope = envelope(seen.object()?)?;
    let kind = envelope.kind;
    let envelope = reading.envelope.insert(Box::new(envelope));
    let message = envelope.message.clone();
    match kind {
        EnvelopeKind::Notification => seen.read_wrapped(message.as_bytes(), "/Message", reading),
        EnvelopeKind::SubscriptionConfirmation => Ok(Found::Subscription),
        EnvelopeKind::UnsubscribeConfirmation => Ok(Found::Unsubscribed),
    }
}

fn envelope(top: &Node<'_>) -> Result<Envelope, Poison> {
    let kind = match top.need_text("Type")?.as_str() {
        "Notification" => EnvelopeKind::Notification,
        "SubscriptionConfirmation" => EnvelopeKind::SubscriptionConfirmation,
        "UnsubscribeConfirmation" => EnvelopeKind::UnsubscribeConfirmation,
        _ => return Err(Poison::new(Reason::Unknown, "/Type")),
    };
    Ok(Envelope {
        kind,
        message_id: top.need_text("MessageId")?,
        topic: top.need_text("TopicArn")?,
        subject: signed_text(top, "Subject")?,
        message: signed_text(top, "Message")?.unwrap_or_default(),
        timestamp: top.need_text("Timestamp")?,
        signature_version: top.text("SignatureVersion")?,
        signature: top.text("Signature")?,
        certificate_url: either(top, "SigningCertURL", "SigningCertUrl")?,
        token: signed_text(top, "Token")?,
        subscribe_url: either(top, "SubscribeURL", "SubscribeUrl")?,
        unsubscribe_url: either(top, "UnsubscribeURL", "UnsubscribeUrl")?,
    })
}

/// A text that the signature covers: taken whole or not at all. An empty one is not a missing one.
fn signed_text(top: &Node<'_>, name: &str) -> Result<Option<String>, Poison> {
    let Some(json) = top.get(name)? else { return Ok(None) };
    let wrong = |reason| Poison::new(reason, top.place_of(name));
    let bytes = json.string().ok_or_else(|| wrong(Reason::WrongType))?;
    String::from_utf8(bytes.into_owned()).map(Some).map_err(|_| wrong(Reason::NotUtf8))
}

/// A member that relays spell differently; both at once would be two.
fn either(top: &Node<'_>, name: &str, relayed: &str) -> Result<Option<String>, Poison> {
    match (signed_text(top, name)?, signed_text(top, relayed)?) {
        (Some(_), Some(_)) => Err(Poison::new(Reason::Repeated, top.place_of(name))),
        (text, other) => Ok(text.or(other)),
    }
}
