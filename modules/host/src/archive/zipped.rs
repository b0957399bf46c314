//! zip: what its central directory lists, decompressed into the spill.
//!
//! The directory is believed; where the header in front of a member says otherwise, the member has a problem code. Every
//! member is looked at on its own: one that is encrypted, overlaps another or unpacks to too much is known by its name,
//! and the others are read.

use super::{Expansion, Halt, Member, NAME_BYTES, RangeReader};
use crate::problem::{add, problem};
use flate2::read::DeflateDecoder;
use module_api::Problem;
use module_api::frame::{Range, Stored};
use rawzip::{
    CompressionMethod, Crc32, ErrorKind, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, ZipArchive,
    ZipArchiveEntryWayfinder, ZipEntry, ZipFileHeaderRecord, ZipLocator, ZipVerification,
};
use std::collections::HashSet;
use std::io::{self, Read};

type Archive<'a> = ZipArchive<RangeReader<'a>>;

/// A member as the directory lists it.
struct Listed {
    name: Vec<u8>,
    entry: ZipArchiveEntryWayfinder,
    method: CompressionMethod,
    encrypted: bool,
    symlink: bool,
    directory: bool,
    /// Where its header begins.
    at: u64,
}

/// Why a member is known by its name only, as a problem code.
pub(super) fn closed(method: CompressionMethod, encrypted: bool) -> Option<&'static str> {
    match method {
        _ if encrypted => Some("encrypted"),
        CompressionMethod::STORE | CompressionMethod::DEFLATE => None,
        _ => Some("unsupported_method"),
    }
}

/// A member that can be read, and what its header promises.
pub(super) struct Packed<'a> {
    pub name: &'a [u8],
    pub method: CompressionMethod,
    pub bytes: Box<dyn Read + 'a>,
    pub promised: ZipVerification,
}

impl Listed {
    fn of(record: &ZipFileHeaderRecord<'_>) -> Self {
        let name = record.file_path().as_ref().to_vec();
        Self {
            name: name[..name.len().min(NAME_BYTES)].to_vec(),
            entry: record.wayfinder(),
            method: record.compression_method(),
            encrypted: record.flags().is_encrypted(),
            symlink: record.mode().is_symlink(),
            directory: record.is_dir(),
            at: record.local_header_offset(),
        }
    }
}

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
        let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
        let archive =
            ZipLocator::new().locate_in_reader(RangeReader::new(&file, whole), &mut buffer, whole.len);
        let archive = match archive {
            Ok(archive) => archive,
            Err((_, error)) if is_cut(&error) => {
                add(problems, "truncated", "zip without its directory");
                return self.cut_zip(&file, whole, found);
            }
            Err((_, error)) => return Err(unreadable(error)),
        };
        if archive.end_offset() < whole.len {
            add(problems, "trailing_garbage", "zip");
        }
        let listed = self.listed(&archive, &mut buffer, problems)?;
        if let Some(front) = listed.iter().map(|one| one.at).min().filter(|&at| at > 0) {
            add(problems, "polyglot", &format!("{front} bytes in front"));
        }
        let shared = sharing(&archive, &listed);
        if !shared.is_empty() {
            add(problems, "zip_overlap", "");
        }
        let mut names = HashSet::new();
        for (index, one) in listed.iter().enumerate() {
            self.count_member()?;
            if one.directory {
                continue;
            }
            if one.symlink {
                add(problems, "zip_symlink", &String::from_utf8_lossy(&one.name));
                continue;
            }
            let mut member = if shared.contains(&index) {
                self.unread(&one.name, "zip_overlap", "")
            } else {
                self.zip_member(&archive, one, whole.len, &mut buffer)?
            };
            if !names.insert(one.name.as_slice()) {
                add(&mut member.problems, "dup_member", "");
            }
            found.push(member);
        }
        Ok(())
    }

    /// What the directory lists: one more than may still be read, if there are so many.
    fn listed(
        &self,
        archive: &Archive<'_>,
        buffer: &mut [u8],
        problems: &mut Vec<Problem>,
    ) -> Result<Vec<Listed>, Halt> {
        let most = self.limits.members.saturating_sub(self.members) as usize + 1;
        let mut listed = Vec::new();
        let mut entries = archive.entries(buffer);
        while listed.len() < most {
            match entries.next_entry() {
                Ok(Some(record)) => listed.push(Listed::of(&record)),
                Ok(None) => break,
                Err(error) if listed.is_empty() => return Err(unreadable(error)),
                Err(error) => {
                    add(problems, "corrupt", &format!("directory: {error}"));
                    break;
                }
            }
        }
        if listed.len() < most && listed.len() as u64 != archive.entries_hint() {
            add(problems, "zip_mismatch", "number of members");
        }
        Ok(listed)
    }

    fn zip_member(
        &mut self,
        archive: &Archive<'_>,
        one: &Listed,
        packed_bytes: u64,
        buffer: &mut [u8],
    ) -> Result<Member, Halt> {
        let entry = match archive.get_entry(one.entry) {
            Ok(entry) => entry,
            Err(error) => return Ok(self.unread(&one.name, "corrupt", &error.to_string())),
        };
        let differs = differs(one, &entry, buffer);
        let mut member = match closed(one.method, one.encrypted) {
            Some(code) => self.unread(&one.name, code, ""),
            None => {
                let (method, bytes) = (one.method, Box::new(entry.reader()));
                let promised = entry.reader().claim_verifier();
                self.unpacked(Packed { name: &one.name, method, bytes, promised }, packed_bytes)?
            }
        };
        if let Some(what) = differs {
            add(&mut member.problems, "zip_mismatch", what);
        }
        Ok(member)
    }

    pub(super) fn unpacked(&mut self, packed: Packed<'_>, packed_bytes: u64) -> Result<Member, Halt> {
        let Packed { name, method, bytes, promised } = packed;
        let bytes: Box<dyn Read + '_> = match method {
            CompressionMethod::STORE => bytes,
            _ => Box::new(DeflateDecoder::new(bytes)),
        };
        let mut summed = Summed { from: bytes, crc: Crc32::new(), bytes: 0 };
        let (range, error) = match self.pour(&mut summed, packed_bytes) {
            Ok(poured) => poured,
            // A bomb beside others; if all of them together are too much, that ends the archive.
            Err(Halt::Archive(code, detail)) if self.written <= self.limits.total_bytes => {
                return Ok(self.unread(name, code, &detail));
            }
            Err(halt) => return Err(halt),
        };
        let problems = match error {
            Some(_) => vec![problem("corrupt", "zip")],
            None if summed.crc.checksum() != promised.crc => vec![problem("corrupt", "checksum")],
            None if summed.bytes != promised.uncompressed_size => vec![problem("zip_mismatch", "size")],
            None => Vec::new(),
        };
        Ok(Member { name: name.to_vec(), stored: Stored::Spill(range), problems })
    }

    /// A member of which only the name is known.
    pub(super) fn unread(&self, name: &[u8], code: &'static str, detail: &str) -> Member {
        let nothing = Stored::Spill(Range { offset: self.spill.end(), len: 0 });
        Member { name: name.to_vec(), stored: nothing, problems: vec![problem(code, detail)] }
    }
}

