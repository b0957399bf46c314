//! tar: regular files only, each a range of the archive itself, so nothing is copied.

use super::{Expansion, Halt, Member, RangeReader};
use crate::problem::add;
use module_api::Problem;
use module_api::frame::{Range, Stored};
use std::collections::HashSet;
use std::fs::File;
use std::io;
use tar::EntryType;

/// Members and the end mark begin at multiples of this.
const BLOCK_BYTES: u64 = 512;
/// Longest extended header (long names, pax records) that is read.
const EXTENDED_BYTES: u64 = 64 << 10;

impl Expansion<'_> {
    pub(super) fn tar(
        &mut self,
        stored: Stored,
        found: &mut Vec<Member>,
        problems: &mut Vec<Problem>,
    ) -> Result<(), Halt> {
        let file = match stored {
            Stored::Input(_) => self.input.try_clone()?,
            Stored::Spill(_) => self.spill.file().try_clone()?,
        };
        let whole = stored.range();
        let (pieces, skipped) = readable(&file, whole);
        if skipped > 0 {
            let detail = format!("{skipped} with an extended header over {EXTENDED_BYTES} bytes");
            add(problems, "tar_header", &detail);
        }
        let mut names = HashSet::new();
        for piece in pieces {
            self.tar_piece(&file, (stored, piece), &mut names, found, problems)?;
        }
        Ok(())
    }

    /// Members of a piece of the archive that begins with a header.
    fn tar_piece(
        &mut self,
        file: &File,
        (stored, piece): (Stored, Range),
        names: &mut HashSet<Vec<u8>>,
        found: &mut Vec<Member>,
        problems: &mut Vec<Problem>,
    ) -> Result<(), Halt> {
        let whole = stored.range();
        let mut archive = tar::Archive::new(RangeReader::new(file, piece));
        let mut end = 0;
        for entry in archive.entries_with_seek()? {
            let Ok(entry) = entry else {
                add(problems, "truncated", "tar");
                return Ok(());
            };
            end = entry.raw_file_position().saturating_add(entry.size());
            let name = entry.path_bytes().into_owned();
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {}
                EntryType::Directory => continue,
                _ => {
                    add(problems, "tar_special", &String::from_utf8_lossy(&name));
                    continue;
                }
            }
            self.count_member()?;
            let range = Range { offset: piece.offset + entry.raw_file_position(), len: entry.size() };
            if range.len > piece.len.saturating_sub(entry.raw_file_position()) {
                add(problems, "truncated", "tar");
                return Ok(());
            }
            let mut member = Member { name, stored: within(stored, range), problems: Vec::new() };
            if !names.insert(member.name.clone()) {
                add(&mut member.problems, "dup_member", "");
            }
            found.push(member);
        }
        let is_last = piece.offset + piece.len == whole.offset + whole.len;
        if is_last && piece.len < end.saturating_add(BLOCK_BYTES) {
            add(problems, "truncated", "tar without an end mark");
        }
        Ok(())
    }
}

fn within(stored: Stored, range: Range) -> Stored {
    match stored {
        Stored::Input(_) => Stored::Input(range),
        Stored::Spill(_) => Stored::Spill(range),
    }
}

/// The pieces of the archive without members whose extended header should not be read into memory, and the number of
/// such members.
fn readable(file: &File, whole: Range) -> (Vec<Range>, u32) {
    let piece = |from: u64, to: u64| Range { offset: whole.offset + from, len: to.saturating_sub(from) };
    let behind = |end: u64| end.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(u64::MAX).min(whole.len);
    let mut archive = tar::Archive::new(RangeReader::new(file, whole));
    let Ok(entries) = archive.entries_with_seek() else { return (vec![whole], 0) };
    let (mut pieces, mut skipped) = (Vec::new(), 0);
    // Where the piece begins, where the extended headers of the next member do, and whether it is left out.
    let (mut from, mut headers, mut skip) = (0, None, false);
    for entry in entries.raw(true).map_while(io::Result::ok) {
        let at = *headers.get_or_insert(entry.raw_header_position());
        if is_extended(entry.header().entry_type()) {
            if !skip && entry.size() > EXTENDED_BYTES {
                pieces.push(piece(from, at));
                (skip, skipped) = (true, skipped + 1);
            }
            continue;
        }
        if skip {
            let end = entry.raw_file_position().saturating_add(entry.size());
            (skip, from) = (false, behind(end));
        }
        headers = None;
    }
    if !skip {
        pieces.push(piece(from, whole.len));
    }
    (pieces, skipped)
}

fn is_extended(kind: EntryType) -> bool {
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}
