//! gzip, xz, bzip2, zstd: one stream of bytes, every member of it, and the tar inside it if there is one.
//!
//! The header of xz and zstd says how much memory the decoder needs. One that needs more than `limits.decoder_bytes` is
//! refused before it allocates; the stream is `unsupported` then.

use super::{Expansion, Halt, Member, RangeReader};
use crate::problem::{add, has};
use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;
use module_api::Problem;
use module_api::frame::{Range, Stored};
use module_sniff as sniff;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};

/// Most memory that bzip2 needs: its format has no larger block.
const BZIP2_BYTES: u64 = 4 << 20;
/// Smallest and largest window of zstd, as powers of two.
const ZSTD_WINDOW: std::ops::RangeInclusive<u32> = 10..=31;
/// What zstd says where the window is too large. Its errors have no other form.
const ZSTD_TOO_LARGE: &str = "Frame requires too much memory for decoding";

/// How a stream is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Xz,
    Bzip2,
    Zstd,
}

impl Packing {
    /// The word in details of problems.
    const fn word(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Zstd => "zstd",
        }
    }

    /// What the name of a file of this kind ends in.
    const fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Gzip => &[".gz"],
            Self::Xz => &[".xz"],
            Self::Bzip2 => &[".bz2"],
            Self::Zstd => &[".zst", ".zstd"],
        }
    }

    /// Whether a member may begin with this byte.
    const fn begins(self, byte: u8) -> bool {
        match self {
            Self::Gzip => byte == 0x1f,
            Self::Xz => byte == 0xfd,
            Self::Bzip2 => byte == b'B',
            // A frame, or one to be skipped.
            Self::Zstd => byte == 0x28 || byte & 0xf0 == 0x50,
        }
    }

    /// Reads all members of `from`, with at most `most` bytes of memory.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] when no stream of this kind can be read with so little.
    fn decoder<'r>(self, from: impl BufRead + 'r, most: u64) -> io::Result<Box<dyn Read + 'r>> {
        Ok(match self {
            Self::Gzip => Box::new(Members::new(self, from, |from| Ok(GzDecoder::new(from)))?),
            Self::Xz => {
                let limit_kib = u32::try_from(most >> 10).unwrap_or(u32::MAX);
                let open = move |from| Ok(XzReader::new_mem_limit(from, false, limit_kib));
                Box::new(Members::new(self, from, open)?)
            }
            Self::Bzip2 if most < BZIP2_BYTES => return Err(ErrorKind::OutOfMemory.into()),
            Self::Bzip2 => Box::new(Members::new(self, from, |from| Ok(BzDecoder::new(from)))?),
            Self::Zstd => {
                let window = most.max(1).ilog2();
                if window < *ZSTD_WINDOW.start() {
                    return Err(ErrorKind::OutOfMemory.into());
                }
                let open = move |from| {
                    let mut frame = zstd::stream::read::Decoder::with_buffer(from)?.single_frame();
                    frame.window_log_max(window.min(*ZSTD_WINDOW.end()))?;
                    Ok(frame)
                };
                Box::new(Members::new(self, from, open)?)
            }
        })
    }
}

/// The problem code for an error of a decoder.
fn fault(error: &io::Error) -> &'static str {
    let no_member = error.get_ref().is_some_and(|inner| inner.is::<NoMember>());
    match error.kind() {
        _ if no_member => "trailing_garbage",
        ErrorKind::UnexpectedEof => "truncated",
        ErrorKind::OutOfMemory | ErrorKind::Unsupported => "unsupported",
        _ if error.to_string() == ZSTD_TOO_LARGE => "unsupported",
        _ => "corrupt",
    }
}

/// A decoder of one member.
trait OneMember: Read {
    /// What it reads from.
    type From: BufRead;
    /// What is behind the member.
    fn behind(self) -> Self::From;
}

