//! `Content-Type`, `Content-Disposition` and `Content-Transfer-Encoding` of one entity, and their parameters.

use super::field::{Fields, cut, text_of};
use crate::problem::add;
use module_api::Problem;

/// Most parameters of one field that are looked at.
const MOST_PARAMS: usize = 1_000;
/// Longest media type, encoding or disposition; RFC 6838 allows 127 for each half of a type.
const WORD_BYTES: usize = 255;
/// Longest boundary RFC 2046 allows, with some room for those who do not care.
const BOUNDARY_BYTES: usize = 256;

/// What an entity's header says about its body.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Lower case, without parameters; `text/plain` where none is declared (RFC 2045 section 5.2).
    pub media_type: String,
    /// Lower case, without comment and quotes.
    pub transfer_encoding: String,
    /// Lower case, without parameters.
    pub disposition: String,
    /// Parameters of `Content-Type`.
    pub type_params: Vec<Param>,
    /// Parameters of `Content-Disposition`.
    pub disposition_params: Vec<Param>,
}

/// One parameter as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Param {
    /// Lower case.
    pub name: String,
    /// Without quotes.
    pub value: Vec<u8>,
}

impl Content {
    /// Reads the content fields of a header block. Of duplicates the first counts.
    pub(super) fn of(header: &[u8], problems: &mut Vec<Problem>) -> Self {
        let mut content = Self { media_type: "text/plain".into(), ..Self::default() };
        let mut seen = [false; 3];
        for field in Fields::of(header) {
            let slot = match () {
                () if field.name.eq_ignore_ascii_case(b"content-type") => 0,
                () if field.name.eq_ignore_ascii_case(b"content-disposition") => 1,
                () if field.name.eq_ignore_ascii_case(b"content-transfer-encoding") => 2,
                () => continue,
            };
            if std::mem::replace(&mut seen[slot], true) {
                add(problems, "dup_header", &text_of(field.name));
                continue;
            }
            match slot {
                0 => content.set_type(field.value, problems),
                1 => {
                    let (word, params) = parse(field.value);
                    (content.disposition, content.disposition_params) = (cut(word, WORD_BYTES), params);
                }
                _ => content.set_transfer_encoding(field.value, problems),
            }
        }
        content
    }

    fn set_type(&mut self, value: &[u8], problems: &mut Vec<Problem>) {
        let (word, params) = parse(value);
        self.type_params = params;
        match word.split_once('/') {
            Some((kind, sub)) if !kind.is_empty() && !sub.is_empty() && word.len() <= WORD_BYTES => {
                self.media_type = word
            }
            _ => {
                add(problems, "bad_type", &word);
                self.media_type = "application/octet-stream".into();
            }
        }
    }

    fn set_transfer_encoding(&mut self, value: &[u8], problems: &mut Vec<Problem>) {
        let written = text_of(value).trim().to_ascii_lowercase();
        let plain = written.split('(').next().unwrap_or("").trim().trim_matches('"').trim().to_owned();
        if plain != written {
            add(problems, "cte_odd", &written);
        }
        self.transfer_encoding = cut(plain, WORD_BYTES);
    }

    /// The boundary of a multipart, if there is a usable one.
    pub(super) fn boundary(&self) -> Option<Vec<u8>> {
        let boundary = self.type_param("boundary")?.trim_ascii_end();
        (1..=BOUNDARY_BYTES).contains(&boundary.len()).then(|| boundary.to_vec())
    }

    /// The declared character set, lower case.
    pub(super) fn charset(&self) -> Option<String> {
        let charset = text_of(self.type_param("charset")?).trim().to_ascii_lowercase();
        (!charset.is_empty() && charset.len() <= 64 && charset.chars().all(|c| c.is_ascii_graphic()))
            .then_some(charset)
    }

    /// Whether it is an embedded message whose own entities can be found: an encoded one stays an attachment.
    pub(super) fn is_plain_message(&self) -> bool {
        matches!(self.media_type.as_str(), "message/rfc822" | "message/global")
            && matches!(self.transfer_encoding.as_str(), "" | "7bit" | "8bit" | "binary")
    }

