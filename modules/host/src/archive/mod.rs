//! Expands archives into parts, under one budget for the whole delivery (`mail.md` section 4.4).
//!
//! ```text
//!   part ─ gzip, xz, bzip2, zstd ─▶ spill ─ tar inside? ─▶ its members, ranges of what is there already
//!        ─ tar  ─▶ members, ranges           (report.tar.gz gives 1.2!/nodes.csv, one step, not two)
//!        ─ zip  ─▶ members, decompressed into the spill
//!   member that is an archive: the same again, `limits.depth` times
//!   member that is a mail: taken apart, and its attachments as here
//! ```
//!
//! What an archive is, its first bytes say, not its name. Member names become parts of [`PartRecord::path`] and
//! nothing else: no directory, link or device is ever made. Other compressions are left as they are, `unsupported`.
//! What is bad does not spoil what is good: every member that can be read is read. What was odd has a problem code on
//! the archive or member it concerns, and [`findings`] tells all of them.

mod range;
mod stream;
mod tarball;
mod told;
mod zip_cut;
mod zipped;

pub use told::findings;

use crate::charset;
use crate::mime;
use crate::problem::{add, has};
use crate::spill::Spill;
use module_api::frame::{ArchiveLimits, MimeLimits, PartRecord, Range, Stored};
use module_api::{PartKind, Problem};
use module_sniff as sniff;
use range::RangeReader;
use std::fs::File;
use std::io;
use stream::Packing;

/// Type of what nobody declared a type of.
const OCTETS: &str = "application/octet-stream";
/// Longest member name kept.
const NAME_BYTES: usize = 1_024;

/// Parts with the members of archives among them.
#[derive(Debug)]
pub struct Expanded {
    /// Members stand behind their archive.
    pub parts: Vec<PartRecord>,
    /// How many of its problems each part had before; the others are about archives.
    pub known: Vec<usize>,
}

/// Puts behind every archive among `parts` its members.
///
/// # Errors
/// When input or spill cannot be read or written. Nothing in an archive is an error.
pub fn expand(
    parts: Vec<PartRecord>,
    input: &File,
    spill: &mut Spill,
    (limits, mime): (&ArchiveLimits, &MimeLimits),
) -> io::Result<Expanded> {
    // Parts that were decoded before count too: the limit is one for the delivery, and for the file they are in.
    let written = spill.end();
    let out = Expanded { parts: Vec::with_capacity(parts.len()), known: Vec::with_capacity(parts.len()) };
    let mut expansion = Expansion { input, spill, limits, mime, members: 0, entities: 0, written, out };
    expansion.add_all(parts, 0)?;
    Ok(expansion.out)
}

/// What one member is called and where its bytes are.
struct Member {
    name: Vec<u8>,
    stored: Stored,
    problems: Vec<Problem>,
}

struct Expansion<'a> {
    input: &'a File,
    spill: &'a mut Spill,
    limits: &'a ArchiveLimits,
    mime: &'a MimeLimits,
    members: u32,
    /// Found in members that are mails.
    entities: usize,
    /// Bytes decompressed so far, and those that were in the spill before.
    written: u64,
    out: Expanded,
}

/// Why an expansion ended early.
enum Halt {
    /// Spill or input failed.
    Io(io::Error),
    /// The rest of this archive is left out; the problem code and detail say why.
    Archive(&'static str, String),
}

impl From<io::Error> for Halt {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// The archive formats that are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Stream(Packing),
    Tar,
    Zip,
}

impl Expansion<'_> {
    /// Adds parts of one message or file, whose parents are among themselves.
    fn add_all(&mut self, parts: Vec<PartRecord>, depth: u32) -> io::Result<()> {
        let mut moved = Vec::with_capacity(parts.len());
        for mut part in parts {
            // Members move what follows them; a parent always stands before its children.
            let parent = part.parent.and_then(|p| moved.get(p as usize).copied());
            // The first part of a message in an archive keeps its parent, the archive.
            part.parent = if moved.is_empty() { part.parent } else { parent };
            moved.push(u32::try_from(self.out.parts.len()).unwrap_or(u32::MAX));
            let known = part.problems.len();
            self.add(part, known, depth)?;
        }
        Ok(())
    }

