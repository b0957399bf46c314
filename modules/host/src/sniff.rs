//! Media type by content.

/// No more than this is looked at.
const LOOK_BYTES: usize = 8 << 10;
/// Fields of which a message has at least two among its first lines.
const MESSAGE_FIELDS: &[&[u8]] =
    &[b"return-path", b"received", b"from", b"to", b"subject", b"date", b"message-id", b"mime-version"];

/// Media type of `bytes`, or `declared` where they say nothing more precise.
pub fn media_type(bytes: &[u8], declared: &str) -> String {
    let look = &bytes[..bytes.len().min(LOOK_BYTES)];
    if look.is_empty() {
        return declared.to_owned();
    }
    let found = infer::get(look).map_or_else(|| text_type(look), |kind| Some(kind.mime_type()));
    match found {
        Some("text/plain") if is_textual(declared) => declared.to_owned(),
        Some("text/xml") if declared.ends_with("xml") => declared.to_owned(),
        Some(found) => found.to_owned(),
        None => declared.to_owned(),
    }
}

fn is_textual(media_type: &str) -> bool {
    media_type.starts_with("text/")
        || media_type.starts_with("message/")
        || matches!(media_type, "application/json" | "application/xml" | "application/csv")
}

fn text_type(look: &[u8]) -> Option<&'static str> {
    if !is_text(look) {
        return None;
    }
    let text = look.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(look).trim_ascii_start();
    let lower: Vec<u8> = text.iter().take(64).map(u8::to_ascii_lowercase).collect();
    Some(match () {
        () if lower.starts_with(b"<?xml") => "text/xml",
        () if lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html") => "text/html",
        () if is_json(text) => "application/json",
        () if is_message(text) => "message/rfc822",
        () if is_csv(text) => "text/csv",
        () => "text/plain",
    })
}

/// No NUL and hardly any other control character among the first bytes. UTF-16 is text only with a byte-order mark, and
/// then opaque here.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    let look = &bytes[..bytes.len().min(LOOK_BYTES)];
    let controls =
        look.iter().filter(|b| b.is_ascii_control() && !b.is_ascii_whitespace() && **b != 0x1b).count();
    !look.contains(&0) && controls * 100 <= look.len()
}

fn is_json(text: &[u8]) -> bool {
    let next = |text: &[u8]| text.iter().skip(1).find(|b| !b.is_ascii_whitespace()).copied();
    match text.first() {
        Some(b'{') => matches!(next(text), Some(b'"' | b'}')),
        Some(b'[') => {
            matches!(next(text), Some(b'{' | b'[' | b']' | b'"' | b'0'..=b'9')) && text.ends_with(b"]")
        }
        _ => false,
    }
}

fn is_message(text: &[u8]) -> bool {
    let named = |line: &[u8]| {
        let name = line.split(|&b| b == b':').next().unwrap_or(b"").to_ascii_lowercase();
        line.contains(&b':') && MESSAGE_FIELDS.contains(&name.as_slice())
    };
    let mut lines = text.split(|&b| b == b'\n');
    lines.next().is_some_and(named) && lines.take(20).take_while(|l| !l.trim_ascii().is_empty()).any(named)
}

/// Two lines or more with as many separators as the first has.
fn is_csv(text: &[u8]) -> bool {
    [b',', b';', b'\t'].into_iter().any(|separator| {
        let count = |line: &[u8]| line.iter().filter(|&&b| b == separator).count();
        let mut lines = text.split(|&b| b == b'\n').filter(|l| !l.is_empty()).map(count).take(5);
        let first = lines.next().unwrap_or(0);
        let mut rest = lines.peekable();
        first > 0 && rest.peek().is_some() && rest.all(|n| n == first)
    })
}

#[cfg(test)]
mod tests {
    use super::media_type;

    #[test]
    fn content_goes_before_declaration_and_declaration_before_a_guess() {
        for (bytes, declared, expected) in [
            (b"PK\x03\x04rest".as_slice(), "text/csv", "application/zip"),
            (b"\x1f\x8b\x08\x00rest", "text/plain", "application/gzip"),
            (b"%PDF-1.7", "image/gif", "application/pdf"),
            (b"{\"a\": 1}", "application/octet-stream", "application/json"),
            (b"<?xml version=\"1.0\"?><a/>", "application/octet-stream", "text/xml"),
            (b"<?xml version=\"1.0\"?><a/>", "application/tlsrpt+xml", "application/tlsrpt+xml"),
            (b"a,b\n1,2\n3,4\n", "application/octet-stream", "text/csv"),
            (b"Received: x\nFrom: a@b\n\nhi", "application/octet-stream", "message/rfc822"),
            (b"Note: nothing\nmuch\n", "application/octet-stream", "text/plain"),
            (b"plain words", "text/x-log", "text/x-log"),
            (b"\x00\x01\x02", "application/x-ours", "application/x-ours"),
            (b"", "text/csv", "text/csv"),
        ] {
            assert_eq!(media_type(bytes, declared), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
