//! Transfer encodings, lenient: what can be decoded is, and every oddity has a code (`mail.md` section 4.2).

use super::closest::Encoding;
use super::params::Content;
use crate::problem::add;
use module_api::Problem;

/// The decoded body; `None` when it is the body as it stands.
pub(super) fn decode(content: &Content, body: &[u8], problems: &mut Vec<Problem>) -> Option<Vec<u8>> {
    match content.encoding {
        Encoding::Identity | Encoding::Unknown => None,
        Encoding::Base64 => base64(body, problems),
        Encoding::QuotedPrintable => Some(quoted_printable(body, problems)),
    }
}

/// Decodes base64 (RFC 2045 section 6.8: other characters are skipped). `None` when more than one character in
/// twenty is none of base64's: then it was never encoded.
pub(super) fn base64(body: &[u8], problems: &mut Vec<Problem>) -> Option<Vec<u8>> {
    let (body, trailing) = body.split_at(end_of_base64(body));
    let mut out = Vec::with_capacity(body.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0_u8);
    let (mut good, mut junk) = (0_usize, 0_usize);
    // Blanks count as junk only between characters of one line.
    let (mut in_line, mut blanks) = (false, 0);
    // Whether what follows the first padding was found to be base64 again: it is looked at once.
    let mut more = false;
    let mut rest = body;
    let mut left = trailing.trim_ascii().len();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\r' | b'\n' => (in_line, blanks) = (false, 0),
            b' ' | b'\t' => blanks += usize::from(in_line),
            _ => {
                junk += std::mem::take(&mut blanks);
                in_line = true;
            }
        }
        if let Some(value) = sextet(byte) {
            good += 1;
            bits = bits << 6 | u32::from(value);
            count += 1;
            if count == 4 {
                out.extend_from_slice(&bits.to_be_bytes()[1..]);
                (bits, count) = (0, 0);
            }
        } else if byte == b'=' && good > 0 {
            flush(&mut out, bits, count);
            (bits, count) = (0, 0);
            rest = skip_padding(rest);
            if rest.is_empty() {
                break;
            }
            if !more && !is_base64(rest) {
                left += rest.len();
                break;
            }
            more = true;
            add(problems, "b64_concat", "");
        } else if !byte.is_ascii_whitespace() {
            junk += 1;
        }
    }
    if junk * 20 > good + junk {
        add(problems, "cte_mismatch", "not base64");
        return None;
    }
    if left > 0 {
        add(problems, "b64_trailing", &format!("{left} bytes"));
    }
    if junk > 0 || count == 1 {
        add(problems, "b64_junk", &format!("{junk} characters"));
    }
    flush(&mut out, bits, count);
    Some(out)
}

/// A line of base64 that is part of a longer text has at least so many characters.
const LONG_LINE: usize = 40;
/// A footer is told from junk by what stands before it; fewer characters are too few to tell.
const LEAST_BEFORE: usize = 16;

/// Where base64 ends because something else was put behind it, such as the footer of a mailing list; the length of the
/// body where nothing was. What begins with a line that is no base64 was put there if none of its lines could belong to
/// a longer text: junk inside stays inside. Padding ends base64 by itself and is not looked for here.
fn end_of_base64(body: &[u8]) -> usize {
    // Letters so far, and where their last line ends.
    let (mut letters, mut end) = (0, 0);
    // The last blank line behind letters: where it is, letters before it, and whether a short line was the last.
    let mut blank = (0, 0, false);
    let (mut longest, mut last, mut at) = (0, 0, 0);
    for line in body.split_inclusive(|&b| b == b'\n') {
        let (start, text) = (at, line.trim_ascii());
        at += line.len();
        if text.is_empty() {
            if letters > blank.1 {
                blank = (start, letters, last < longest);
            }
            continue;
        }
        if text.iter().all(|&b| sextet(b).is_some()) {
            letters += text.len();
            last = text.len();
            longest = longest.max(last);
            end = at;
            continue;
        }
        if text.ends_with(b"=") || letters < LEAST_BEFORE || body[start..].split(|&b| b == b'\n').any(goes_on)
        {
            return body.len();
        }
        // Words alone between a blank line and this one belong to the footer.
        let begins_before = blank.1 >= LEAST_BEFORE && letters - blank.1 < LONG_LINE;
        return if begins_before { blank.0 } else { end };
    }
    let ended = blank.1 >= LEAST_BEFORE && (blank.1 % 4 != 0 || blank.2);
    if ended && (1..LONG_LINE).contains(&(letters - blank.1)) { blank.0 } else { body.len() }
}

/// Whether a line could belong to a longer text in base64, with little junk.
fn goes_on(line: &[u8]) -> bool {
    let text = line.trim_ascii();
    text.len() >= LONG_LINE && text.iter().filter(|&&b| sextet(b).is_none()).count() * 20 < text.len()
}

/// Writes what an unfinished group of four holds.
pub(super) fn flush(out: &mut Vec<u8>, bits: u32, count: u8) {
    match count {
        2 => out.push((bits >> 4).to_le_bytes()[0]),
        3 => out.extend_from_slice(&(bits >> 2).to_be_bytes()[2..]),
        _ => {}
    }
}

fn skip_padding(mut rest: &[u8]) -> &[u8] {
    while let [b'=' | b' ' | b'\t' | b'\r' | b'\n', after @ ..] = rest {
        rest = after;
    }
    rest
}

