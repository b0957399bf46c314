//! What bytes are: their media type, whatever a label says.
//!
//! ```text
//!   first bytes ─ binary? ─▶ by magic numbers            zip, gzip, xz, bzip2, zstd, tar, pdf, images, …
//!               └ text, read by mark or zero bytes ─▶ pdf, xml, html, json, a mail, csv; else the declared kind of text
//! ```
//!
//! A label is only a hint: it tells kinds of text apart that look alike, and names what nothing is known of.

use module_api::charset::Charset;
use std::borrow::Cow;

/// Most bytes looked at.
pub const LOOK_BYTES: usize = 8 << 10;
/// Media type of a mail.
pub const MAIL: &str = "message/rfc822";
/// Fields of which a message has at least two among its first lines.
const MESSAGE_FIELDS: [&str; 12] = [
    "return-path",
    "delivered-to",
    "received",
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "dkim-signature",
    "authentication-results",
];
/// Those of them that programs write and people do not.
const MACHINE_FIELDS: [&str; 7] = [
    "return-path",
    "received",
    "message-id",
    "mime-version",
    "content-type",
    "dkim-signature",
    "authentication-results",
];
/// Lines of a header that are looked at.
const FIELD_LINES: usize = 20;

/// Media type of `bytes`, or `declared` where they say nothing more precise. No more than [`LOOK_BYTES`] are looked at.
#[must_use]
pub fn media_type(bytes: &[u8], declared: &str) -> String {
    let look = &bytes[..bytes.len().min(LOOK_BYTES)];
    if look.is_empty() {
        return declared.to_owned();
    }
    // Its magic number of certificates is that of anything in DER, and texts are told here.
    let is_told = |found: &&str| !found.contains("x509") && !found.starts_with("text/");
    let binary = || infer::get(look).map(|kind| kind.mime_type()).filter(is_told);
    match text_of(look) {
        // Short compressed streams may have no control characters.
        Some(text) if !text.chars.contains('\u{FFFD}') || binary().is_none() => {
            text.media_type(bytes.len() > LOOK_BYTES, declared).to_owned()
        }
        _ => binary().unwrap_or(declared).to_owned(),
    }
}

/// Whether `bytes` are a mail beyond doubt: every line of their header is a field, and a program wrote one of them. Text
/// that a person wrote may begin with `From:` too.
#[must_use]
pub fn is_mail(bytes: &[u8]) -> bool {
    text_of(&bytes[..bytes.len().min(LOOK_BYTES)]).is_some_and(|text| {
        let header = header(&text.chars);
        let is_folded = |line: &str| line.starts_with([' ', '\t']);
        text.is_message()
            && header.clone().all(|line| is_folded(line) || field(line).is_some())
            && header.filter_map(field).any(|name| MACHINE_FIELDS.contains(&name.as_str()))
    })
}

/// Whether `bytes` are text that can be told by their look: hardly any control characters, once UTF-16 and UTF-32 are
/// decoded.
#[must_use]
pub fn is_text(bytes: &[u8]) -> bool {
    text_of(&bytes[..bytes.len().min(LOOK_BYTES)]).is_some()
}

/// The first bytes of a text.
struct Text<'a> {
    /// Only ASCII matters, so what is above it may be decoded badly.
    chars: Cow<'a, str>,
    /// They are UTF-16 or UTF-32.
    is_wide: bool,
}

/// The look as text, if it is any.
fn text_of(look: &[u8]) -> Option<Text<'_>> {
    let wide = Charset::of_mark(look).map(|(charset, _)| charset).or_else(|| Charset::wide(look));
    let wide = wide.filter(|charset| charset.is_wide());
    let chars = match wide {
        Some(wide) => wide.decode(&look[..look.len() & !3]).text,
        None => String::from_utf8_lossy(look.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(look)),
    };
    let is_control = |c: &char| c.is_ascii_control() && !c.is_ascii_whitespace() && *c != '\x1b';
    let controls = chars.chars().filter(is_control).count();
    let is_text = !chars.contains('\0') && controls * 100 <= chars.len();
    is_text.then_some(Text { chars, is_wide: wide.is_some() })
}

