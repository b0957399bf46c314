//! zip: what its central directory lists, decompressed into the spill.

use super::{Expansion, Halt, Member, RangeReader};
use crate::problem::{add, problem};
use module_api::Problem;
use module_api::frame::{Range, Stored};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use zip::read::ZipFile;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// The end record with the longest comment behind it.
const END_BYTES: u64 = 22 + 65_535;

impl Expansion<'_> {
    pub(super) fn zip(
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
        let promised = promised_entries(&file, whole)?;
        if promised.is_some_and(|n| u32::from(n) > self.limits.members) {
            return Err(Halt::Archive("archive_members", format!("more than {}", self.limits.members)));
        }
        let mut archive = open(&file, whole)?;
        if archive.has_overlapping_entries().unwrap_or(true) {
            return Err(Halt::Archive("zip_overlap", String::new()));
        }
        // The reader keeps one of equal names; the end record counts them all.
        if promised.is_some_and(|n| usize::from(n) != archive.len()) {
            add(problems, "dup_member", "");
        }
        if archive.offset() > 0 {
            add(problems, "polyglot", &format!("{} bytes in front", archive.offset()));
        }
        for index in 0..archive.len() {
            self.zip_member(&mut archive, index, whole.len, found, problems)?;
        }
        Ok(())
    }

    fn zip_member(
        &mut self,
        archive: &mut ZipArchive<io::BufReader<RangeReader<'_>>>,
        index: usize,
        packed_bytes: u64,
        found: &mut Vec<Member>,
        problems: &mut Vec<Problem>,
    ) -> Result<(), Halt> {
        self.count_member()?;
        let (name, size, closed) = match archive.by_index_raw(index) {
            Ok(entry) if entry.is_dir() => return Ok(()),
            Ok(entry) if entry.is_symlink() => {
                add(problems, "zip_symlink", &String::from_utf8_lossy(entry.name_raw()));
                return Ok(());
            }
            Ok(entry) => (entry.name_raw().to_vec(), entry.size(), closed(&entry)),
            Err(e) => {
                add(problems, "corrupt", &e.to_string());
                return Ok(());
            }
        };
        let opened = if closed.is_some() { None } else { archive.by_index(index).ok() };
        let Some(mut entry) = opened else {
            let nothing = Stored::Spill(Range { offset: self.spill.end(), len: 0 });
            found.push(Member {
                name,
                stored: nothing,
                problems: vec![problem(closed.unwrap_or("corrupt"), "")],
            });
            return Ok(());
        };
        let (range, error) = self.pour(&mut entry, packed_bytes)?;
        let mut member = Member { name, stored: Stored::Spill(range), problems: Vec::new() };
        match error.map(|e| e.kind()) {
            Some(io::ErrorKind::UnexpectedEof) => member.problems.push(problem("truncated", "zip")),
            Some(_) => member.problems.push(problem("corrupt", "zip")),
            None if range.len != size => member.problems.push(problem("zip_mismatch", "size")),
            None => {}
        }
        found.push(member);
        Ok(())
    }
}

/// Why a member is known by name only, as a problem code.
fn closed<R: Read>(entry: &ZipFile<'_, R>) -> Option<&'static str> {
    match entry.compression() {
        _ if entry.encrypted() => Some("encrypted"),
        CompressionMethod::Stored | CompressionMethod::Deflated => None,
        _ => Some("unsupported_method"),
    }
}

fn open(file: &File, whole: Range) -> Result<ZipArchive<io::BufReader<RangeReader<'_>>>, Halt> {
    ZipArchive::new(io::BufReader::new(RangeReader::new(file, whole))).map_err(|e| match e {
        ZipError::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            Halt::Archive("truncated", "zip".into())
        }
        e => Halt::Archive("corrupt", e.to_string()),
    })
}

/// The number of entries the end record promises; `None` without one, or where zip64 counts.
fn promised_entries(file: &File, whole: Range) -> io::Result<Option<u16>> {
    let mut reader = RangeReader::new(file, whole);
    reader.seek(SeekFrom::Start(whole.len.saturating_sub(END_BYTES)))?;
    let mut tail = Vec::new();
    reader.read_to_end(&mut tail)?;
    let Some(at) = tail.windows(4).rposition(|w| w == b"PK\x05\x06") else { return Ok(None) };
    let count = tail.get(at + 10..at + 12).map(|b| u16::from_le_bytes([b[0], b[1]]));
    Ok(count.filter(|&n| n != u16::MAX))
}
