//! The declared name of a part: which of up to four it is (RFC 2183, RFC 2231), and what is odd about it.

use super::field::{cut, text_of};
use super::params::Content;
use super::value::Param;
use super::words::Reader;
use crate::charset;
use crate::problem::add;
use module_api::Problem;
use module_api::charset::Charset;

/// Longest name kept, decoded and as it came.
const NAME_BYTES: usize = 4 << 10;

/// A declared name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Decoded, without control and invisible characters; a name to match, never to open.
    pub text: String,
    /// As it came.
    pub raw: Vec<u8>,
}

/// The name a part declares. `filename*` goes before `filename` (RFC 6266), both before `name` of the type.
pub(super) fn declared(content: &Content, problems: &mut Vec<Problem>) -> Option<Name> {
    let candidates = [
        extended(&content.disposition_params, "filename", problems),
        plain(&content.disposition_params, "filename", problems),
        extended(&content.type_params, "name", problems),
        plain(&content.type_params, "name", problems),
    ];
    let mut names = candidates.into_iter().flatten();
    let mut first = names.next()?;
    if let Some(other) = names.find(|n| n.text != first.text) {
        add(problems, "name_conflict", &other.text);
    }
    if first.text.len().max(first.raw.len()) > NAME_BYTES {
        add(problems, "name_long", "");
        first.raw.truncate(NAME_BYTES);
        first.text = cut(first.text, NAME_BYTES);
    }
    Some(first)
}

fn plain(params: &[Param], name: &str, problems: &mut Vec<Problem>) -> Option<Name> {
    let mut all = params.iter().filter(|p| p.name == name);
    let raw = all.next()?.value.clone();
    if let Some(second) = all.next() {
        add(problems, "name_dup", &text_of(&second.value));
    }
    let text = Reader::new(problems).text(&raw);
    Some(Name { text: visible(&text, problems), raw })
}

/// `name*=charset'lang'%41…`, or its pieces `name*0*`, `name*1`, … in the order of their numbers. Pieces may hold encoded
/// words, whole or cut: those are read once the pieces are together.
fn extended(params: &[Param], name: &str, problems: &mut Vec<Problem>) -> Option<Name> {
    let Pieces { bytes, raw, label, gap } = pieces(params, name)?;
    if gap {
        add(problems, "name_gap", "");
    }
    let text = match label.as_deref().map(|label| (label, Charset::for_label(label))) {
        Some((label, None)) if !label.is_empty() => {
            add(problems, "charset_unknown", label);
            Charset::unlabelled(&bytes, true).decode(&bytes).text.into_owned()
        }
        Some((label, Some(_))) => {
            let decision = charset::of(&bytes, Some(label), "");
            if let Some((code, detail)) = decision.problem {
                add(problems, code, &detail);
            }
            let charset = decision.label.as_deref().and_then(Charset::for_label).unwrap_or(Charset::UTF_8);
            charset.decode(&bytes).text.into_owned()
        }
        // Who writes words into pieces does not know that `_` would be a blank there.
        _ => {
            let mut reader = Reader::new(problems);
            reader.underscore_is_blank = false;
            reader.text(&bytes)
        }
    };
    Some(Name { text: visible(&text, problems), raw })
}

/// A parameter that comes in pieces, put together.
struct Pieces {
    bytes: Vec<u8>,
    raw: Vec<u8>,
    /// Label of the character set; empty where it was left out.
    label: Option<String>,
    /// A piece is missing.
    gap: bool,
}

/// The value of a parameter that comes in pieces, if there are any.
pub(super) fn joined(params: &[Param], name: &str) -> Option<Vec<u8>> {
    pieces(params, name).map(|pieces| pieces.bytes)
}

fn pieces(params: &[Param], name: &str) -> Option<Pieces> {
    let mut pieces: Vec<(u32, bool, &[u8])> = Vec::new();
    for param in params {
        let Some(tail) = param.name.strip_prefix(name).and_then(|t| t.strip_prefix('*')) else { continue };
        let (number, encoded) = match tail.strip_suffix('*') {
            Some(number) => (number.parse().ok(), true),
            None if tail.is_empty() => (Some(0), true),
            None => (tail.parse().ok(), false),
        };
        if let Some(number) = number {
            pieces.push((number, encoded, &param.value));
        }
    }
    pieces.sort_by_key(|&(number, ..)| number);
    let (_, first_encoded, first) = *pieces.first()?;
    let gap = pieces.iter().zip(0..).any(|(piece, expected)| piece.0 != expected);
    let (label, first) = if first_encoded { label_of(first) } else { (None, first) };
    let (mut bytes, mut raw) = (Vec::new(), Vec::new());
    for (i, &(_, encoded, value)) in pieces.iter().enumerate() {
        raw.extend_from_slice(value);
        let value = if i == 0 { first } else { value };
        if encoded { unescape(value, &mut bytes) } else { bytes.extend_from_slice(value) }
    }
    Some(Pieces { bytes, raw, label, gap })
}

