//! What a sender says of a file, and what the file is. Bytes decide; what is said is a hint.

use crate::web::Problem;
use module_sniff::{self as sniff, MAIL};

/// Type of what nobody declared a type of.
const OCTETS: &str = "application/octet-stream";
/// Types that senders' tools declare whatever they send: that of `curl --data-binary` first.
const SAYS_NOTHING: [&str; 6] = [
    "application/x-www-form-urlencoded",
    OCTETS,
    "application/binary",
    "application/x-message",
    "application/eml",
    "application/rfc822",
];
/// Longest label of a character set.
const LABEL_CHARS: usize = 64;

/// The type of a file as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Media type, lower case, without parameters; `application/octet-stream` where none was declared.
    pub media_type: String,
    /// Label of the character set, lower case.
    pub charset: Option<String>,
}

impl Declared {
    /// What the query says, else what a header says. A header that is no media type says nothing: many tools send one
    /// that nobody chose.
    ///
    /// # Errors
    /// When the query says something that is no media type.
    pub fn of(query: Option<&str>, header: Option<&str>) -> Result<Self, Problem> {
        if let Some(given) = query {
            return Self::parse(given)
                .ok_or_else(|| Problem::parameter("media_type", "is not of the form type/subtype"));
        }
        let nothing = || Self { media_type: OCTETS.to_owned(), charset: None };
        Ok(header.and_then(Self::parse).unwrap_or_else(nothing))
    }

    fn parse(given: &str) -> Option<Self> {
        let mut pieces = given.split(';');
        let essence = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
        let token = |word: &str| {
            (1..=127).contains(&word.len())
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
        };
        let (top, sub) = essence.split_once('/')?;
        (token(top) && token(sub))
            .then(|| Self { charset: pieces.find_map(charset), media_type: essence.clone() })
    }

    /// Whether a file of this name, beginning like this, is a mail.
    #[must_use]
    pub fn is_mail(&self, name: Option<&str>, front: &[u8]) -> bool {
        let hinted = SAYS_NOTHING.contains(&self.media_type.as_str())
            || name.is_some_and(|name| name.to_ascii_lowercase().ends_with(".eml"));
        let looks = || sniff::media_type(front, OCTETS) == MAIL;
        self.media_type == MAIL || sniff::is_mail(front) || (hinted && looks())
    }
}

/// The value of `charset=…`.
fn charset(parameter: &str) -> Option<String> {
    let (name, value) = parameter.split_once('=')?;
    let value = value.trim().trim_matches('"');
    let fits = (1..=LABEL_CHARS).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic());
    (fits && name.trim().eq_ignore_ascii_case("charset")).then(|| value.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::Declared;

    fn declared(header: &str) -> (String, Option<String>) {
        let Declared { media_type, charset } = Declared::of(None, Some(header)).unwrap();
        (media_type, charset)
    }

    #[test]
    fn a_header_is_read_as_far_as_it_can_be_and_a_bad_query_is_refused() {
        let octets = "application/octet-stream".to_owned();
        assert_eq!(
            declared("Text/CSV; Charset=\"Shift_JIS\""),
            ("text/csv".into(), Some("shift_jis".into()))
        );
        assert_eq!(declared("text/plain; charset=a b"), ("text/plain".into(), None));
        for nothing in ["text", "", "text/", "/plain", "te xt/plain", "text/plain/x"] {
            assert_eq!(declared(nothing), (octets.clone(), None), "{nothing}");
            assert!(Declared::of(Some(nothing), None).is_err(), "{nothing}");
        }
        assert_eq!(Declared::of(None, None).unwrap().media_type, octets);
        assert_eq!(Declared::of(Some("text/csv"), Some("text/plain")).unwrap().media_type, "text/csv");
    }

    #[test]
    fn a_mail_is_one_by_its_bytes() {
        let sent = b"Received: by x\r\nFrom: a@b\r\nSubject: s\r\n\r\nbody";
        let draft = b"From: ops\r\nSubject: all is well\r\n\r\nbody";
        for (header, name, bytes, expected) in [
            ("message/rfc822", None, &b"anything"[..], true),
            ("text/plain", None, sent, true),
            ("application/x-www-form-urlencoded", None, sent, true),
            ("application/x-www-form-urlencoded", None, draft, true),
            ("text/plain", Some("draft.EML"), draft, true),
            ("text/plain", Some("notes.txt"), draft, false),
            ("application/octet-stream", Some("report.eml"), b"SYSTEM REPORT\n", false),
        ] {
            let declared = Declared::of(None, Some(header)).unwrap();
            assert_eq!(declared.is_mail(name, bytes), expected, "{header} {name:?}");
        }
    }
}