impl Text<'_> {
    fn media_type<'t>(&self, is_cut: bool, declared: &'t str) -> &'t str {
        let text = self.chars.trim_start();
        let lower: String = text.chars().take(64).collect::<String>().to_ascii_lowercase();
        match () {
            () if lower.starts_with("%pdf-") => "application/pdf",
            () if lower.starts_with("%!ps") => "application/postscript",
            () if lower.starts_with("{\\rtf") => "application/rtf",
            () if lower.starts_with("<!doctype html") || lower.starts_with("<html") => "text/html",
            () if lower.starts_with("<?xml") => xml(text, declared),
            () if is_json(text, is_cut) => {
                if declared.ends_with("json") {
                    declared
                } else {
                    "application/json"
                }
            }
            () if self.is_message() => MAIL,
            () if is_csv(text) => "text/csv",
            () => plain(text, declared),
        }
    }

    /// Whether it begins like a mail, of which no byte is wide.
    fn is_message(&self) -> bool {
        let known = |line: &str| field(line).filter(|name| MESSAGE_FIELDS.contains(&name.as_str()));
        let mut lines = header(self.chars.trim_start());
        !self.is_wide
            && lines.next().is_some_and(|line| known(line).is_some())
            && lines.any(|line| known(line).is_some())
    }
}

/// XML, and HTML that is written as such.
fn xml<'t>(text: &str, declared: &'t str) -> &'t str {
    let root = text.split('<').skip(1).find(|tag| !tag.starts_with(['?', '!'])).unwrap_or_default();
    match () {
        () if declared.contains("html") => "text/html",
        () if root.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("html")) => "text/html",
        () if declared.ends_with("xml") => declared,
        () => "text/xml",
    }
}

/// Text that looks like no kind of its own: what was declared, if it can be that.
fn plain<'t>(text: &str, declared: &'t str) -> &'t str {
    let begins = |start: &[char]| text.starts_with(start);
    let can_be = match declared {
        "application/csv" => return "text/csv",
        "text/html" => has_tag(text),
        "text/rtf" => false,
        _ if declared.ends_with("xml") => begins(&['<']),
        _ if declared.ends_with("json") => begins(&['{', '[', '"']),
        _ => declared.starts_with("text/") || declared.starts_with("message/"),
    };
    if can_be { declared } else { "text/plain" }
}

fn has_tag(text: &str) -> bool {
    let mut after = text.split('<').skip(1);
    after.any(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!')))
}

fn is_json(text: &str, is_cut: bool) -> bool {
    let next = text.chars().skip(1).find(|c| !c.is_ascii_whitespace());
    match text.chars().next() {
        Some('{') => matches!(next, Some('"' | '}')),
        Some('[') => {
            matches!(next, Some('{' | '[' | ']' | '"' | '0'..='9'))
                && (is_cut || text.trim_end().ends_with(']'))
        }
        _ => false,
    }
}

/// The first lines up to an empty one, without the line that begins each mail of a mailbox file.
fn header(text: &str) -> impl Iterator<Item = &str> + Clone {
    let mut lines = text.lines().peekable();
    lines.next_if(|line| line.starts_with("From "));
    lines.take(FIELD_LINES).take_while(|line| !line.trim().is_empty())
}

/// The name of a header field, in lower case (RFC 5322 section 2.2).
fn field(line: &str) -> Option<String> {
    let (name, _) = line.split_once(':')?;
    let name = name.trim_end_matches([' ', '\t']);
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic())).then(|| name.to_ascii_lowercase())
}

