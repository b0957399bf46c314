//! zip without its directory, as one that was cut: members stand one after the other, each behind a header of its own.

use super::zipped::{Packed, closed};
use super::{Expansion, Halt, Member, NAME_BYTES, RangeReader};
use crate::problem::problem;
use module_api::frame::Range;
use rawzip::{CompressionMethod, ReaderAt, ZipVerification};
use std::fs::File;
use std::io;

/// Length of the header without name and extra field.
const HEADER_BYTES: usize = 30;
const SIGNATURE: &[u8] = b"PK\x03\x04";
const ENCRYPTED: u16 = 1;
/// The lengths stand behind the member, where nobody who does not know them finds them.
const LENGTHS_BEHIND: u16 = 1 << 3;

/// The header in front of a member.
struct Header {
    name: Vec<u8>,
    method: CompressionMethod,
    encrypted: bool,
    /// Where its bytes are in the archive.
    packed: Range,
    promised: ZipVerification,
}

impl Expansion<'_> {
    /// Members up to the first whose length is not known. The last one may be cut too.
    pub(super) fn cut_zip(&mut self, file: &File, whole: Range, found: &mut Vec<Member>) -> Result<(), Halt> {
        let mut at = 0;
        while let Some(header) = Header::read(&RangeReader::new(file, whole), at)? {
            let Header { name, method, encrypted, packed, promised } = header;
            self.count_member()?;
            at = packed.offset.saturating_add(packed.len);
            if name.ends_with(b"/") {
                continue;
            }
            let mut member = match closed(method, encrypted) {
                Some(code) => self.unread(&name, code, ""),
                None => {
                    let left = packed.len.min(whole.len - packed.offset);
                    let there = Range { offset: whole.offset + packed.offset, len: left };
                    let bytes = Box::new(RangeReader::new(file, there));
                    self.unpacked(Packed { name: &name, method, bytes, promised }, whole.len)?
                }
            };
            if at > whole.len {
                member.problems = vec![problem("truncated", "zip")];
            }
            found.push(member);
        }
        Ok(())
    }
}

impl Header {
    /// The header at `at`; `None` where there is none, or none that says how long its member is.
    fn read(archive: &RangeReader<'_>, at: u64) -> io::Result<Option<Self>> {
        let mut fixed = [0; HEADER_BYTES];
        if !filled(archive, &mut fixed, at)? || !fixed.starts_with(SIGNATURE) {
            return Ok(None);
        }
        let short = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
        let long = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        let (flags, packed, size) = (short(6), long(18), long(22));
        if flags & LENGTHS_BEHIND != 0 || packed == u32::MAX || size == u32::MAX {
            return Ok(None);
        }
        let mut name = vec![0; usize::from(short(26))];
        if !filled(archive, &mut name, at + HEADER_BYTES as u64)? {
            return Ok(None);
        }
        let offset = at + HEADER_BYTES as u64 + u64::from(short(26)) + u64::from(short(28));
        if offset > archive.len() {
            return Ok(None);
        }
        name.truncate(NAME_BYTES);
        Ok(Some(Self {
            name,
            method: CompressionMethod::new(short(8)),
            encrypted: flags & ENCRYPTED != 0,
            packed: Range { offset, len: packed.into() },
            promised: ZipVerification { crc: long(14), uncompressed_size: size.into() },
        }))
    }
}

/// Fills `buffer` from `at`; `false` where there is not as much.
fn filled(archive: &RangeReader<'_>, buffer: &mut [u8], at: u64) -> io::Result<bool> {
    match archive.read_exact_at(buffer, at) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
