//! Parts of a mail: from what the module host found into a tree, and from a tree back to the module host.

use super::envelope::RawText;
use super::manifest::{Part, PartFacts, Span};
use super::part_name;
use crate::infra::host::SplitOutput;
use crate::infra::volume::{FileRange, Stored};
use module_api::{Content, Problem, frame};
use std::borrow::Cow;
use std::fs::File;
use std::io;

/// A declared name holds characters that hide or reorder others.
const NAME_BIDI: &str = "name_bidi";
/// Another part has a name that is easily taken for this one.
const NAME_TWIN: &str = "name_twin";

/// A part on its way into a tree: what is known of it, and where its bytes are now.
#[derive(Debug, Clone)]
pub struct NewPart<'a> {
    /// As the module host found it.
    pub facts: PartFacts,
    /// A range of the spill or of the message.
    pub bytes: FileRange<'a>,
}

/// The parts of a mail that was split, each hashed where its decoded bytes are.
///
/// # Errors
/// When message or spill cannot be read.
pub fn of_split<'a>(split: &'a SplitOutput, message: &'a File) -> io::Result<Vec<NewPart<'a>>> {
    let new = |part: &frame::PartRecord| {
        let file = match part.stored {
            frame::Stored::Input(_) => message,
            frame::Stored::Spill(_) => &split.spill,
        };
        let range = part.stored.range();
        let content = Content::Range { file, offset: range.offset, len: range.len };
        let stored = Stored::read(content.reader())?;
        Ok(NewPart { facts: facts(part), bytes: FileRange { file, offset: range.offset, stored } })
    };
    split.parts.iter().map(new).collect()
}

fn facts(part: &frame::PartRecord) -> PartFacts {
    let optional = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    PartFacts {
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
        verbatim: part.raw.is_some_and(|raw| part.stored == frame::Stored::Input(raw)),
        problems: part.problems.clone(),
    }
}

/// Numbers and names the parts of a tree, in document order, and flags names that mislead.
#[must_use]
pub fn numbered(parts: &[NewPart<'_>]) -> Vec<Part> {
    let name = |part: &NewPart<'_>| part.facts.name.as_ref().map(|name| name.text.clone());
    let named: Vec<(usize, String)> =
        parts.iter().enumerate().filter_map(|(i, part)| Some((i, name(part)?))).collect();
    let texts: Vec<&str> = named.iter().map(|(_, text)| text.as_str()).collect();
    let twins: Vec<usize> = part_name::twins(&texts).into_iter().map(|i| named[i].0).collect();
    let one = |(index, part): (usize, &NewPart<'_>)| numbered_one(index, part, twins.contains(&index));
    parts.iter().enumerate().map(one).collect()
}

fn numbered_one(index: usize, part: &NewPart<'_>, is_twin: bool) -> Part {
    let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
    let mut facts = part.facts.clone();
    let name = facts.name.as_ref().map(|name| name.text.as_str());
    let stored_name = part_name::stored_name(number, name, &facts.sniffed_type);
    let hides = name.is_some_and(part_name::hides_something);
    let codes = hides.then_some(NAME_BIDI).into_iter().chain(is_twin.then_some(NAME_TWIN));
    facts.problems.extend(codes.map(|code| Problem { code: Cow::Borrowed(code), detail: String::new() }));
    Part { number, stored_name, facts, file: part.bytes.stored.into() }
}

/// A part of a tree as the module host found it, its bytes now at `stored`. The name's raw bytes are left out: only the
/// manifest shows them.
#[must_use]
pub fn as_found(part: Part, stored: frame::Stored) -> frame::PartRecord {
    let facts = part.facts;
    let name = facts.name.map(|name| name.text);
    let mut problems = facts.problems;
    problems.pop_if(|last| last.code == NAME_TWIN);
    if name.as_deref().is_some_and(part_name::hides_something) {
        problems.pop_if(|last| last.code == NAME_BIDI);
    }
    frame::PartRecord {
        kind: facts.kind,
        path: facts.path,
        parent: facts.parent,
        media_type: facts.media_type,
        sniffed_type: facts.sniffed_type,
        charset: facts.charset,
        name,
        raw_name: Vec::new(),
        transfer_encoding: facts.transfer_encoding.unwrap_or_default(),
        disposition: facts.disposition.unwrap_or_default(),
        problems,
        raw: facts.in_message.map(|span| frame::Range { offset: span.offset, len: span.len_bytes }),
        stored,
    }
}
