//! `Content-Type`, `Content-Disposition` and `Content-Transfer-Encoding` of one entity, and their parameters.
//!
//! They are written by hand in more ways than RFC 2045 allows, so words are matched by what they are close to, and
//! every such reading has a code.

use super::closest::{self, Encoding, WORD_BYTES, is_close, letters};
use super::field::{Fields, cut, text_of};
use super::name;
use super::value::{Param, Parsed, parse};
use crate::problem::add;
use module_api::Problem;
use std::borrow::Cow;

/// Longest boundary RFC 2046 allows, with some room for those who do not care.
pub(super) const BOUNDARY_BYTES: usize = 256;

/// What an entity's header says about its body.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Lower case, without parameters; `text/plain` where none is declared (RFC 2045 section 5.2).
    pub media_type: String,
    /// As declared, in lower case, without comment, quotes and parameters.
    pub transfer_encoding: String,
    /// What that means.
    pub encoding: Encoding,
    /// Lower case, without parameters.
    pub disposition: String,
    /// Parameters of `Content-Type`.
    pub type_params: Vec<Param>,
    /// Parameters of `Content-Disposition`.
    pub disposition_params: Vec<Param>,
}

/// The fields that describe a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Type,
    Disposition,
    TransferEncoding,
}

/// Their names without punctuation.
const NAMES: [(Slot, &str); 3] = [
    (Slot::Type, "contenttype"),
    (Slot::Disposition, "contentdisposition"),
    (Slot::TransferEncoding, "contenttransferencoding"),
];

/// Which field a name is, and whether it is spelt so.
fn slot(name: &[u8]) -> Option<(Slot, bool)> {
    let exact = |right: &str| name.eq_ignore_ascii_case(right.as_bytes());
    match () {
        () if exact("content-type") => return Some((Slot::Type, true)),
        () if exact("content-disposition") => return Some((Slot::Disposition, true)),
        () if exact("content-transfer-encoding") => return Some((Slot::TransferEncoding, true)),
        () => {}
    }
    if !(9..=32).contains(&name.len()) || !matches!(name[0], b'C' | b'c' | b'O' | b'o') {
        return None;
    }
    let letters = letters(&String::from_utf8_lossy(name));
    NAMES
        .iter()
        .find(|(_, right)| is_close(&letters, right, 1 + right.len() / 20))
        .map(|(slot, _)| (*slot, false))
}

/// Whether a field name with a blank inside, or any other, is a misspelt one of those that describe a body.
pub(super) fn is_misspelt(name: &[u8]) -> bool {
    matches!(slot(name), Some((_, false)))
}

