//! One condition of a rule against one mail.

use super::RuleInput;
use crate::config::{AttachmentLike, Pattern, When};
use crate::ids::Slug;
use std::collections::BTreeMap;

/// Texts captured by named groups of patterns.
pub(super) type Captures = BTreeMap<String, String>;

/// Patterns see this many bytes of a field.
const SEEN_BYTES: usize = 8 << 10;

/// Headers that may occur only once (RFC 5322 3.6, RFC 2045 3). Of two, some readers take the first and others the last,
/// so a rule must not depend on them.
const SINGLE: [&str; 14] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "message-id",
    "in-reply-to",
    "references",
    "subject",
    "date",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];

/// Whether a condition holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes(Captures),
    No,
    /// It holds for a header that must be unique but occurs more than once.
    Repeated(&'static str),
}

/// One condition of a rule.
pub(super) enum Condition<'r> {
    Customer(&'r Slug),
    Recipient(&'r Pattern),
    Sender(&'r Pattern),
    Header(&'r str, &'r Pattern),
    Attachment(&'r AttachmentLike),
}

/// The conditions of a rule, cheap ones first.
pub(super) fn conditions(when: &When) -> impl Iterator<Item = Condition<'_>> {
    let named = [("from", &when.from), ("to", &when.to), ("subject", &when.subject)];
    let named =
        named.into_iter().filter_map(|(name, pattern)| Some(Condition::Header(name, pattern.as_ref()?)));
    let others = when.header.iter().map(|(name, pattern)| Condition::Header(name, pattern));
    let envelope = [
        when.customer.as_ref().map(Condition::Customer),
        when.recipient.as_ref().map(Condition::Recipient),
        when.sender.as_ref().map(Condition::Sender),
    ];
    let attachment = when.attachment.as_ref().map(Condition::Attachment);
    envelope.into_iter().flatten().chain(named).chain(others).chain(attachment)
}

impl Condition<'_> {
    /// Its name in the configuration.
    pub fn name(&self) -> String {
        match self {
            Self::Customer(_) => "customer".to_owned(),
            Self::Recipient(_) => "recipient".to_owned(),
            Self::Sender(_) => "sender".to_owned(),
            Self::Header(name @ ("from" | "to" | "subject"), _) => (*name).to_owned(),
            Self::Header(name, _) => format!("header.{name}"),
            Self::Attachment(_) => "attachment".to_owned(),
        }
    }

    /// Whether it holds for a mail of `customer`.
    pub fn ask(&self, customer: &Slug, input: &RuleInput<'_>) -> Answer {
        match self {
            Self::Customer(wanted) if *wanted == customer => Answer::Yes(Captures::new()),
            Self::Customer(_) => Answer::No,
            Self::Recipient(pattern) => search(pattern, input.recipient).map_or(Answer::No, Answer::Yes),
            Self::Sender(pattern) => search(pattern, input.sender).map_or(Answer::No, Answer::Yes),
            Self::Header(name, pattern) => ask_header(name, pattern, input.headers),
            Self::Attachment(like) => ask_attachments(like, input.attachments),
        }
    }
}

fn ask_header(name: &str, pattern: &Pattern, headers: &[(&str, &str)]) -> Answer {
    let lines = || headers.iter().filter(|(line, _)| line.eq_ignore_ascii_case(name));
    let Some(captures) = lines().find_map(|(_, text)| search(pattern, text)) else { return Answer::No };
    let single = SINGLE.into_iter().find(|single| single.eq_ignore_ascii_case(name));
    match single {
        Some(single) if lines().count() > 1 => Answer::Repeated(single),
        _ => Answer::Yes(captures),
    }
}

fn ask_attachments(like: &AttachmentLike, attachments: &[(&str, &str)]) -> Answer {
    let of_type =
        |sniffed: &str| like.type_.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(sniffed));
    let named = |name: &str| {
        like.name.as_ref().map_or_else(|| Some(Captures::new()), |pattern| search(pattern, name))
    };
    let found = attachments.iter().filter(|(_, kind)| of_type(kind)).find_map(|(name, _)| named(name));
    found.map_or(Answer::No, Answer::Yes)
}

/// The named captures of `pattern` in `text`; `None` without a match.
fn search(pattern: &Pattern, text: &str) -> Option<Captures> {
    let seen = &text[..text.floor_char_boundary(SEEN_BYTES)];
    let found = pattern.get().captures(seen)?;
    let named = |name: &str| Some((name.to_owned(), found.name(name)?.as_str().to_owned()));
    Some(pattern.capture_names().filter_map(named).collect())
}
