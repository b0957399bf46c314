//! One delivery as a module sees it.

use crate::{Micros, Part};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything a module gets to know about a delivery.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// Its coordinates.
    pub coordinates: &'a Coordinates,
    /// Who sent it to whom. The envelope's words, not the header's.
    pub envelope: &'a Envelope,
    /// When headworks accepted it. The only "now" a module has.
    pub received_at: Micros,
    /// Settings of the matching rule: zone, locale, unit base, profile, as the module documents them.
    pub settings: &'a BTreeMap<String, String>,
    /// The decoded parts in document order; archive members follow their archive.
    pub parts: &'a [Part<'a>],
}

/// The four coordinates of a delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coordinates {
    /// Whose it is. Decided by the recipient, never by content.
    pub customer: String,
    /// Family of formats, for example `hydrastor`.
    pub category: String,
    /// Format, for example `alert`.
    #[serde(rename = "type")]
    pub type_: String,
    /// What it is about, for example a grid or node name; a guess from the subject, so the content wins.
    pub group: String,
}

/// The envelope of a delivery. Addresses are bytes as the mail system gave them, with anything that is not UTF-8
/// replaced; for other doors the fields that make no sense are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Envelope sender; empty for the null sender.
    pub sender: String,
    /// Envelope recipient this delivery is for.
    pub recipient: String,
    /// `Subject`, decoded, of the outermost message.
    pub subject: String,
    /// Header fields of the outermost message in their order: name as written, value unfolded and decoded. At most
    /// [`Envelope::HEADERS`] of them, each value cut at [`Envelope::HEADER_BYTES`].
    pub headers: Vec<(String, String)>,
}

impl Envelope {
    /// Most header fields a module is given.
    pub const HEADERS: usize = 200;
    /// Longest value of a header field, in bytes.
    pub const HEADER_BYTES: usize = 2048;

    /// The same envelope with subject and header of its mail, within the limits above.
    #[must_use]
    pub fn with_header(mut self, fields: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut subject = None;
        for (name, mut value) in fields {
            if subject.is_none() && name.eq_ignore_ascii_case("subject") {
                subject = Some(value.clone());
            }
            if self.headers.len() < Self::HEADERS {
                value.truncate(value.floor_char_boundary(Self::HEADER_BYTES));
                self.headers.push((name, value));
            }
        }
        self.subject = subject.unwrap_or_default();
        self
    }

    /// The first header field of that name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}