    fn add(&mut self, part: PartRecord, known: usize, depth: u32) -> io::Result<()> {
        let index = self.out.parts.len();
        self.out.known.push(known);
        let format = match part.sniffed_type.as_str() {
            _ if matches!(part.kind, PartKind::Body | PartKind::Message) => None,
            "application/gzip" => Some(Format::Stream(Packing::Gzip)),
            "application/x-xz" => Some(Format::Stream(Packing::Xz)),
            "application/x-bzip2" => Some(Format::Stream(Packing::Bzip2)),
            "application/zstd" => Some(Format::Stream(Packing::Zstd)),
            "application/x-tar" => Some(Format::Tar),
            "application/zip" => Some(Format::Zip),
            "application/x-7z-compressed" | "application/vnd.rar" | "application/x-compress" => {
                self.out.parts.push(part);
                add(&mut self.out.parts[index].problems, "unsupported", "");
                return Ok(());
            }
            _ => None,
        };
        self.out.parts.push(part);
        let Some(format) = format else { return Ok(()) };
        if depth >= self.limits.depth {
            add(&mut self.out.parts[index].problems, "archive_depth", "");
            return Ok(());
        }
        self.expand_one(index, format, depth)
    }

    fn expand_one(&mut self, index: usize, format: Format, depth: u32) -> io::Result<()> {
        let mut found = Vec::new();
        let mut problems = Vec::new();
        let outcome = match format {
            Format::Stream(packing) => self.stream(index, packing, &mut found, &mut problems),
            Format::Tar => self.tar(self.out.parts[index].stored, &mut found, &mut problems),
            Format::Zip => self.zip(self.out.parts[index].stored, &mut found, &mut problems),
        };
        match outcome {
            Ok(()) => {}
            Err(Halt::Io(e)) => return Err(e),
            Err(Halt::Archive(code, detail)) => add(&mut problems, code, &detail),
        }
        if found.is_empty() && problems.is_empty() {
            add(&mut problems, "empty", "");
        }
        for p in problems {
            add(&mut self.out.parts[index].problems, &p.code, &p.detail);
        }
        for member in found {
            let record = self.record(index, member)?;
            match record.kind {
                PartKind::Message => self.message(record, depth + 1)?,
                _ => self.add(record, 0, depth + 1)?,
            }
        }
        Ok(())
    }

    /// A member that is a mail, and behind it what it holds.
    fn message(&mut self, mut member: PartRecord, depth: u32) -> io::Result<()> {
        let len = member.stored.range().len;
        if len > self.mime.message_bytes {
            add(&mut member.problems, "message_size", "");
            return self.add(member, 0, depth);
        }
        // What it holds is written a second time, decoded.
        if self.written.saturating_add(len) > self.limits.total_bytes {
            let detail = format!("more than {} bytes in all", self.limits.total_bytes);
            add(&mut member.problems, "bomb", &detail);
            return self.add(member, 0, depth);
        }
        let message = self.read(member.stored, len)?;
        let before = self.spill.end();
        let parts = mime::inside(member, &message, self.mime, &mut self.entities, self.spill)?;
        self.written += self.spill.end() - before;
        self.add_all(parts, depth)
    }

