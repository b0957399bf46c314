//! The content of a signed CMS message (RFC 5652), which S/MIME calls opaque-signed.
//!
//! S/MIME mail is written in BER: lengths may be left open and the content may come in pieces, which readers of DER
//! refuse. Four kinds of elements lead to the content, so they are read here. The signature is not verified.
//!
//! Never panics; time and memory are linear in the input.

/// What a CMS message is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cms {
    /// Signed, with its content inside.
    Signed(Vec<u8>),
    /// Signed, and the content is elsewhere or there is none: certificates alone.
    WithoutContent,
    /// Only its recipient can read it.
    Encrypted,
    /// Of another kind, as an object identifier in hexadecimal.
    Other(String),
}

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const OCTETS_IN_PIECES: u8 = 0x24;
const EXPLICIT_0: u8 = 0xA0;

/// Pieces in pieces: nobody writes more than one level.
const MOST_LEVELS: u32 = 4;

const SIGNED: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02];
const ENVELOPED: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x03];
const SIGNED_AND_ENVELOPED: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x04];
const ENCRYPTED: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x06];
const AUTH_ENVELOPED: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x10, 0x01, 0x17];

/// Opens a CMS message; `None` where the bytes are none.
pub(crate) fn open(bytes: &[u8]) -> Option<Cms> {
    let info = enter(bytes, SEQUENCE)?;
    let (kind, rest) = primitive(info, OBJECT_ID)?;
    if [ENVELOPED, SIGNED_AND_ENVELOPED, ENCRYPTED, AUTH_ENVELOPED].contains(&kind) {
        return Some(Cms::Encrypted);
    }
    if kind != SIGNED {
        return Some(Cms::Other(kind.iter().take(16).map(|b| format!("{b:02x}")).collect()));
    }
    let signed = enter(enter(rest, EXPLICIT_0)?, SEQUENCE)?;
    let behind_version = skip(signed)?;
    let behind_digests = skip(behind_version)?;
    let content = enter(behind_digests, SEQUENCE)?;
    let (_, content) = primitive(content, OBJECT_ID)?;
    let Some(octets) = enter(content, EXPLICIT_0) else { return Some(Cms::WithoutContent) };
    let mut out = Vec::new();
    pieces(octets, 0, &mut out)?;
    Some(Cms::Signed(out))
}

/// Tag of the first element, and where its content begins; the length is `None` where it is open.
fn head(bytes: &[u8]) -> Option<(u8, Option<usize>, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    // Tags of more than one byte do not occur here.
    if tag & 0x1F == 0x1F {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    match first {
        0..=0x7F => Some((tag, Some(usize::from(first)), rest)),
        0x80 => Some((tag, None, rest)),
        _ => {
            let count = usize::from(first & 0x7F);
            let (digits, rest) = rest.split_at_checked(count)?;
            let significant: &[u8] = &digits[digits.iter().take_while(|b| **b == 0).count()..];
            if significant.len() > 7 {
                return None;
            }
            let len = significant.iter().fold(0_usize, |len, b| len << 8 | usize::from(*b));
            Some((tag, Some(len), rest))
        }
    }
}

/// The content of the first element if it has this tag. With an open length it is all that follows.
fn enter(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (found, len, rest) = head(bytes)?;
    if found != tag {
        return None;
    }
    match len {
        Some(len) => rest.get(..len),
        None => Some(rest),
    }
}

/// The content of the first element, of known length, and what follows it.
fn primitive(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, len, rest) = head(bytes)?;
    if found != tag { None } else { rest.split_at_checked(len?) }
}

/// What follows the first element.
fn skip(bytes: &[u8]) -> Option<&[u8]> {
    let mut open = 0_usize;
    let mut rest = bytes;
    loop {
        let (tag, len, after) = head(rest)?;
        rest = match (tag, len) {
            (0, Some(0)) if open > 0 => {
                open -= 1;
                after
            }
            (_, Some(len)) => after.get(len..)?,
            (_, None) => {
                open += 1;
                after
            }
        };
        if open == 0 {
            return Some(rest);
        }
    }
}

