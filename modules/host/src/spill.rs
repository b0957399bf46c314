//! The spill: the anonymous file that decoded parts and archive members are appended to.

use module_api::frame::Range;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// An append-only view of the spill. Ranges it gave out stay readable.
#[derive(Debug)]
pub struct Spill {
    file: File,
    end: u64,
}

impl Spill {
    /// Appends from the start of the file.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self { file, end: 0 }
    }

    /// Leaves the first `len` bytes alone: the server wrote them.
    pub fn skip(&mut self, len: u64) {
        self.end = self.end.max(len);
    }

    /// The file, for reading ranges of it.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where the next byte goes.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Appends `bytes` and says where they are.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<Range> {
        self.file.write_all_at(bytes, self.end)?;
        let range = Range { offset: self.end, len: bytes.len() as u64 };
        self.end += range.len;
        Ok(range)
    }

    /// Forgets what was appended since `end`; the next bytes go there.
    pub fn rewind(&mut self, end: u64) {
        self.end = self.end.min(end);
    }
}
