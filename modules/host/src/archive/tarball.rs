//! tar: regular files only, each a range of the archive itself, so nothing is copied.

use super::{Expansion, Halt, Member, RangeReader};
use crate::problem::add;
use module_api::Problem;
use module_api::frame::{Range, Stored};
use std::collections::HashSet;
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
        if has_long_headers(&file, whole) {
            return Err(Halt::Archive("tar_header", format!("extended header over {EXTENDED_BYTES} bytes")));
        }
        let mut archive = tar::Archive::new(RangeReader::new(&file, whole));
        let mut names = HashSet::new();
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
            let range = Range { offset: whole.offset + entry.raw_file_position(), len: entry.size() };
            if range.len > whole.len.saturating_sub(entry.raw_file_position()) {
                add(problems, "truncated", "tar");
                return Ok(());
            }
            let mut member = Member { name, stored: within(stored, range), problems: Vec::new() };
            if !names.insert(member.name.clone()) {
                add(&mut member.problems, "dup_member", "");
            }
            found.push(member);
        }
        if whole.len < end.saturating_add(BLOCK_BYTES) {
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

/// Whether the plain sequence of headers holds an extended one that should not be read into memory.
fn has_long_headers(file: &std::fs::File, whole: Range) -> bool {
    let mut archive = tar::Archive::new(RangeReader::new(file, whole));
    let Ok(entries) = archive.entries_with_seek() else { return false };
    let extended = |entry: &tar::Entry<'_, _>| {
        let kind = entry.header().entry_type();
        kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions()
    };
    entries.raw(true).map_while(io::Result::ok).any(|e| extended(&e) && e.size() > EXTENDED_BYTES)
}