/// Puts together an octet string that may come in pieces; returns what follows it.
fn pieces<'a>(bytes: &'a [u8], level: u32, out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (tag, len, rest) = head(bytes)?;
    match (tag, len) {
        (OCTETS, Some(len)) => {
            let (piece, after) = rest.split_at_checked(len)?;
            out.extend_from_slice(piece);
            Some(after)
        }
        (OCTETS_IN_PIECES, len) if level < MOST_LEVELS => {
            let (mut inner, after) = match len {
                Some(len) => rest.split_at_checked(len)?,
                None => (rest, rest),
            };
            loop {
                match (len, inner) {
                    (Some(_), []) => return Some(after),
                    (None, [0, 0, after @ ..]) => return Some(after),
                    _ => inner = pieces(inner, level + 1, out)?,
                }
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match content.len() {
            len @ 0..=0x7F => out.push(len as u8),
            len => out.extend([0x82, (len >> 8) as u8, len as u8]),
        }
        out.extend_from_slice(content);
        out
    }

    fn open_element(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, 0x80], content, &[0, 0]].concat()
    }

    type Element = fn(u8, &[u8]) -> Vec<u8>;

    /// A signed message whose outer elements are made by `outer`.
    fn signed(outer: Element, octets: Option<&[u8]>) -> Vec<u8> {
        let kind = element(OBJECT_ID, &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x01]);
        let octets = octets.map_or_else(Vec::new, |octets| outer(EXPLICIT_0, octets));
        let content = outer(SEQUENCE, &[kind, octets].concat());
        let digests = element(0x31, &element(SEQUENCE, &element(OBJECT_ID, &[0x60, 1])));
        let data = [element(2, &[1]), digests, content, element(0x31, &[])].concat();
        outer(SEQUENCE, &[element(OBJECT_ID, SIGNED), outer(EXPLICIT_0, &outer(SEQUENCE, &data))].concat())
    }

    #[test]
    fn content_is_found_with_given_and_with_open_lengths_whole_and_in_pieces() {
        let text = b"Content-Type: text/plain\r\n\r\nhello".repeat(9);
        let (whole, halves) = (element(OCTETS, &text), text.split_at(40));
        let halves = [element(OCTETS, halves.0), element(OCTETS, halves.1)].concat();
        for outer in [element as Element, open_element] {
            for octets in [
                whole.clone(),
                element(OCTETS_IN_PIECES, &halves),
                open_element(OCTETS_IN_PIECES, &halves),
                open_element(OCTETS_IN_PIECES, &open_element(OCTETS_IN_PIECES, &halves)),
            ] {
                assert_eq!(open(&signed(outer, Some(&octets))), Some(Cms::Signed(text.clone())));
            }
            assert_eq!(open(&signed(outer, None)), Some(Cms::WithoutContent));
        }
    }

    #[test]
    fn what_is_not_signed_is_told_apart() {
        let of = |kind: &[u8]| open(&element(SEQUENCE, &element(OBJECT_ID, kind)));
        assert_eq!(of(ENVELOPED), Some(Cms::Encrypted));
        assert_eq!(of(AUTH_ENVELOPED), Some(Cms::Encrypted));
        assert_eq!(of(&[0x2A, 1]), Some(Cms::Other("2a01".into())));
        for broken in [b"".as_slice(), b"0\x82\x01", b"hello", &[0x30, 0x82, 0x01, 0x01], &[0x30, 0xFF, 1]] {
            assert_eq!(open(broken), None, "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_or_grow(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
            at in any::<proptest::sample::Index>(),
            change in any::<u8>(),
        ) {
            open(&bytes);
            bytes = signed(open_element, Some(&element(OCTETS, &bytes)));
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            if let Some(Cms::Signed(out)) = open(&bytes) {
                prop_assert!(out.len() <= bytes.len());
            }
        }
    }
}