/// Takes `charset'language'` off the front.
fn label_of(value: &[u8]) -> (Option<String>, &[u8]) {
    let mut pieces = value.splitn(3, |&b| b == b'\'');
    match (pieces.next(), pieces.next(), pieces.next()) {
        (Some(label), Some(_), Some(rest)) => (Some(text_of(label).to_ascii_lowercase()), rest),
        _ => (None, value),
    }
}

/// Percent-decodes; what is no escape stays as it is.
fn unescape(value: &[u8], out: &mut Vec<u8>) {
    let mut i = 0;
    while i < value.len() {
        let digit = |n: usize| value.get(i + n).and_then(|&b| char::from(b).to_digit(16));
        match (value[i], digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                out.extend(u8::try_from(high * 16 + low));
                i += 3;
            }
            (byte, ..) => {
                out.push(byte);
                i += 1;
            }
        }
    }
}

/// Without characters that do not show or reorder others, blanks collapsed.
fn visible(text: &str, problems: &mut Vec<Problem>) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            c if c.is_whitespace() => {
                if !out.is_empty() && !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            '\0' => add(problems, "nul", "in a name"),
            c if c.is_control() => {}
            '\u{AD}'
            | '\u{61C}'
            | '\u{180E}'
            | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}'
            | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}' => add(problems, "name_bidi", ""),
            c => out.push(c),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name and problem codes of a `Content-Disposition` and a `Content-Type` value.
    fn name(disposition: &str, media_type: &str) -> (Option<String>, String) {
        let header = format!("Content-Disposition: {disposition}\r\nContent-Type: {media_type}\r\n");
        let mut problems = Vec::new();
        let content = Content::of(header.as_bytes(), &mut problems);
        let name = declared(&content, &mut problems);
        let codes: Vec<_> = problems.iter().map(|p| p.code.as_ref()).collect();
        (name.map(|n| n.text), codes.join(" "))
    }

    #[test]
    fn names_of_section_4_3_are_read_and_flagged() {
        for (case, disposition, media_type, expected, codes) in [
            (49, "attachment; filename=\"../../etc/passwd\"", "a/b", "../../etc/passwd", ""),
            (49, "attachment; filename=\"C:\\x\\y.txt\"", "a/b", "C:\\x\\y.txt", ""),
            (50, "attachment; filename*=utf-8''x%00.txt", "a/b", "x.txt", "nul"),
            (51, "attachment; filename*=utf-8''ann%E2%80%AEfdp.exe", "a/b", "annfdp.exe", "name_bidi"),
            (55, "a; filename*1=\"b.txt\"; filename*0=\"a\"", "a/b", "ab.txt", ""),
            (55, "a; filename*0=\"a\"; filename*2=\"c\"", "a/b", "ac", "name_gap"),
            (55, "a; filename*0*=utf-8''%C3; filename*1*=%A4.txt", "a/b", "ä.txt", ""),
            (56, "a; filename=plain.txt; filename*=utf-8''ext.txt", "a/b", "ext.txt", "name_conflict"),
            (56, "a; filename=one.txt", "a/b; name=two.txt", "one.txt", "name_conflict"),
            (56, "a; filename=same.txt", "a/b; name=same.txt", "same.txt", ""),
            (57, "a; filename=one.txt; filename=two.txt", "a/b", "one.txt", "name_dup"),
            (59, "a; filename=\"a\tb\r\n  c.txt\"", "a/b", "a b c.txt", ""),
            (46, "a; filename=\"=?utf-8?Q?r=C3=A4te.csv?=\"", "a/b", "räte.csv", ""),
            (46, "a; filename=\"=?utf-8?Q?a_=C3?= =?utf-8?Q?=A4.csv?=\"", "a/b", "a ä.csv", ""),
            (
                46,
                "a; filename*0=\"=?UTF-8?Q?r_=C3=A4=C3?=\r\n =?UTF-8?Q?=A4=C3=A\"; filename*1=\"4.docx?=\"",
                "a/b",
                "r_äää.docx",
                "",
            ),
            (46, "a; filename*=\"=?utf-8?B?w6QuY3N2?=\"", "a/b", "ä.csv", ""),
            (55, "a; filename*0*=cp932''%8C%F0; filename*1*=%8A%B7.txt", "a/b", "交換.txt", ""),
            (55, "a; filename*=us-ascii''%C3%A4.txt", "a/b", "ä.txt", "charset_guess"),
            (55, "a; filename*=x-none''%C3%A4.txt", "a/b", "ä.txt", "charset_unknown"),
            (55, "a", "a/b; name*0*=utf-8''%C3; name*1*=%A4", "ä", ""),
            (45, "inline", "a/b; name=x.csv", "x.csv", ""),
        ] {
            let (name, found) = name(disposition, media_type);
            assert_eq!(
                (name.as_deref(), found.as_str()),
                (Some(expected), codes),
                "case {case}: {disposition}"
            );
        }
        assert_eq!(name("inline", "a/b").0, None);
    }
}