    /// The first `len` bytes of something, or all of it.
    fn read(&self, stored: Stored, len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(stored.range().len.min(len)).unwrap_or(0)];
        io::Read::read_exact(&mut self.reader(stored), &mut bytes)?;
        Ok(bytes)
    }

    /// The part a member becomes.
    fn record(&self, archive: usize, member: Member) -> io::Result<PartRecord> {
        let (name, raw_name) = member_name(&member.name);
        let look = self.read(member.stored, sniff::LOOK_BYTES as u64)?;
        let sniffed_type = sniff::media_type(&look, OCTETS);
        let mut problems = member.problems;
        // Of a member that was not read nobody knows.
        if look.is_empty() && problems.is_empty() {
            add(&mut problems, "empty", "");
        }
        if has(&self.out.parts[archive].problems, "truncated") {
            add(&mut problems, "from_truncated", "");
        }
        let is_mail = sniffed_type == sniff::MAIL && (is_named_mail(&name) || sniff::is_mail(&look));
        let charset = match sniffed_type.as_str() {
            _ if is_mail || !sniffed_type.starts_with("text/") => None,
            _ => {
                let text = self.read(member.stored, charset::LOOK_BYTES as u64)?;
                charset::of_file(&text, None, &sniffed_type).told(&mut problems)
            }
        };
        Ok(PartRecord {
            kind: if is_mail { PartKind::Message } else { PartKind::Member },
            path: format!("{}!/{name}", self.out.parts[archive].path),
            parent: u32::try_from(archive).ok(),
            media_type: OCTETS.into(),
            sniffed_type,
            charset,
            name: Some(name),
            raw_name,
            transfer_encoding: String::new(),
            disposition: String::new(),
            problems,
            raw: None,
            stored: member.stored,
        })
    }

    fn reader(&self, stored: Stored) -> RangeReader<'_> {
        match stored {
            Stored::Input(range) => RangeReader::new(self.input, range),
            Stored::Spill(range) => RangeReader::new(self.spill.file(), range),
        }
    }

    fn count_member(&mut self) -> Result<(), Halt> {
        self.members += 1;
        if self.members > self.limits.members {
            return Err(Halt::Archive("archive_members", format!("more than {}", self.limits.members)));
        }
        Ok(())
    }

    /// Decompresses into the spill until `from` ends, fails or a limit is reached; says where, and what was odd.
    /// A bomb leaves nothing.
    fn pour(
        &mut self,
        from: &mut dyn io::Read,
        packed_bytes: u64,
    ) -> Result<(Range, Option<io::Error>), Halt> {
        let start = self.spill.end();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let got = match from.read(&mut buffer) {
                Ok(0) => return Ok((self.since(start), None)),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Ok((self.since(start), Some(e))),
            };
            self.written += got as u64;
            let here = self.spill.end() - start + got as u64;
            if let Some(limit) = self.exceeded(here, packed_bytes) {
                self.spill.rewind(start);
                return Err(Halt::Archive("bomb", limit));
            }
            self.spill.append(&buffer[..got])?;
        }
    }

    fn since(&self, start: u64) -> Range {
        Range { offset: start, len: self.spill.end() - start }
    }

    fn exceeded(&self, member_bytes: u64, packed_bytes: u64) -> Option<String> {
        let limits = self.limits;
        if member_bytes > limits.member_bytes {
            return Some(format!("a member of more than {} bytes", limits.member_bytes));
        }
        if self.written > limits.total_bytes {
            return Some(format!("more than {} bytes in all", limits.total_bytes));
        }
        let dense = member_bytes > limits.ratio_from_bytes
            && member_bytes > packed_bytes.max(1).saturating_mul(limits.ratio);
        dense.then(|| format!("more than {} bytes for each one packed", limits.ratio))
    }
}

fn is_named_mail(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".eml")
}

/// A member's name for people and rules, and its bytes as they came.
fn member_name(raw: &[u8]) -> (String, Vec<u8>) {
    let raw = raw[..raw.len().min(NAME_BYTES)].to_vec();
    let text = match std::str::from_utf8(&raw) {
        Ok(text) => text.to_owned(),
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(&raw).0.into_owned(),
    };
    let mut text: String = text.trim_start_matches("./").chars().filter(|c| !c.is_control()).collect();
    text.truncate(text.floor_char_boundary(NAME_BYTES));
    (text, raw)
}

#[cfg(test)]
mod tests;
