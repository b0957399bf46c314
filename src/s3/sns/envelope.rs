//! The envelope of a message, as it was sent.

/// What an envelope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvelopeKind {
    /// A message of a topic.
    Notification,
    /// A request to confirm a subscription.
    SubscriptionConfirmation,
    /// Word that a subscription ended.
    UnsubscribeConfirmation,
}

/// An envelope. Its texts are those that were signed, to the byte; none of them is true before it is verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What it holds.
    pub kind: EnvelopeKind,
    /// Id of the message, the same when it is sent again.
    pub message_id: String,
    /// ARN of the topic.
    pub topic: String,
    /// Subject; an empty one is signed, a missing one is not.
    pub subject: Option<String>,
    /// What was published.
    pub message: String,
    /// When it was published, RFC 3339.
    pub timestamp: String,
    /// `1`: SHA-1; `2`: SHA-256.
    pub signature_version: Option<String>,
    /// Base64.
    pub signature: Option<String>,
    /// Where the certificate is.
    pub certificate_url: Option<String>,
    /// Secret of a confirmation.
    pub token: Option<String>,
    /// Address that confirms a subscription, or begins it again; holds the token.
    pub subscribe_url: Option<String>,
    /// Address that ends the subscription.
    pub unsubscribe_url: Option<String>,
}

impl EnvelopeKind {
    /// Its name in `Type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notification => "Notification",
            Self::SubscriptionConfirmation => "SubscriptionConfirmation",
            Self::UnsubscribeConfirmation => "UnsubscribeConfirmation",
        }
    }
}

impl Envelope {
    /// The text that is signed: names and values, a line each, of the fields its kind has, in the order of the names. A
    /// subject counts only where there is one. `None` if a field is missing that must be signed.
    #[must_use]
    pub fn signed_text(&self) -> Option<String> {
        let kind = self.kind.as_str();
        let (id, topic) = (self.message_id.as_str(), self.topic.as_str());
        let (message, timestamp) = (self.message.as_str(), self.timestamp.as_str());
        let mut fields = vec![("Message", message), ("MessageId", id)];
        if self.kind == EnvelopeKind::Notification {
            fields.extend(self.subject.as_deref().map(|subject| ("Subject", subject)));
            fields.push(("Timestamp", timestamp));
        } else {
            fields.push(("SubscribeURL", self.subscribe_url.as_deref()?));
            fields.extend([("Timestamp", timestamp), ("Token", self.token.as_deref()?)]);
        }
        fields.extend([("TopicArn", topic), ("Type", kind)]);
        Some(fields.iter().map(|(name, value)| format!("{name}\n{value}\n")).collect())
    }
}

/// Without what would let its reader subscribe or unsubscribe.
impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Envelope");
        shown.field("kind", &self.kind).field("message_id", &self.message_id).field("topic", &self.topic);
        shown.field("subject", &self.subject).field("timestamp", &self.timestamp);
        shown
            .field("signature_version", &self.signature_version)
            .field("certificate_url", &self.certificate_url);
        shown.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(kind: EnvelopeKind) -> Envelope {
        Envelope {
            kind,
            message_id: "id".into(),
            topic: "arn".into(),
            subject: None,
            message: "a\nb ".into(),
            timestamp: "then".into(),
            signature_version: None,
            signature: None,
            certificate_url: None,
            token: Some("secret-token".into()),
            subscribe_url: Some("https://subscribe".into()),
            unsubscribe_url: Some("https://unsubscribe".into()),
        }
    }

    #[test]
    fn a_notification_signs_its_subject_only_where_it_has_one() {
        let mut envelope = envelope(EnvelopeKind::Notification);
        let rest = "Timestamp\nthen\nTopicArn\narn\nType\nNotification\n";
        assert_eq!(envelope.signed_text().unwrap(), format!("Message\na\nb \nMessageId\nid\n{rest}"));
        envelope.subject = Some(String::new());
        assert_eq!(
            envelope.signed_text().unwrap(),
            format!("Message\na\nb \nMessageId\nid\nSubject\n\n{rest}")
        );
    }

    #[test]
    fn a_confirmation_signs_its_address_and_token_and_no_subject() {
        let mut envelope = envelope(EnvelopeKind::SubscriptionConfirmation);
        envelope.subject = Some("ignored".into());
        let expected = "Message\na\nb \nMessageId\nid\nSubscribeURL\nhttps://subscribe\nTimestamp\nthen\nToken\nsecret-token\n\
                        TopicArn\narn\nType\nSubscriptionConfirmation\n";
        assert_eq!(envelope.signed_text().unwrap(), expected);
        envelope.token = None;
        assert_eq!(envelope.signed_text(), None);
    }

    #[test]
    fn token_and_addresses_are_not_printed() {
        let shown = format!("{:?}", envelope(EnvelopeKind::SubscriptionConfirmation));
        assert!(!shown.contains("secret") && !shown.contains("subscribe"), "{shown}");
    }
}
