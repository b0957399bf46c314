//! Takes a mail apart.
//!
//! ```text
//!   bytes ─▶ scan: lines → entities, by boundaries, with limits        no recursion, one pass
//!         ─▶ field: header fields of an entity → text, addresses       mail-parser reads the values
//!         ─▶ params, transfer: names, encodings                        lenient, every oddity has a code
//!         ─▶ Head and PartRecords; decoded bytes go to the spill, undecoded ones stay where they are
//! ```
//!
//! mail-parser 0.11 overflows its stack on deep nesting, is quadratic in boundaries that never come, splits at
//! prefixes of boundaries and loses what it cannot decode. So the structure is found here, and mail-parser sees
//! single header values only, whose size the scan has limited.
//!
//! Never panics; takes time and memory linear in the message; any bytes give at least one part. Beyond a limit the
//! whole mail is one opaque part with the limit's problem code.

mod field;
mod name;
mod params;
mod scan;
mod transfer;

use crate::problem::{add, problem};
use crate::sniff;
use crate::spill::Spill;
use module_api::PartKind;
use module_api::frame::{Head, MimeLimits, PartRecord, Range, Stored};
use scan::{Class, Entity, Excess, Scan};
use std::io;

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
    let scan = match scan::scan(message, limits) {
        Ok(scan) => scan,
        Err(excess) => return Ok(opaque(message, message.len() as u64, limits, excess.code())),
    };
    let root = &scan.entities[0];
    let mut head = field::head(message, root.header.clone());
    head.problems.extend(scan.problems.iter().cloned());
    let mut parts = Vec::new();
    let mut index_of = vec![None; scan.entities.len()];
    for (i, entity) in scan.entities.iter().enumerate() {
        let parent = nearest_part(&scan, &index_of, entity.parent);
        if matches!(entity.class, Class::Multipart) {
            for p in &entity.problems {
                let at = if entity.path.is_empty() { "the mail" } else { &entity.path };
                add(&mut head.problems, &p.code, format!("{at} {}", p.detail).trim_end());
            }
            continue;
        }
        index_of[i] = u32::try_from(parts.len()).ok();
        parts.push(part(message, entity, parent, spill)?);
    }
    Ok(Split { head, parts })
}

/// A message that is too large to be taken apart; `front` is what was read of it.
#[must_use]
pub fn too_large(front: &[u8], message_bytes: u64, limits: &MimeLimits) -> Split {
    opaque(front, message_bytes, limits, Excess::Size.code())
}

/// The mail as one part that nobody looks into.
fn opaque(front: &[u8], message_bytes: u64, limits: &MimeLimits, code: &'static str) -> Split {
    let mut head = field::head(front, scan::header_range(front, limits));
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

/// The embedded message an entity stands in, as an index of parts.
fn nearest_part(scan: &Scan, index_of: &[Option<u32>], mut parent: Option<usize>) -> Option<u32> {
    while let Some(i) = parent {
        if index_of[i].is_some() {
            return index_of[i];
        }
        parent = scan.entities[i].parent;
    }
    None
}

fn part(message: &[u8], entity: &Entity, parent: Option<u32>, spill: &mut Spill) -> io::Result<PartRecord> {
    let raw = Range { offset: entity.body.start as u64, len: entity.body.len() as u64 };
    let body = &message[entity.body.clone()];
    let mut problems = entity.problems.clone();
    if let Some(code) = entity.content.closed() {
        add(&mut problems, code, "");
    }
    let named = name::declared(&entity.content, &mut problems);
    let (stored, sniffed_type) = if entity.class == Class::Message {
        (Stored::Input(raw), entity.content.media_type.clone())
    } else {
        match transfer::decode(&entity.content, body, &mut problems) {
            None => (Stored::Input(raw), sniff::media_type(body, &entity.content.media_type)),
            Some(bytes) => {
                let sniffed = sniff::media_type(&bytes, &entity.content.media_type);
                (Stored::Spill(spill.append(&bytes)?), sniffed)
            }
        }
    };
    let text = matches!(entity.content.media_type.as_str(), "text/plain" | "text/html");
    let kind = match entity.class {
        Class::Message => PartKind::Message,
        _ if text && named.is_none() && entity.content.disposition != "attachment" => PartKind::Body,
        _ => PartKind::Attachment,
    };
    let (name, raw_name) = named.map_or((None, Vec::new()), |n| (Some(n.text), n.raw));
    Ok(PartRecord {
        kind,
        path: entity.path.clone(),
        parent,
        media_type: entity.content.media_type.clone(),
        sniffed_type,
        charset: entity.content.charset(),
        name,
        raw_name,
        transfer_encoding: entity.content.transfer_encoding.clone(),
        disposition: entity.content.disposition.clone(),
        problems,
        raw: Some(raw),
        stored,
    })
}

#[cfg(test)]
mod tests;