impl<R: BufRead> OneMember for GzDecoder<R> {
    type From = R;
    fn behind(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> OneMember for XzReader<R> {
    type From = R;
    fn behind(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> OneMember for BzDecoder<R> {
    type From = R;
    fn behind(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> OneMember for zstd::stream::read::Decoder<'_, R> {
    type From = R;
    fn behind(self) -> R {
        self.finish()
    }
}

/// All members of a stream, one after the other. The libraries can do that too, but do not all tell bytes behind the last
/// member from damage.
struct Members<D, O> {
    packing: Packing,
    /// `None` behind the last one.
    current: Option<D>,
    open: O,
}

/// Behind a member there is something else than a member.
#[derive(Debug, thiserror::Error)]
#[error("bytes behind the stream")]
struct NoMember;

impl<D: OneMember, O: Fn(D::From) -> io::Result<D>> Members<D, O> {
    fn new(packing: Packing, from: D::From, open: O) -> io::Result<Self> {
        Ok(Self { packing, current: Some(open(from)?), open })
    }

    /// The member behind the one that has ended, and behind zeros that may stand between two.
    fn next(&self, mut from: D::From) -> io::Result<Option<D>> {
        loop {
            let (zeros, next) = {
                let look = from.fill_buf()?;
                let zeros = look.iter().take_while(|&&b| b == 0).count();
                (zeros, look.get(zeros).copied())
            };
            from.consume(zeros);
            match next {
                Some(byte) if self.packing.begins(byte) => return (self.open)(from).map(Some),
                Some(_) => return Err(io::Error::new(ErrorKind::InvalidData, NoMember)),
                None if zeros == 0 => return Ok(None),
                None => {}
            }
        }
    }
}

impl<D: OneMember, O: Fn(D::From) -> io::Result<D>> Read for Members<D, O> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(current) = &mut self.current {
            let got = current.read(buffer)?;
            if got > 0 || buffer.is_empty() {
                return Ok(got);
            }
            self.current = match self.current.take() {
                Some(ended) => self.next(ended.behind())?,
                None => None,
            };
        }
        Ok(0)
    }
}

impl Expansion<'_> {
    pub(super) fn stream(
        &mut self,
        index: usize,
        packing: Packing,
        found: &mut Vec<Member>,
        problems: &mut Vec<Problem>,
    ) -> Result<(), Halt> {
        let packed = self.out.parts[index].stored;
        let file = match packed {
            Stored::Input(_) => self.input.try_clone()?,
            Stored::Spill(_) => self.spill.file().try_clone()?,
        };
        let from = BufReader::new(RangeReader::new(&file, packed.range()));
        let most = self.limits.decoder_bytes;
        let (range, error) = match packing.decoder(from, most) {
            Ok(mut decoder) => self.pour(&mut *decoder, packed.range().len)?,
            Err(error) => (Range { offset: self.spill.end(), len: 0 }, Some(error)),
        };
        match error.as_ref().map(fault) {
            None => {}
            Some("unsupported") if range.len == 0 => {
                let detail = format!("{} that needs more than {most} bytes of memory", packing.word());
                return Err(Halt::Archive("unsupported", detail));
            }
            Some(code) => add(problems, code, packing.word()),
        }
        let stored = Stored::Spill(range);
        let inside = self.type_of(range)?;
        if inside == "application/x-tar" {
            return self.tar(stored, found, problems);
        }
        self.count_member()?;
        let name = inner_name(self.out.parts[index].name.as_deref(), packing, &inside);
        let mut member = Member { name, stored, problems: Vec::new() };
        if has(problems, "truncated") {
            add(&mut member.problems, "truncated", "");
        }
        found.push(member);
        Ok(())
    }

    fn type_of(&self, range: Range) -> io::Result<String> {
        Ok(sniff::media_type(&self.read(Stored::Spill(range), sniff::LOOK_BYTES as u64)?, ""))
    }
}

/// `report.csv` for `report.csv.gz`. Where that says nothing of what is inside, as `report` for `report.gz` or
/// `report.tar.gz` without a tar, the bytes say it: `report.txt`.
fn inner_name(outer: Option<&str>, packing: Packing, inside: &str) -> Vec<u8> {
    let outer = outer.unwrap_or("");
    let last = outer.rsplit(['/', '\\']).next().unwrap_or(outer);
    let stem = packing.suffixes().iter().find_map(|suffix| {
        let at = last.len().checked_sub(suffix.len())?;
        let end = last.get(at..)?;
        end.eq_ignore_ascii_case(suffix).then_some(at)
    });
    let stem = &last[..stem.unwrap_or(last.len())];
    let stem = stem.strip_suffix(".tar").unwrap_or(stem);
    let stem = if stem.is_empty() { "content" } else { stem };
    let end = stem.rsplit_once('.').map_or("", |(_, end)| end);
    let says = end.len() <= 5 && end.bytes().any(|b| b.is_ascii_alphabetic());
    let suffix = match inside {
        _ if says => "",
        "text/plain" => ".txt",
        "text/csv" => ".csv",
        "text/html" => ".html",
        "text/xml" => ".xml",
        "application/json" => ".json",
        sniff::MAIL => ".eml",
        _ => "",
    };
    format!("{stem}{suffix}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::{Packing, inner_name};

    #[test]
    fn a_stream_is_named_after_its_file_and_what_is_inside() {
        for (outer, inside, inner) in [
            ("report.csv.gz", "text/csv", "report.csv"),
            ("dir/report.LOG.GZ", "text/plain", "report.LOG"),
            ("report.gz", "text/plain", "report.txt"),
            ("report.tar.gz", "text/plain", "report.txt"),
            ("report-2023.01.13.gz", "text/csv", "report-2023.01.13.csv"),
            ("report", "application/json", "report.json"),
            ("image.gz", "image/png", "image"),
            (".gz", "text/plain", "content.txt"),
        ] {
            let named = inner_name(Some(outer), Packing::Gzip, inside);
            assert_eq!(String::from_utf8_lossy(&named), inner, "{outer}");
        }
        assert_eq!(inner_name(Some("r.zstd"), Packing::Zstd, ""), b"r");
        assert_eq!(inner_name(None, Packing::Xz, "text/plain"), b"content.txt");
    }
}