impl Content {
    /// Reads the content fields of a header block. Of duplicates the first counts, and a misspelt one only where no
    /// other is there.
    pub(super) fn of(header: &[u8], problems: &mut Vec<Problem>) -> Self {
        // Name, value, and whether the name is spelt so.
        type Found<'h> = Option<(&'h [u8], &'h [u8], bool)>;
        let mut content = Self { media_type: "text/plain".into(), ..Self::default() };
        let mut found: [Found<'_>; 3] = [None; 3];
        for field in Fields::of(header) {
            let Some((slot, exact)) = slot(field.name) else { continue };
            let place = &mut found[slot as usize];
            match place {
                Some((.., true)) if exact => add(problems, "dup_header", &text_of(field.name)),
                Some((.., was_exact)) if *was_exact || !exact => {}
                _ => *place = Some((field.name, field.value, exact)),
            }
        }
        for (name, ..) in found.iter().flatten().filter(|(.., exact)| !exact) {
            add(problems, "header_misspelt", &text_of(name));
        }
        let value = |slot: Slot| found[slot as usize].map(|(_, value, _)| value);
        if let Some(value) = value(Slot::Type) {
            content.set_type(value, problems);
        }
        if let Some(value) = value(Slot::Disposition) {
            let parsed = parse(value);
            content.disposition = cut(parsed.word.trim_matches('"').to_owned(), WORD_BYTES);
            content.disposition_params = parsed.params;
        }
        if let Some(value) = value(Slot::TransferEncoding) {
            content.set_transfer_encoding(value, problems);
        }
        content
    }

    fn set_type(&mut self, value: &[u8], problems: &mut Vec<Problem>) {
        let Parsed { word, params, odd, .. } = parse(value);
        self.type_params = params;
        if odd {
            add(problems, "param_odd", &text_of(value.trim_ascii()));
        }
        let (media_type, sure) = closest::media_type(&word, self.type_param("boundary").is_some());
        if !sure {
            add(problems, "bad_type", &word);
        }
        self.media_type = media_type;
    }

    fn set_transfer_encoding(&mut self, value: &[u8], problems: &mut Vec<Problem>) {
        let written = text_of(value).trim().to_ascii_lowercase();
        let parsed = parse(value);
        let first = parsed.word.trim_matches(['"', '\'', '.', ',', ':', ' ']);
        let (encoding, is_odd) = closest::transfer_encoding(first, &parsed.spaced);
        if encoding == Encoding::Unknown {
            add(problems, "cte_unknown", &written);
        } else if is_odd || first != written {
            add(problems, "cte_odd", &written);
        }
        self.encoding = encoding;
        self.transfer_encoding = cut(first.to_owned(), WORD_BYTES);
    }

    /// The boundary of a multipart, if there is a usable one.
    pub(super) fn boundary(&self) -> Option<Vec<u8>> {
        let value = self.type_param("boundary")?;
        let boundary = value.trim_ascii_end();
        (1..=BOUNDARY_BYTES).contains(&boundary.len()).then(|| boundary.to_vec())
    }

    /// The declared character set, lower case.
    pub(super) fn charset(&self) -> Option<String> {
        let charset = text_of(&self.type_param("charset")?).trim().to_ascii_lowercase();
        let charset = charset.split(['(', ' ', '\t']).next().unwrap_or_default();
        (!charset.is_empty() && charset.len() <= 64 && charset.chars().all(|c| c.is_ascii_graphic()))
            .then(|| charset.to_owned())
    }

    /// Whether it is text whose lines a mail program broke (RFC 3676), and whether the blank at the break goes.
    pub(super) fn flowed(&self) -> Option<bool> {
        let is = |name: &str, word: &str| {
            self.type_param(name)
                .is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
        };
        (self.media_type == "text/plain" && is("format", "flowed")).then(|| is("delsp", "yes"))
    }

    /// Whether it is an embedded message.
    pub(super) fn is_message(&self) -> bool {
        matches!(self.media_type.as_str(), "message/rfc822" | "message/global")
    }

    /// Whether it is an embedded message whose own entities stand in the mail as they are.
    pub(super) fn is_plain_message(&self) -> bool {
        self.is_message() && matches!(self.encoding, Encoding::Identity | Encoding::Unknown)
    }

    /// Whether it holds other entities.
    pub(super) fn is_multipart(&self) -> bool {
        self.media_type.starts_with("multipart/")
    }

    /// What a body of this type is that nobody may open, follow or put together, as a problem code.
    pub(super) fn closed(&self) -> Option<&'static str> {
        match self.media_type.as_str() {
            "message/partial" => Some("message_partial"),
            "message/external-body" => Some("external_body"),
            "application/pgp-encrypted" => Some("encrypted"),
            _ => None,
        }
    }

    /// Whether it is an S/MIME message, by its type or its name.
    pub(super) fn is_smime(&self, name: Option<&str>) -> bool {
        match self.media_type.as_str() {
            "application/pkcs7-mime" | "application/x-pkcs7-mime" => true,
            "application/octet-stream" => {
                name.is_some_and(|name| name.to_ascii_lowercase().ends_with(".p7m"))
            }
            _ => false,
        }
    }

    /// Whether its header says that only the recipient can read it.
    pub(super) fn says_encrypted(&self) -> bool {
        let kind = self.type_param("smime-type").map(|kind| kind.to_ascii_lowercase());
        kind.is_some_and(|kind| kind.windows(9).any(|part| part == b"enveloped"))
    }

