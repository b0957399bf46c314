//! Lines that do not belong into a header, in front of it or inside it, and lines that end in carriage returns alone.

use super::{Class, Line, Mode, Walk};
use crate::mime::field::{Fields, field_name};
use crate::problem::add;
use module_api::frame::MimeLimits;
use std::borrow::Cow;

/// Lines in front of a header, or inside it, that belong to nothing: most of one header, and of one place in it.
const MOST_JUNK: u32 = 8;
/// Of these, lines that are text and so may well be the body.
const MOST_TEXT_JUNK: u32 = 2;

/// Fields that mail transfer agents put in front of what they were given.
const TRACE: &[&str] = &[
    "return-path",
    "received",
    "delivered-to",
    "x-original-to",
    "original-recipient",
    "envelope-to",
    "received-spf",
    "authentication-results",
    "x-envelope-from",
    "x-envelope-to",
];

/// Fields of which a header has one at least.
const USUAL: &[&str] = &[
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "reply-to",
    "sender",
    "return-path",
    "received",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "content-id",
];

impl<'m> Walk<'m> {
    /// Whether the header goes on behind a line that is none of a header; if so, those lines are skipped. In front of a
    /// message's header, or behind what an MTA put there, blank lines may be too, and a byte-order mark.
    pub(super) fn goes_on_behind_junk(&mut self, line: Line<'m>, entity: usize, lines: usize) -> bool {
        let e = &self.entities[entity];
        let is_top = e.parent.is_none_or(|p| self.entities[p].class == Class::Message);
        let is_trace = |name: &[u8]| TRACE.iter().any(|trace| name.eq_ignore_ascii_case(trace.as_bytes()));
        let in_front =
            is_top && Fields::of(&self.message[e.header.start..line.start]).all(|field| is_trace(field.name));
        if line.text.is_empty() && !in_front {
            return false;
        }
        let (mut at, mut skipped, mut texts) = (line.start, 0, 0);
        while let Some(next) = self.line_at(at) {
            let text = if in_front { without_mark(next.text) } else { next.text };
            if field_name(text).is_some() {
                break;
            }
            let is_blank = text.trim_ascii().is_empty();
            texts += u32::from(!is_blank && !is_mbox(text));
            skipped += 1;
            at = next.end;
            if text.starts_with(b"--")
                || (is_blank && !in_front)
                || texts > MOST_TEXT_JUNK
                || self.junk + skipped > MOST_JUNK
            {
                return false;
            }
        }
        if !self.is_header(at, in_front) {
            return false;
        }
        self.junk += skipped;
        // Nothing was skipped where only a mark stood in front of the first field: that line is read as a field.
        let first = self.line_at(at).map_or(at, |first| first.end);
        self.at = first;
        self.mode = Mode::Header { entity, lines: lines + skipped as usize + 1 };
        let code = if in_front { "leading_junk" } else { "header_junk" };
        let detail = format!("{skipped} lines");
        match self.entities[entity].parent {
            None => add(&mut self.problems, code, &detail),
            Some(_) => add(&mut self.entities[entity].problems, code, &detail),
        }
        true
    }

    /// Whether fields follow, a usual one among them, up to a blank line. What is asked about a message at its start
    /// needs two. Looks no further than a header may go, nor into another entity.
    fn is_header(&self, at: usize, in_front: bool) -> bool {
        let (mut fields, mut usual, mut texts, mut next_at) = (0_u32, false, 0, at);
        for _ in 0..self.limits.header_lines {
            let Some(line) = self.line_at(next_at).filter(|line| line.end - at <= self.limits.header_bytes)
            else {
                break;
            };
            let text = if next_at == at { without_mark(line.text) } else { line.text };
            next_at = line.end;
            match field_name(text) {
                _ if text.is_empty() => break,
                _ if fields > 0 && matches!(text[0], b' ' | b'\t') => {}
                Some(name) => {
                    fields += 1;
                    let is_usual = |usual: &&str| name.eq_ignore_ascii_case(usual.as_bytes());
                    usual |= text.get(name.len()) == Some(&b':') && USUAL.iter().any(is_usual);
                }
                None if text.starts_with(b"--") => return false,
                None => texts += u32::from(!is_mbox(text)),
            }
            if texts > MOST_TEXT_JUNK {
                return false;
            }
        }
        usual && fields >= if in_front { 2 } else { 1 }
    }
}

pub(super) fn is_mbox(line: &[u8]) -> bool {
    line.starts_with(b"From ") || line.starts_with(b">From ")
}

pub(super) fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
}

/// Length of a byte-order mark or one blank line in front of the header.
pub(super) fn junk_before(message: &[u8]) -> usize {
    let mark = if message.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    let rest = &message[mark..];
    let blank = if rest.starts_with(b"\r\n") { 2 } else { usize::from(rest.starts_with(b"\n")) };
    // A message of nothing but a line break is a body, not junk.
    if mark + blank == message.len() { 0 } else { mark + blank }
}

/// A message whose lines end in carriage returns alone, in a copy of the same length where they are line feeds. An MTA
/// may have put lines with line feeds in front. A carriage return in a header that ends properly is left alone.
pub(in crate::mime) fn with_line_feeds<'m>(message: &'m [u8], limits: &MimeLimits) -> Cow<'m, [u8]> {
    let Some(from) = bare_returns(message, limits) else { return Cow::Borrowed(message) };
    let mut copy = message.to_vec();
    for at in from..copy.len() {
        if copy[at] == b'\r' && copy.get(at + 1) != Some(&b'\n') {
            copy[at] = b'\n';
        }
    }
    Cow::Owned(copy)
}

/// Where lines begin to end in carriage returns alone.
fn bare_returns(message: &[u8], limits: &MimeLimits) -> Option<usize> {
    let mut at = 0;
    for line in message.split_inclusive(|&b| b == b'\n').take(limits.header_lines) {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() && at > 0 {
            return None;
        }
        if let Some(end) = text.iter().position(|&b| b == b'\r') {
            let behind = text[end + 1..].split(|&b| b == b'\r').next().unwrap_or(b"");
            let is_end =
                behind.is_empty() || matches!(behind[0], b' ' | b'\t') || field_name(behind).is_some();
            let rest = message[at..].trim_ascii_end();
            let ends_properly = rest.windows(3).any(|three| three.starts_with(b"\n\n") || three == b"\n\r\n");
            return (is_end && !ends_properly).then_some(at);
        }
        at += line.len();
    }
    None
}
