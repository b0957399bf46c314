//! Takes a mail apart.
//!
//! ```text
//!   bytes ─▶ scan: lines → entities, by boundaries, with limits        no recursion, one pass
//!         ─▶ field, words: header fields of an entity → text           mail-parser reads addresses and dates
//!         ─▶ params, name, transfer: types, names, encodings           lenient, every oddity has a code
//!         ─▶ Head and PartRecords; decoded bytes go to the spill, undecoded ones stay where they are
//!   an encoded message, a signed one, a multipart whose boundary had to be guessed ─▶ scan again, of its own bytes
//! ```
//!
//! mail-parser 0.11 overflows its stack on deep nesting, is quadratic in boundaries that never come, splits at
//! prefixes of boundaries and loses what it cannot decode. So the structure is found here, and mail-parser sees
//! single header values only, whose size the scan has limited.
//!
//! Never panics; takes time and memory linear in the message; any bytes give at least one part. Beyond a limit the
//! whole mail is one opaque part with the limit's problem code; beyond a limit inside an encoded message that message
//! stays closed.

mod boundary;
mod closest;
mod field;
mod flowed;
mod holds;
mod name;
mod params;
mod scan;
mod take;
mod transfer;
mod value;
mod words;

use crate::problem::{add, problem};
use crate::spill::Spill;
use module_api::PartKind;
use module_api::charset::Charset;
use module_api::frame::{Head, MimeLimits, PartRecord, Range, Stored};
use scan::{Excess, Start};
use std::borrow::Cow;
use std::io;

/// Number of this reading. Raise it with every change after which the same bytes give another [`Split`]: parts that an
/// older reading stored are then found again instead of taken.
pub const READING: u32 = 3;

/// What [`split`] found.
#[derive(Debug)]
pub struct Split {
    /// The mail's own header and mail-level problems.
    pub head: Head,
    /// Its parts in document order.
    pub parts: Vec<PartRecord>,
}

/// Takes `message` apart and writes decoded parts to `spill`.
///
/// # Errors
/// When the spill cannot be written. Nothing about the message is an error.
pub fn split(message: &[u8], limits: &MimeLimits, spill: &mut Spill) -> io::Result<Split> {
    let text = scan::with_line_feeds(message, limits);
    let scan = match scan::scan(&text, limits, Start::Mail) {
        Ok(scan) => scan,
        Err(excess) => return Ok(opaque(message, message.len() as u64, limits, excess.code())),
    };
    let root = &scan.entities[0];
    let body_charset = root.content.charset().and_then(|label| Charset::for_label(&label));
    let mut head = field::head(&text, root.header.clone(), body_charset);
    if matches!(text, Cow::Owned(_)) {
        add(&mut head.problems, "cr_only", "");
    }
    let taken = take::take(&text, &scan, limits, spill)?;
    for p in taken.problems {
        add(&mut head.problems, &p.code, &p.detail);
    }
    if taken.is_blank && head.subject.as_deref().unwrap_or_default().trim().is_empty() {
        add(&mut head.problems, "empty", "");
    }
    Ok(Split { head, parts: taken.parts })
}

/// Takes a part apart that is a message, for example a member of an archive: it comes first, behind it what it holds.
/// `entities` counts those that were found in such parts, this one's included.
///
/// # Errors
/// When the spill cannot be written.
pub fn inside(
    part: PartRecord,
    message: &[u8],
    limits: &MimeLimits,
    entities: &mut usize,
    spill: &mut Spill,
) -> io::Result<Vec<PartRecord>> {
    take::inside(part, message, limits, entities, spill)
}

/// A message that is too large to be taken apart; `front` is what was read of it.
#[must_use]
pub fn too_large(front: &[u8], message_bytes: u64, limits: &MimeLimits) -> Split {
    opaque(front, message_bytes, limits, Excess::Size.code())
}

/// The mail as one part that nobody looks into.
fn opaque(front: &[u8], message_bytes: u64, limits: &MimeLimits, code: &'static str) -> Split {
    let mut head = field::head(front, scan::header_range(front, limits), None);
    head.problems.push(problem(code, ""));
    let whole = Range { offset: 0, len: message_bytes };
    let part = PartRecord {
        kind: PartKind::Attachment,
        path: "1".into(),
        parent: None,
        media_type: "message/rfc822".into(),
        sniffed_type: "application/octet-stream".into(),
        charset: None,
        name: None,
        raw_name: Vec::new(),
        transfer_encoding: String::new(),
        disposition: String::new(),
        problems: vec![problem(code, "")],
        raw: Some(whole),
        stored: Stored::Input(whole),
    };
    Split { head, parts: vec![part] }
}

#[cfg(test)]
mod tests;
