//! Mails taken apart in this process, as in production.

use headworks_modules::{archive, mime, spill::Spill};
use module_api::fixture::{Message, OwnedPart};
use module_api::frame::{ArchiveLimits, Head, MimeLimits, PartRecord, Stored};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Takes a mail apart with the limits of production, archives too.
pub fn split(mail: &[u8]) -> Result<Message, String> {
    read(mail).map(|(_, message)| message)
}

/// The same with the mail's header.
pub fn read(mail: &[u8]) -> Result<(Head, Message), String> {
    let input = tempfile::tempfile().map_err(|e| e.to_string())?;
    input.write_all_at(mail, 0).map_err(|e| e.to_string())?;
    let mut spill = Spill::new(tempfile::tempfile().map_err(|e| e.to_string())?);
    let split = mime::split(mail, &MimeLimits::default(), &mut spill).map_err(|e| e.to_string())?;
    let head = split.head.clone();
    let limits = (&ArchiveLimits::default(), &MimeLimits::default());
    let expanded = archive::expand(split.parts, &input, &mut spill, limits);
    let owned = |record: PartRecord| owned(record, &input, spill.file());
    let message = Message {
        subject: split.head.subject.unwrap_or_default(),
        headers: split.head.fields.into_iter().map(|field| (field.name, field.value)).collect(),
        parts: expanded.map_err(|e| e.to_string())?.parts.into_iter().map(owned).collect(),
    };
    Ok((head, message))
}

fn owned(record: PartRecord, input: &File, spill: &File) -> OwnedPart {
    let file = if matches!(record.stored, Stored::Input(_)) { input } else { spill };
    let range = record.stored.range();
    let mut bytes = vec![0; usize::try_from(range.len).expect("a part of a fixture fits memory")];
    file.read_exact_at(&mut bytes, range.offset).expect("a part lies within its file");
    OwnedPart {
        kind: record.kind,
        path: record.path,
        parent: record.parent,
        media_type: record.media_type,
        sniffed_type: record.sniffed_type,
        charset: record.charset,
        name: record.name,
        problems: record.problems,
        bytes,
    }
}
