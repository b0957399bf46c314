//! Parts: the decoded pieces of a delivery.

use crate::charset::Charset;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// One decoded piece of a delivery: a body, an attachment, an embedded message, or a member of an archive.
#[derive(Debug)]
pub struct Part<'a> {
    /// What it is.
    pub kind: PartKind,
    /// Place in the tree: `1.2` is the second child of the first part; `1.2!/nodes.csv` a member of that archive.
    pub path: String,
    /// Index of the part this one was found in: a message, or the archive of a member.
    pub parent: Option<u32>,
    /// Declared media type in lower case without parameters, `application/octet-stream` where none was declared.
    pub media_type: String,
    /// Media type by content; the declared one where content says nothing. Trust this one.
    pub sniffed_type: String,
    /// Character set in lower case: the declared one, or what the bytes are where that cannot be right (`charset_guess`).
    pub charset: Option<String>,
    /// File name as declared, decoded, not sanitised: a name to match, never to open.
    pub name: Option<String>,
    /// What was odd about it.
    pub problems: Vec<Problem>,
    /// Its bytes after transfer-decoding and decompression.
    pub content: Content<'a>,
}

/// Kind of a [`Part`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// Text meant to be read as the message.
    Body,
    /// Anything with a name or not meant to be read inline.
    Attachment,
    /// An embedded message (`message/rfc822`); its own parts follow it.
    Message,
    /// A member of an archive part.
    Member,
}

/// A stable code for something odd, for example `b64_junk`, and where it matters a detail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `[a-z0-9_]+`; the list stands in `modules/README.md`.
    pub code: Cow<'static, str>,
    /// At most 200 bytes, printable.
    pub detail: String,
}

impl Problem {
    /// Codes that say that something of the part was lost. A delivery with one of them is read in part at best.
    pub const LOSSES: [&str; 10] = [
        "truncated",
        "from_truncated",
        "corrupt",
        "bomb",
        "encrypted",
        "archive_members",
        "archive_depth",
        "zip_overlap",
        "unsupported",
        "unsupported_method",
    ];

    /// Whether something of the part was lost.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        Self::LOSSES.contains(&self.code.as_ref())
    }
}

/// Where a part's bytes are: in memory, or a range of a file.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// In memory.
    Memory(&'a [u8]),
    /// `len` bytes of `file` from `offset`.
    Range {
        /// The spill or input.
        file: &'a File,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
    },
}

/// A part's bytes as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Decoded. Line ends are as they came, unless carriage returns alone ended the lines.
    pub text: String,
    /// Characters that could not be decoded and became U+FFFD.
    pub replaced: usize,
    /// Name of the encoding that was used.
    pub encoding: &'static str,
}

impl Content<'_> {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Range { len, .. } => *len,
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `limit` bytes, or fewer if there are fewer.
    ///
    /// # Errors
    /// When the spill cannot be read.
    pub fn bytes(&self, limit: usize) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Memory(bytes) => Ok(Cow::Borrowed(&bytes[..bytes.len().min(limit)])),
            Self::Range { file, offset, len } => {
                let mut buffer = vec![0; usize::try_from(*len).unwrap_or(usize::MAX).min(limit)];
                file.read_exact_at(&mut buffer, *offset)?;
                Ok(Cow::Owned(buffer))
            }
        }
    }

    /// A reader over all bytes, for parts too large to hold.
    #[must_use]
    pub fn reader(&self) -> Box<dyn io::Read + '_> {
        match *self {
            Self::Memory(bytes) => Box::new(bytes),
            Self::Range { file, offset, len } => Box::new(RangeReader { file, offset, left: len }),
        }
    }
}

struct RangeReader<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl io::Read for RangeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let got = self.file.read_at(&mut buffer[..want], self.offset)?;
        self.offset += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}

impl Part<'_> {
    /// The first `limit` bytes as text: by byte-order mark, else the part's character set, else UTF-8 if it is valid,
    /// else windows-1252. Never fails on content; what cannot be decoded is counted. Where carriage returns alone end
    /// the lines, they become line feeds.
    ///
    /// # Errors
    /// When the spill cannot be read.
    pub fn text(&self, limit: usize) -> io::Result<Text> {
        let bytes = self.content.bytes(limit)?;
        let labelled = self.charset.as_deref().and_then(Charset::for_label);
        let whole = bytes.len() as u64 == self.content.len();
        let decoded = labelled.unwrap_or_else(|| Charset::unlabelled(&bytes, whole)).decode(&bytes);
        let (replaced, encoding) = (decoded.replaced, decoded.charset.name());
        Ok(Text { text: with_line_feeds(decoded.text.into_owned()), replaced, encoding })
    }
}

/// Replaces carriage returns that are the only line ends; a last line feed, which transport adds, does not count.
fn with_line_feeds(text: String) -> String {
    let lines = text.strip_suffix('\n').unwrap_or(&text);
    let lines = lines.strip_suffix('\r').unwrap_or(lines);
    if lines.contains('\r') && !lines.contains('\n') { text.replace('\r', "\n") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(charset: Option<&str>, bytes: &[u8]) -> (String, usize, &'static str) {
        let part = Part {
            kind: PartKind::Body,
            path: "1".into(),
            parent: None,
            media_type: "text/plain".into(),
            sniffed_type: "text/plain".into(),
            charset: charset.map(str::to_owned),
            name: None,
            problems: Vec::new(),
            content: Content::Memory(bytes),
        };
        let Text { text, replaced, encoding } = part.text(8).unwrap();
        (text, replaced, encoding)
    }

    #[test]
    fn text_is_read_by_mark_then_label_then_as_utf_8() {
        assert_eq!(text(Some("cp932"), b"\x8C\xF0"), ("交".into(), 0, "Shift_JIS"));
        assert_eq!(text(Some("us-ascii"), b"\xFF\xFE\xA4\x4E"), ("交".into(), 0, "UTF-16LE"));
        assert_eq!(text(Some("never-heard-of"), "ä".as_bytes()), ("ä".into(), 0, "UTF-8"));
        assert_eq!(text(None, b"\xE4"), ("ä".into(), 0, "windows-1252"));
        assert_eq!(text(None, "1234567ä".as_bytes()).2, "UTF-8", "the limit cuts a character");
    }

    #[test]
    fn carriage_returns_alone_end_lines() {
        assert_eq!(text(None, b"a\rb\rc\r\n").0, "a\nb\nc\n\n");
        assert_eq!(text(None, b"a\rb\nc\r").0, "a\rb\nc\r");
        assert_eq!(text(None, b"a\r\nb\r\n").0, "a\r\nb\r\n");
    }
}