/// Whether what follows a padding is a second base64 text and not, say, the footer of a mailing list.
fn is_base64(rest: &[u8]) -> bool {
    let text = rest.trim_ascii();
    let letters = text.iter().filter(|b| !matches!(b, b'\r' | b'\n')).count();
    letters > 0
        && letters % 4 == 0
        && text.iter().all(|&b| sextet(b).is_some() || matches!(b, b'=' | b'\r' | b'\n'))
}

/// The value of a character of base64.
pub(super) const fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Decodes quoted-printable; an escape that is none stays as it is.
fn quoted_printable(body: &[u8], problems: &mut Vec<Problem>) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut odd = 0_usize;
    for line in body.split_inclusive(|&b| b == b'\n') {
        let text = line.trim_ascii_end();
        let (text, soft) = text.strip_suffix(b"=").map_or((text, false), |text| (text, true));
        let mut i = 0;
        while i < text.len() {
            let digit = |n: usize| text.get(i + n).and_then(|&b| char::from(b).to_digit(16));
            match (text[i], digit(1), digit(2)) {
                (b'=', Some(high), Some(low)) => {
                    out.extend(u8::try_from(high * 16 + low));
                    i += 3;
                }
                (byte, ..) => {
                    odd += usize::from(byte == b'=');
                    out.push(byte);
                    i += 1;
                }
            }
        }
        if !soft {
            out.extend_from_slice(line_break(line));
        }
    }
    if odd > 0 {
        add(problems, "qp_odd", &format!("{odd} escapes"));
    }
    out
}

fn line_break(line: &[u8]) -> &[u8] {
    match line {
        [.., b'\r', b'\n'] => b"\r\n",
        [.., b'\n'] => b"\n",
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(encoding: &str, body: &str) -> (Option<String>, String) {
        let mut problems = Vec::new();
        let header = format!("Content-Transfer-Encoding: {encoding}\n");
        let content = Content::of(header.as_bytes(), &mut problems);
        let bytes = decode(&content, body.as_bytes(), &mut problems);
        let codes: Vec<_> = problems.iter().map(|p| p.code.as_ref()).collect();
        (bytes.map(|b| String::from_utf8_lossy(&b).into_owned()), codes.join(" "))
    }

    #[test]
    fn encodings_of_section_4_2_are_decoded_and_flagged() {
        let junk = format!("SGVsbG8s{}!SGVsbG8s", "SGVsbG8s".repeat(4));
        let whole = "Hello,".repeat(6);
        for (case, encoding, body, expected, codes) in [
            (35, "base64", junk.as_str(), Some(whole.as_str()), "b64_junk"),
            (36, "base64", "SGVsbG8=\n____\nlist footer\n", Some("Hello"), "b64_trailing"),
            (37, "base64", "QQ==QUJD", Some("AABC"), "b64_concat"),
            (
                36,
                "base64",
                "SGVsbG8sSGVsbG8sSGVsbG8\n_____\nlist footer\n",
                Some("Hello,Hello,Hello"),
                "b64_trailing",
            ),
            (
                36,
                "base64",
                "SGVsbG8sSGVsbG8sSGVsbG8\n\nUnsubscribe\nhttp://x.example/\n",
                Some("Hello,Hello,Hello"),
                "b64_trailing",
            ),
            (36, "base64", "SGVsbG8sSGVsbG8sSGVsbG8\n\nFooter\n", Some("Hello,Hello,Hello"), "b64_trailing"),
            (
                36,
                "base64",
                "SGVsbG8sSGVsbG8s\nSGVsbG8s\n\nFooter\n",
                Some("Hello,Hello,Hello,"),
                "b64_trailing",
            ),
            (36, "base64", "SGVsbG8sSGVsbG8s\n\nSGVsbG8s\n", Some("Hello,Hello,Hello,"), ""),
            (38, "base64", "SGVsbG8", Some("Hello"), ""),
            (39, "base64 (comment)", "SGVsbG8=", Some("Hello"), "cte_odd"),
            (39, "\"base64\"", "SGVsbG8=", Some("Hello"), "cte_odd"),
            (40, "base64", "Just plain text, never encoded.", None, "cte_mismatch"),
            (41, "x-uuencode", "begin 644 x", None, "cte_unknown"),
            (42, "quoted-printable", "a=ZZb=4=\nc=41", Some("a=ZZb=4cA"), "qp_odd"),
            (0, "quoted-printable", "soft =\r\nbreak=20 \r\nend", Some("soft break \r\nend"), ""),
            (0, "BASE64", "SGVs \r\n bG8=\r\n", Some("Hello"), ""),
            (0, "7bit", "as it is", None, ""),
        ] {
            let (text, found) = decoded(encoding, body);
            assert_eq!(
                (text.as_deref(), found.as_str()),
                (expected, codes),
                "case {case}: {encoding} {body:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_the_decoders_panic_or_grow(body in proptest::collection::vec(any::<u8>(), 0..500)) {
            let mut problems = Vec::new();
            if let Some(out) = base64(&body, &mut problems) {
                prop_assert!(out.len() <= body.len());
            }
            prop_assert!(quoted_printable(&body, &mut problems).len() <= body.len());
        }
    }
}
