//! Encodings that `encoding_rs` does not read, or reads only in the form that browsers allow.

use encoding_rs::Encoding;
use std::borrow::Cow;

/// UTF-32, in the byte order of `unit`; also how many characters could not be decoded.
pub(super) fn utf32(bytes: &[u8], unit: fn([u8; 4]) -> u32) -> (String, usize) {
    let (units, rest) = bytes.as_chunks::<4>();
    let mut replaced = usize::from(!rest.is_empty());
    let mut text: String = units
        .iter()
        .map(|&bytes| {
            char::from_u32(unit(bytes)).unwrap_or_else(|| {
                replaced += 1;
                char::REPLACEMENT_CHARACTER
            })
        })
        .collect();
    if !rest.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    (text, replaced)
}

/// UTF-7 (RFC 2152): `+` begins base64 of UTF-16, which ends at the first other character; a `-` there is eaten.
pub(super) fn utf7(bytes: &[u8]) -> (String, usize) {
    let mut out = String::with_capacity(bytes.len());
    let mut replaced = 0;
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => {
                let (mut bits, mut count, mut units) = (0_u32, 0_u32, Vec::new());
                let mut any = false;
                while let Some(value) = rest.peek().copied().and_then(sextet) {
                    rest.next();
                    any = true;
                    bits = bits << 6 | value;
                    count += 6;
                    if count >= 16 {
                        count -= 16;
                        units.push((bits >> count & 0xFFFF) as u16);
                    }
                }
                let dash = rest.next_if_eq(&b'-').is_some();
                if !any {
                    out.push('+');
                    if !dash {
                        replaced += 1;
                    }
                }
                for unit in char::decode_utf16(units) {
                    out.push(unit.unwrap_or_else(|_| {
                        replaced += 1;
                        char::REPLACEMENT_CHARACTER
                    }));
                }
            }
            byte if byte.is_ascii() => out.push(char::from(byte)),
            _ => {
                replaced += 1;
                out.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }
    (out, replaced)
}

const fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value as u32)
}

/// ISO-2022-KR (RFC 1557) as EUC-KR: between SO and SI the eighth bit is missing.
pub(super) fn shifted(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut high = false;
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            0x1B if rest.starts_with(b"$)C") => rest = &rest[3..],
            0x0E => high = true,
            0x0F => high = false,
            b'\n' | b'\r' => {
                high = false;
                out.push(byte);
            }
            0x21..=0x7E if high => out.push(byte | 0x80),
            _ => out.push(byte),
        }
    }
    out
}

/// HZ (RFC 1843) as GBK: between `~{` and `~}` the eighth bit is missing.
pub(super) fn tildes(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut high = false;
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, rest.first()) {
            (b'~', Some(b'{')) if !high => (high, rest) = (true, &rest[1..]),
            (b'~', Some(b'}')) if high => (high, rest) = (false, &rest[1..]),
            (b'~', Some(b'~')) if !high => {
                rest = &rest[1..];
                out.push(byte);
            }
            (b'~', Some(b'\n')) if !high => rest = &rest[1..],
            (b'\n', _) => {
                high = false;
                out.push(byte);
            }
            (0x21..=0x7E, _) if high => out.push(byte | 0x80),
            _ => out.push(byte),
        }
    }
    out
}

/// ISO-2022-JP without escapes that another one follows at once: they come from encoded words and lines that were put
/// together, and the WHATWG forbids them.
pub(super) fn without_idle_escapes<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> Cow<'a, [u8]> {
    let is_idle = |four: &[u8]| matches!(four, [0x1B, b'(' | b'$', _, 0x1B]);
    if encoding != encoding_rs::ISO_2022_JP || !bytes.windows(4).any(is_idle) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        if rest.get(..4).is_some_and(is_idle) {
            rest = &rest[3..];
        } else {
            out.push(byte);
            rest = after;
        }
    }
    Cow::Owned(out)
}
