//! Header fields: cut from a block, turned into text, and read into a [`Head`].

use super::params::is_misspelt;
use super::words::Reader;
use crate::problem::add;
use mail_parser::parsers::MessageStream;
use mail_parser::{Addr, Address as Parsed, HeaderValue};
use module_api::charset::Charset;
use module_api::frame::{Address, Field, Head};
use std::ops::Range;

/// Most addresses of one list that are kept.
const MOST_ADDRESSES: usize = 1_000;
/// Most bytes of one list that are kept.
const LIST_BYTES: usize = 256 << 10;
/// A [`Head`]'s text stays below this; the rest of the fields is left out with `header_cut`.
const HEAD_BYTES: usize = 1 << 20;
/// Byte-order mark that a program put in front of its header.
const MARK: &[u8] = b"\xEF\xBB\xBF";
/// Fields that decide something; more than one of them is read differently by different programs.
const SINGLE: &[&str] = &["from", "subject", "sender", "message-id", "content-type", "date"];

/// One field of a header block, as written.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawField<'m> {
    pub name: &'m [u8],
    /// Between the colon and the last line's end, folded.
    pub value: &'m [u8],
    /// There were blanks before the colon.
    obsolete: bool,
}

/// The fields of a header block in order.
pub(super) struct Fields<'m> {
    rest: &'m [u8],
}

impl<'m> Fields<'m> {
    pub(super) fn of(header: &'m [u8]) -> Self {
        Self { rest: header }
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = RawField<'m>;

    fn next(&mut self) -> Option<RawField<'m>> {
        while !self.rest.is_empty() {
            let mut end = line_length(self.rest);
            while matches!(self.rest.get(end), Some(b' ' | b'\t')) {
                end += line_length(&self.rest[end..]);
            }
            let (lines, rest) = self.rest.split_at(end);
            self.rest = rest;
            let lines = lines.strip_prefix(MARK).unwrap_or(lines);
            if let Some(name) = field_name(lines) {
                let colon = lines.iter().position(|&b| b == b':')?;
                let value = lines[colon + 1..].trim_ascii_end();
                return Some(RawField { name, value, obsolete: colon != name.len() });
            }
        }
        None
    }
}

/// Length of the first line with its break.
fn line_length(text: &[u8]) -> usize {
    text.iter().position(|&b| b == b'\n').map_or(text.len(), |n| n + 1)
}

/// The field name a header line starts with. Blanks before the colon are tolerated, and inside a name that then reads
/// like one of a body.
pub(super) fn field_name(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|&b| b == b':')?;
    let name = line[..colon].trim_ascii_end();
    let good = !name.is_empty() && name.iter().all(|b| (33..=126).contains(b));
    (good || (name.len() < 40 && is_misspelt(name))).then_some(name)
}

/// Reads the header block of the mail itself, whose body is said to be in `body_charset`.
pub(super) fn head(message: &[u8], header: Range<usize>, body_charset: Option<Charset>) -> Head {
    let mut head = Head::default();
    let mut kept = 0;
    let mut seen = Vec::new();
    for field in Fields::of(&message[header]) {
        let name = text_of(field.name);
        let lower = name.to_ascii_lowercase();
        let first = !seen.contains(&lower);
        if !first && SINGLE.contains(&lower.as_str()) {
            add(&mut head.problems, "dup_header", &name);
        }
        if field.obsolete {
            add(&mut head.problems, "obs_header", &name);
        }
        if field.value.contains(&0) {
            add(&mut head.problems, "nul", &name);
        }
        let mut reader = Reader { body_charset, ..Reader::new(&mut head.problems) };
        let value = cut(reader.text(field.value), Field::VALUE_BYTES);
        let raw = field.value[..field.value.len().min(Field::VALUE_BYTES)].to_vec();
        kept += name.len() + value.len() + raw.len();
        if kept > HEAD_BYTES {
            add(&mut head.problems, "header_cut", "");
            break;
        }
        let raw_field = (field.value, body_charset);
        read_known(&mut head, &lower, raw_field, &value, first);
        if first {
            seen.push(lower);
        }
        head.fields.push(Field { name, value, raw });
    }
    head
}

/// Fills the head's own fields. Of those that should be single the first counts.
fn read_known(
    head: &mut Head,
    name: &str,
    (value, body_charset): (&[u8], Option<Charset>),
    text: &str,
    first: bool,
) {
    let reader = Reader { body_charset, ..Reader::new(&mut head.problems) };
    match name {
        "from" if first => extend(&mut head.from, value, reader),
        "sender" if first => extend(&mut head.sender, value, reader),
        "reply-to" if first => extend(&mut head.reply_to, value, reader),
        "to" => extend(&mut head.to, value, reader),
        "cc" => extend(&mut head.cc, value, reader),
        "subject" if first => head.subject = Some(text.to_owned()),
        "message-id" if first => head.message_id = message_id(value),
        "date" if first => head.date_at = date(value),
        _ => {}
    }
}

/// Adds the addresses of one field to a list, as long as there is room.
fn extend(list: &mut Vec<Address>, value: &[u8], mut reader: Reader<'_>) {
    let line = with_line_end(reader.quoted(value).as_bytes());
    let HeaderValue::Address(parsed) = MessageStream::new(&line).parse_address() else { return };
    let flat: Vec<Addr<'_>> = match parsed {
        Parsed::List(list) => list,
        Parsed::Group(groups) => groups.into_iter().flat_map(|g| g.addresses).collect(),
    };
    let size = |a: &Address| a.address.len() + a.name.as_ref().map_or(0, String::len);
    let mut bytes: usize = list.iter().map(size).sum();
    for addr in flat {
        let address = Address {
            name: addr.name.map(|n| cut(without_nul(&n), 256)),
            address: cut(without_nul(&addr.address.unwrap_or_default()), 1_024),
        };
        bytes += size(&address);
        if list.len() == MOST_ADDRESSES || bytes > LIST_BYTES {
            return;
        }
        list.push(address);
    }
}

fn message_id(value: &[u8]) -> Option<String> {
    let text = text_of(value);
    let inner = text.split_once('<').map_or(text.as_str(), |(_, rest)| rest);
    let id = inner.split('>').next().unwrap_or(inner).trim();
    (!id.is_empty()).then(|| cut(without_nul(id), 1_024))
}

fn date(value: &[u8]) -> Option<i64> {
    match MessageStream::new(&with_line_end(value)).parse_date() {
        HeaderValue::DateTime(date) if date.is_valid() => date.to_timestamp().checked_mul(1_000_000),
        _ => None,
    }
}

/// The value in UTF-8 on one line, as mail-parser wants it.
fn with_line_end(value: &[u8]) -> Vec<u8> {
    let mut line: Vec<u8> = text_of(value).into_bytes();
    line.iter_mut().filter(|b| matches!(b, b'\r' | b'\n')).for_each(|b| *b = b' ');
    line.push(b'\n');
    line
}

/// Bytes of a header as text: UTF-8 if they are, windows-1252 otherwise.
pub(super) fn text_of(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// At most `limit` bytes of a text.
pub(super) fn cut(mut text: String, limit: usize) -> String {
    text.truncate(text.floor_char_boundary(limit));
    text
}