    /// A parameter of the type, put together where it comes in pieces (RFC 2231).
    pub(super) fn type_param(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match self.type_params.iter().find(|p| p.name == name) {
            Some(plain) => Some(Cow::Borrowed(plain.value.as_slice())),
            None => name::joined(&self.type_params, name).map(Cow::Owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Media type, transfer encoding as it is understood, and problem codes of a header.
    fn content(header: &str) -> (String, Encoding, String) {
        let mut problems = Vec::new();
        let content = Content::of(header.as_bytes(), &mut problems);
        let codes: Vec<_> = problems.iter().map(|p| p.code.as_ref()).collect();
        (content.media_type, content.encoding, codes.join(" "))
    }

    #[test]
    fn types_that_are_none_are_taken_for_what_they_are_close_to() {
        for (written, read, codes) in [
            ("text/plain", "text/plain", ""),
            ("X-Ours/Thing", "x-ours/thing", ""),
            ("private/thing", "private/thing", ""),
            ("text", "text/plain", "bad_type"),
            ("plain; charset=utf-8", "text/plain", "bad_type"),
            ("", "text/plain", "bad_type"),
            ("text/", "text/plain", "bad_type"),
            ("/plain", "text/plain", "bad_type"),
            ("text\\plain", "text/plain", "bad_type"),
            ("\"text/plain\"", "text/plain", ""),
            ("text/plain/utf-8", "text/plain", "bad_type"),
            ("test/plain", "text/plain", "bad_type"),
            ("txet/html", "text/html", "bad_type"),
            ("html", "text/html", "bad_type"),
            ("multipart; boundary=x", "multipart/mixed", "bad_type"),
            ("mutlipart/mixed; boundary=x", "multipart/mixed", "bad_type"),
            ("anything; boundary=x", "multipart/mixed", "bad_type"),
            ("nothing known", "text/plain", "bad_type"),
            ("text/plain charset=x", "text/plain", "param_odd"),
        ] {
            let (media_type, _, found) = content(&format!("Content-Type: {written}\n"));
            assert_eq!((media_type.as_str(), found.as_str()), (read, codes), "{written:?}");
        }
    }

    #[test]
    fn encodings_that_are_none_are_taken_for_what_they_are_close_to() {
        use Encoding::{Base64, Identity, QuotedPrintable, Unknown};
        for (written, read, codes) in [
            ("base64", Base64, ""),
            ("BASE64", Base64, ""),
            ("Quoted-Printable", QuotedPrintable, ""),
            ("8bit", Identity, ""),
            ("", Identity, ""),
            ("base64;", Base64, "cte_odd"),
            ("(c) base64", Base64, "cte_odd"),
            ("base64 (c)", Base64, "cte_odd"),
            ("\"base64\"", Base64, "cte_odd"),
            ("base64, 8bit", Base64, "cte_odd"),
            ("base64; charset=utf-8", Base64, "cte_odd"),
            ("base-64", Base64, "cte_odd"),
            ("base 64", Base64, "cte_odd"),
            ("bas64", Base64, "cte_odd"),
            ("b64", Base64, "cte_odd"),
            ("quoted-printable; charset=utf-8", QuotedPrintable, "cte_odd"),
            ("quoted printable", QuotedPrintable, "cte_odd"),
            ("quoted_printable", QuotedPrintable, "cte_odd"),
            ("quotedprintible", QuotedPrintable, "cte_odd"),
            ("quoted-printeable", QuotedPrintable, "cte_odd"),
            ("8 bit", Identity, "cte_odd"),
            ("7-bit", Identity, "cte_odd"),
            ("utf-8", Identity, "cte_odd"),
            ("x-uuencode", Unknown, "cte_unknown"),
        ] {
            let (_, encoding, found) = content(&format!("Content-Transfer-Encoding: {written}\n"));
            assert_eq!((encoding, found.as_str()), (read, codes), "{written:?}");
        }
    }

    #[test]
    fn misspelt_fields_count_where_no_other_is_there() {
        for (header, media_type, encoding, codes) in [
            ("ContentType: a/b\nContent-Transfer-Encodng: base64\n", "application/b", Encoding::Base64, ""),
            ("Content Type: text/html\n", "text/html", Encoding::Identity, ""),
            ("Content_Type: text/html\n", "text/html", Encoding::Identity, ""),
            ("Conten-Type: text/html\n", "text/html", Encoding::Identity, ""),
            ("Content-Tpye: text/html\n", "text/html", Encoding::Identity, ""),
        ] {
            let header = header.replace("a/b", "application/b");
            let (found_type, found_encoding, found) = content(&header);
            assert_eq!((found_type.as_str(), found_encoding), (media_type, encoding), "{header:?}");
            assert_eq!(found, if codes.is_empty() { "header_misspelt" } else { codes }, "{header:?}");
        }
        let (media_type, _, codes) = content("ContentType: text/csv\nContent-Type: text/html\n");
        assert_eq!((media_type.as_str(), codes.as_str()), ("text/html", ""));
        assert_eq!(content("X-Content-Type: text/html\n").0, "text/plain");
    }
}
