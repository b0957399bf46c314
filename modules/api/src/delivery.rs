//! One delivery as a module sees it.

use crate::{Micros, Part, PartKind};
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

/// Most parts that [`Delivery::holds`] names.
const NAMED: usize = 5;
/// Bytes of a text in which it looks for signs of how the text was sent.
const SIGNS_WITHIN: usize = 64 << 10;
/// Longest path it shows, in bytes.
const PATH_BYTES: usize = 100;

impl Delivery<'_> {
    /// What was there, for the reason of a rejection: `one part: text/plain, 1204 bytes, no line ends: was it sent with
    /// -d?`.
    #[must_use]
    pub fn holds(&self) -> String {
        let parts: Vec<&Part<'_>> = self.parts.iter().filter(|part| part.kind != PartKind::Message).collect();
        let of = |part: &Part<'_>| {
            let sign = self.sign(part).map_or_else(String::new, |sign| format!(", {sign}"));
            format!("{}, {} bytes{sign}", part.sniffed_type, part.content.len())
        };
        let (count, named) = match parts.as_slice() {
            [] => return "no part".into(),
            [one] => return format!("one part: {}", of(one)),
            parts => (parts.len(), &parts[..parts.len().min(NAMED)]),
        };
        let path = |part: &Part<'_>| part.path[..part.path.floor_char_boundary(PATH_BYTES)].to_owned();
        let listed: Vec<String> = named.iter().map(|part| format!("{} {}", path(part), of(part))).collect();
        let more = if count > NAMED { format!("; and {} more", count - NAMED) } else { String::new() };
        format!("{count} parts: {}{more}", listed.join("; "))
    }

    /// How the text of a file that is no mail was probably sent, where that spoils it.
    fn sign(&self, part: &Part<'_>) -> Option<&'static str> {
        // A mail has a header, or a body at least.
        let is_file = self.envelope.headers.is_empty() && part.kind == PartKind::Attachment;
        if !is_file || part.parent.is_some() || !part.sniffed_type.starts_with("text/") {
            return None;
        }
        let text = part.text(SIGNS_WITHIN).ok()?.text;
        match () {
            () if text.contains("%0A") || text.contains("%0a") => {
                Some("percent-encoded: was it sent with --data-urlencode?")
            }
            () if text.starts_with("--") && text.contains("form-data") => {
                Some("a form that was not declared as one: was its Content-Type replaced?")
            }
            () if !text.trim_end().contains('\n') => Some("no line ends: was it sent with -d?"),
            () => None,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Content;

    fn part<'a>(path: &str, sniffed: &str, bytes: &'a [u8]) -> Part<'a> {
        Part {
            kind: PartKind::Attachment,
            path: path.into(),
            parent: None,
            media_type: "application/octet-stream".into(),
            sniffed_type: sniffed.into(),
            charset: None,
            name: None,
            problems: Vec::new(),
            content: Content::Memory(bytes),
        }
    }

    fn holds(header: &str, parts: &[Part<'_>]) -> String {
        let fields = [header].into_iter().filter(|name| !name.is_empty());
        let headers = fields.map(|name| (name.into(), "x".into())).collect();
        let envelope = Envelope { headers, ..Envelope::default() };
        let (coordinates, settings) = (Coordinates::default(), BTreeMap::new());
        let (coordinates, settings) = (&coordinates, &settings);
        Delivery { coordinates, envelope: &envelope, received_at: 0, settings, parts }.holds()
    }

    #[test]
    fn it_says_what_was_there_and_how_it_was_sent() {
        let sent = "one part: text/plain, 8 bytes, no line ends: was it sent with -d?";
        assert_eq!(holds("", &[part("1", "text/plain", b"Grid: a ")]), sent);
        assert_eq!(holds("From", &[part("1", "text/plain", b"Grid: a ")]), "one part: text/plain, 8 bytes");
        assert_eq!(holds("", &[part("1", "text/plain", b"a\nb\n")]), "one part: text/plain, 4 bytes");
        assert!(holds("", &[part("1", "text/plain", b"Grid%3A+a%0A")]).contains("--data-urlencode"));
        let form = b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b--\r\n";
        assert!(holds("", &[part("1", "text/plain", form)]).contains("Content-Type replaced"));
        assert_eq!(holds("", &[]), "no part");
        let many: Vec<Part<'_>> = (1..=7).map(|n| part(&n.to_string(), "image/png", b"12")).collect();
        assert!(holds("", &many).starts_with("7 parts: 1 image/png, 2 bytes; 2 image/png, 2 bytes; "));
        assert!(holds("", &many).ends_with("; and 2 more"));
    }
}