/// Two lines or more with as many separators as the first has.
fn is_csv(text: &str) -> bool {
    [',', ';', '\t'].into_iter().any(|separator| {
        let count = |line: &str| line.matches(separator).count();
        let mut lines = text.lines().filter(|line| !line.is_empty()).map(count).take(5);
        let first = lines.next().unwrap_or(0);
        let mut rest = lines.peekable();
        first > 0 && rest.peek().is_some() && rest.all(|n| n == first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_goes_before_declaration_and_declaration_before_a_guess() {
        for (bytes, declared, expected) in [
            (b"PK\x03\x04rest\0\0".as_slice(), "text/csv", "application/zip"),
            (b"\x1f\x8b\x08\x00rest", "text/plain", "application/gzip"),
            (b"%PDF-1.7", "image/gif", "application/pdf"),
            (b"{\"a\": 1}", "application/octet-stream", "application/json"),
            (b"{\"a\": 1}", "application/problem+json", "application/problem+json"),
            (b"<?xml version=\"1.0\"?><a/>", "application/octet-stream", "text/xml"),
            (b"<?xml version=\"1.0\"?><a/>", "application/tlsrpt+xml", "application/tlsrpt+xml"),
            (b"<?xml version=\"1.0\"?>\n<!DOCTYPE html>\n<html>", "text/plain", "text/html"),
            (b"<?xml version=\"1.0\"?>\n<p>words</p>", "text/html", "text/html"),
            (b"\x30\x82\x01\x00\x02\x01\x00\x05", "application/pkcs7-mime", "application/pkcs7-mime"),
            (b"a,b\n1,2\n3,4\n", "application/octet-stream", "text/csv"),
            (b"Received: x\nFrom: a@b\n\nhi", "application/octet-stream", "message/rfc822"),
            (b"From a@b Fri Jan 13\nFrom: a@b\nTo: c\n\nhi", "text/plain", "message/rfc822"),
            (b"Note: nothing\nmuch\n", "application/octet-stream", "text/plain"),
            (b"plain words", "text/x-log", "text/x-log"),
            (b"plain words", "text/html", "text/plain"),
            (b"1 < 2 words", "text/html", "text/plain"),
            (b"plain <b>words", "text/html", "text/html"),
            (b"plain words", "application/json", "text/plain"),
            (b"plain words", "application/soap+xml", "text/plain"),
            (b"plain words", "application/x-www-form-urlencoded", "text/plain"),
            (b"plain words", "image/png", "text/plain"),
            (b"\x00\x01\x02", "application/x-ours", "application/x-ours"),
            (b"", "text/csv", "text/csv"),
            (b"BZh91AY&SY\xd8\x92\x99\xa4\xe2", "text/plain", "application/x-bzip2"),
            (b"Gr\xfc\xdfe", "application/octet-stream", "text/plain"),
        ] {
            assert_eq!(media_type(bytes, declared), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn words_that_begin_like_a_magic_number_are_text() {
        for text in ["BM grid 7 is well", "MZ", "GIF89a is a format", "ID3 tags", "BZh9 blocks", "Rar! it is"]
        {
            assert_eq!(media_type(text.as_bytes(), "application/octet-stream"), "text/plain", "{text}");
        }
    }

    #[test]
    fn wide_text_is_looked_at_as_text() {
        let page = "<html><body>Gr\u{fc}n</body></html>";
        let little: Vec<u8> = page.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = page.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [little.clone(), big, [&b"\xFF\xFE"[..], &little].concat()] {
            assert_eq!(media_type(&bytes, "application/octet-stream"), "text/html");
        }
        let long = "a,b\n1,2\n".repeat(5_000);
        let long: Vec<u8> = long.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(media_type(&long, "application/octet-stream"), "text/csv");
        let mail: Vec<u8> = "From: a@b\nTo: c\n\nhi".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(media_type(&mail, "application/octet-stream"), "text/plain", "no mail is wide");
    }

    #[test]
    fn a_long_list_is_json_although_its_end_is_not_seen() {
        let long = format!("[{}]", "{\"a\": 1},".repeat(2_000));
        assert_eq!(media_type(long.as_bytes(), "text/plain"), "application/json");
        assert_eq!(media_type(b"[1] first\n", "text/plain"), "text/plain");
    }

    #[test]
    fn a_mail_is_told_from_text_that_quotes_one() {
        for (text, expected) in [
            ("Received: by x\n\tfor y\nFrom: a@b\nSubject: s\n\nbody", true),
            ("From a@b Fri Jan 13\nFrom: a@b\nMIME-Version: 1.0\n\nbody", true),
            ("From: ops\nTo: grid\nDate: today\n\nbody", false),
            ("Received: by x\nFrom: a@b\nall is well on every grid\n\nbody", false),
            ("Grid: x\nReceived: 5 reports\n", false),
        ] {
            assert_eq!(is_mail(text.as_bytes()), expected, "{text}");
        }
    }
}
