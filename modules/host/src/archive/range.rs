//! A range of a file as a file of its own.

use module_api::frame::Range;
use rawzip::ReaderAt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// Reads and seeks inside one range.
#[derive(Debug)]
pub(super) struct RangeReader<'a> {
    file: &'a File,
    range: Range,
    at: u64,
}

impl<'a> RangeReader<'a> {
    pub(super) fn new(file: &'a File, range: Range) -> Self {
        Self { file, range, at: 0 }
    }

    /// Length of the range.
    pub(super) fn len(&self) -> u64 {
        self.range.len
    }
}

impl Read for RangeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.range.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let want = buffer.len().min(left);
        let got = self.file.read_at(&mut buffer[..want], self.range.offset + self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

impl Seek for RangeReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.range.len.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl ReaderAt for RangeReader<'_> {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let left = usize::try_from(self.range.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let want = buffer.len().min(left);
        FileExt::read_at(self.file, &mut buffer[..want], self.range.offset.saturating_add(at))
    }
}