/// Whether the end of the archive is missing, where its directory would be.
fn is_cut(error: &rawzip::Error) -> bool {
    match error.kind() {
        ErrorKind::MissingEndOfCentralDirectory | ErrorKind::Eof => true,
        ErrorKind::IO(error) => error.kind() == io::ErrorKind::UnexpectedEof,
        _ => false,
    }
}

fn unreadable(error: rawzip::Error) -> Halt {
    match error.into_kind() {
        ErrorKind::IO(error) if error.kind() != io::ErrorKind::UnexpectedEof => Halt::Io(error),
        kind => Halt::Archive("corrupt", format!("zip directory: {kind}")),
    }
}

/// Counts and sums up what is read.
struct Summed<R> {
    from: R,
    crc: Crc32,
    bytes: u64,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.from.read(buffer)?;
        self.crc.update(&buffer[..got]);
        self.bytes += got as u64;
        Ok(got)
    }
}

/// What the header in front of a member says otherwise than the directory.
fn differs(one: &Listed, entry: &ZipEntry<'_, RangeReader<'_>>, buffer: &mut [u8]) -> Option<&'static str> {
    let local = entry.local_header(buffer).ok()?;
    let name = local.file_path();
    let name: &[u8] = name.as_ref();
    let sizes = (local.compressed_size_hint(), local.uncompressed_size_hint());
    match () {
        () if name[..name.len().min(NAME_BYTES)] != one.name => Some("name"),
        () if local.compression_method() != one.method => Some("method"),
        () if local.flags().is_encrypted() != one.encrypted => Some("encryption"),
        () if local.flags().has_data_descriptor() => None,
        () if sizes != (one.entry.compressed_size_hint(), one.entry.uncompressed_size_hint()) => Some("size"),
        () => None,
    }
}

/// The members that share bytes with another one or with the directory.
fn sharing(archive: &Archive<'_>, listed: &[Listed]) -> HashSet<usize> {
    let mut ranges: Vec<(u64, u64, usize)> = listed
        .iter()
        .enumerate()
        .filter_map(|(index, one)| {
            let (_, end) = archive.get_entry(one.entry).ok()?.compressed_data_range();
            Some((one.at, end, index))
        })
        .collect();
    ranges.sort_unstable();
    let mut sharing = HashSet::new();
    let mut longest: Option<(u64, usize)> = None;
    for (start, end, index) in ranges {
        if let Some((reaches, other)) = longest
            && start < reaches
        {
            sharing.extend([index, other]);
        }
        if end > archive.directory_offset() {
            sharing.insert(index);
        }
        if longest.is_none_or(|(reaches, _)| end > reaches) {
            longest = Some((end, index));
        }
    }
    sharing
}
