//! What a media type or transfer encoding that is written wrong comes closest to.

use module_api::charset::Charset;

/// Longest media type, encoding or disposition; RFC 6838 allows 127 for each half of a type.
pub(super) const WORD_BYTES: usize = 255;

/// A transfer encoding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    /// The body is as it stands: `7bit`, `8bit`, `binary`, or nothing declared.
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
    /// None that is known; the body is left as it stands.
    Unknown,
}

/// The letters and digits of a word, lower case.
pub(super) fn letters(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).take(64).collect()
}

/// Whether a word is another with at most so many letters wrong, missing, extra or swapped.
pub(super) fn is_close(word: &str, right: &str, most: usize) -> bool {
    word.len().abs_diff(right.len()) <= most && strsim::osa_distance(word, right) <= most
}

/// Types that are often written without their half before or behind the slash, or misspelt: as letters, and right.
const KNOWN_TYPES: &[(&str, &str)] = &[
    ("text", "text/plain"),
    ("plain", "text/plain"),
    ("textplain", "text/plain"),
    ("plaintext", "text/plain"),
    ("ascii", "text/plain"),
    ("txt", "text/plain"),
    ("html", "text/html"),
    ("texthtml", "text/html"),
    ("csv", "text/csv"),
    ("textcsv", "text/csv"),
    ("xml", "text/xml"),
    ("json", "application/json"),
    ("multipart", "multipart/mixed"),
    ("mixed", "multipart/mixed"),
    ("multipartmixed", "multipart/mixed"),
    ("alternative", "multipart/alternative"),
    ("multipartalternative", "multipart/alternative"),
    ("related", "multipart/related"),
    ("multipartrelated", "multipart/related"),
    ("report", "multipart/report"),
    ("signed", "multipart/signed"),
    ("message", "message/rfc822"),
    ("rfc822", "message/rfc822"),
    ("messagerfc822", "message/rfc822"),
    ("octetstream", "application/octet-stream"),
    ("applicationoctetstream", "application/octet-stream"),
    ("binary", "application/octet-stream"),
    ("gzip", "application/gzip"),
    ("zip", "application/zip"),
    ("pdf", "application/pdf"),
];

/// Top-level types; another one is a misspelling or private.
const TOP_LEVEL: &[&str] = &[
    "text",
    "multipart",
    "message",
    "application",
    "image",
    "audio",
    "video",
    "model",
    "font",
    "example",
    "chemical",
    "haptics",
];

/// The media type of a word, and whether it is what was written.
pub(super) fn media_type(word: &str, has_boundary: bool) -> (String, bool) {
    let plain: String = word.chars().filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\'')).collect();
    let token = |half: &str| {
        let allowed = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b);
        !half.is_empty() && half.bytes().all(allowed)
    };
    if let Some((kind, sub)) = plain.split_once('/')
        && token(kind)
        && token(sub)
        && plain.len() <= WORD_BYTES
        && (TOP_LEVEL.contains(&kind) || kind.starts_with("x-"))
    {
        return (plain, true);
    }
    let letters = letters(&plain);
    let exact = KNOWN_TYPES.iter().find(|(written, _)| *written == letters);
    let close = || {
        let far = |(written, _): &&(&str, &str)| written.len() >= 7 && is_close(&letters, written, 2);
        KNOWN_TYPES.iter().find(far)
    };
    let guess = match exact.or_else(close) {
        Some((_, right)) => (*right).to_owned(),
        None if has_boundary => "multipart/mixed".to_owned(),
        // More than two halves: the first two count. A private top-level type stays what it is.
        None => match plain.split('/').take(2).collect::<Vec<_>>()[..] {
            [kind, sub] if token(kind) && token(sub) && plain.len() <= WORD_BYTES => {
                return (format!("{kind}/{sub}"), plain.matches('/').count() == 1);
            }
            _ => "text/plain".to_owned(),
        },
    };
    (guess, false)
}

/// What an encoding's name means, and whether it is misspelt. `spaced` is the name with what follows it up to a
/// semicolon, for names written as two words.
pub(super) fn transfer_encoding(first: &str, spaced: &str) -> (Encoding, bool) {
    const RIGHT: [(&str, Encoding, usize); 6] = [
        ("base64", Encoding::Base64, 1),
        ("quotedprintable", Encoding::QuotedPrintable, 3),
        ("7bit", Encoding::Identity, 0),
        ("8bit", Encoding::Identity, 0),
        ("binary", Encoding::Identity, 1),
        ("", Encoding::Identity, 0),
    ];
    const ALSO: [(&str, Encoding); 18] = [
        ("b64", Encoding::Base64),
        ("base", Encoding::Base64),
        ("xbase64", Encoding::Base64),
        ("base64mime", Encoding::Base64),
        ("qp", Encoding::QuotedPrintable),
        ("quoted", Encoding::QuotedPrintable),
        ("xquotedprintable", Encoding::QuotedPrintable),
        ("7bits", Encoding::Identity),
        ("8bits", Encoding::Identity),
        ("7", Encoding::Identity),
        ("8", Encoding::Identity),
        ("8bitmime", Encoding::Identity),
        ("7bitascii", Encoding::Identity),
        ("none", Encoding::Identity),
        ("identity", Encoding::Identity),
        ("plain", Encoding::Identity),
        ("text", Encoding::Identity),
        ("raw", Encoding::Identity),
    ];
    if ["base64", "quoted-printable", "7bit", "8bit", "binary", ""].contains(&first) {
        return (
            RIGHT.iter().find(|(name, ..)| *name == letters(first)).map_or(Encoding::Identity, |r| r.1),
            false,
        );
    }
    for name in [letters(spaced), letters(first)] {
        let right = RIGHT.iter().find(|(right, _, most)| !right.is_empty() && is_close(&name, right, *most));
        let found = right.map(|r| r.1).or_else(|| ALSO.iter().find(|(also, _)| *also == name).map(|a| a.1));
        if let Some(encoding) = found {
            return (encoding, true);
        }
    }
    // A character set in the place of an encoding says that nothing was encoded.
    let is_charset = Charset::for_label(first).is_some();
    (if is_charset { Encoding::Identity } else { Encoding::Unknown }, true)
}