    /// What a body of this type is that nobody may open, follow or put together, as a problem code.
    pub(super) fn closed(&self) -> Option<&'static str> {
        match self.media_type.as_str() {
            "message/partial" => Some("message_partial"),
            "message/external-body" => Some("external_body"),
            "application/pgp-encrypted" => Some("encrypted"),
            "application/pkcs7-mime" | "application/x-pkcs7-mime" => {
                let signed =
                    self.type_param("smime-type").is_some_and(|t| t.eq_ignore_ascii_case(b"signed-data"));
                (!signed).then_some("encrypted")
            }
            _ => None,
        }
    }

    fn type_param(&self, name: &str) -> Option<&[u8]> {
        self.type_params.iter().find(|p| p.name == name).map(|p| p.value.as_slice())
    }
}

/// Splits `word; a=b; c="d"` into the word in lower case and its parameters.
pub(super) fn parse(value: &[u8]) -> (String, Vec<Param>) {
    let end = value.iter().position(|&b| b == b';').unwrap_or(value.len());
    let word = text_of(&value[..end]);
    let word =
        word.split(['(', ' ', '\t', '\r', '\n']).find(|w| !w.is_empty()).unwrap_or("").to_ascii_lowercase();
    let mut params = Vec::new();
    let mut rest = value.get(end + 1..).unwrap_or(b"");
    while !rest.is_empty() && params.len() < MOST_PARAMS {
        let (param, after) = param(rest);
        params.extend(param);
        rest = after;
    }
    (word, params)
}

/// Takes one `name=value` off the front; `None` where there is no `=`.
fn param(text: &[u8]) -> (Option<Param>, &[u8]) {
    let stop = text.iter().position(|b| matches!(b, b'=' | b';')).unwrap_or(text.len());
    if text.get(stop) != Some(&b'=') {
        return (None, text.get(stop + 1..).unwrap_or(b""));
    }
    let name = text_of(text[..stop].trim_ascii()).to_ascii_lowercase();
    let written = text[stop + 1..].trim_ascii_start();
    let (value, after) = match written.strip_prefix(b"\"") {
        Some(quoted) => quoted_value(quoted),
        None => {
            let end = written.iter().position(|&b| b == b';').unwrap_or(written.len());
            (unfold(written[..end].trim_ascii()), &written[end..])
        }
    };
    let next = after.iter().position(|&b| b == b';').map_or(after.len(), |n| n + 1);
    (Some(Param { name, value }), &after[next..])
}

/// The value up to the closing quote (or the end), unescaped, and what follows.
fn quoted_value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::new();
    let mut bytes = text.iter().enumerate();
    while let Some((i, &b)) = bytes.next() {
        match b {
            b'"' => return (unfold(&value), &text[i + 1..]),
            // A backslash escapes a quote or itself; before anything else it is a path from Windows.
            b'\\' if matches!(text.get(i + 1), Some(b'"' | b'\\')) => {
                value.extend(bytes.next().map(|(_, &escaped)| escaped));
            }
            _ => value.push(b),
        }
    }
    (unfold(&value), b"")
}

/// Without the line breaks of folding.
fn unfold(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn shown(value: &str) -> String {
        let (word, params) = parse(value.as_bytes());
        let params: Vec<_> =
            params.iter().map(|p| format!("{}={}", p.name, String::from_utf8_lossy(&p.value))).collect();
        format!("{word}|{}", params.join("|"))
    }

    #[test]
    fn parameters_are_read_however_they_are_written() {
        for (written, read) in [
            ("text/plain", "text/plain|"),
            (" Text/Plain (a comment); Charset = utf-8", "text/plain|charset=utf-8"),
            ("a/b; x=\"1;2\"; y=3", "a/b|x=1;2|y=3"),
            ("a/b; x=\"q\\\"q\"; y=C:\\dir", "a/b|x=q\"q|y=C:\\dir"),
            ("a/b; x=\"never closed; y=1", "a/b|x=never closed; y=1"),
            ("a/b;;; novalue ;x=", "a/b|x="),
            ("a/b;\r\n\tx=\"long\r\n name\"", "a/b|x=long name"),
            ("", "|"),
        ] {
            assert_eq!(shown(written), read, "{written:?}");
        }
    }
}
