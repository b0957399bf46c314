//! The module host's words about parts, as a tree and its manifest take them.

use crate::delivery::manifest::{PartFacts, PartRecord, RawText, Span};
use crate::infra::host::SplitOutput;
use crate::infra::volume::{FileRange, Stored};
use module_api::{Content, frame};
use std::fs::File;
use std::io;

/// Hashes every part where its decoded bytes are.
pub fn records<'a>(split: &'a SplitOutput, message: &'a File) -> io::Result<Vec<PartRecord<'a>>> {
    split.parts.iter().map(|part| record(part, message, &split.spill)).collect()
}

fn record<'a>(part: &frame::PartRecord, message: &'a File, spill: &'a File) -> io::Result<PartRecord<'a>> {
    let file = match part.stored {
        frame::Stored::Input(_) => message,
        frame::Stored::Spill(_) => spill,
    };
    let range = part.stored.range();
    let stored = Stored::read(Content::Range { file, offset: range.offset, len: range.len }.reader())?;
    let optional = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let facts = PartFacts {
        path: part.path.clone(),
        parent: part.parent,
        kind: part.kind,
        media_type: part.media_type.clone(),
        sniffed_type: part.sniffed_type.clone(),
        charset: part.charset.clone(),
        disposition: optional(&part.disposition),
        name: part.name.as_ref().map(|name| RawText::decoded(name.clone(), &part.raw_name)),
        transfer_encoding: optional(&part.transfer_encoding),
        in_message: part.raw.map(|raw| Span { offset: raw.offset, len_bytes: raw.len }),
        problems: part.problems.clone(),
    };
    Ok(PartRecord { facts, bytes: FileRange { file, offset: range.offset, stored } })
}
