//! Bytes on their way to a store, which may have to be sent again.

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use hyper::body::{Bytes, Frame, SizeHint};
use sha2::Digest as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Bytes per read of a file.
const CHUNK_BYTES: u64 = 256 * 1024;

/// The bytes of a new object. Clones are of the same bytes.
#[derive(Debug, Clone)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// A range of a file, which is read while it is sent.
    File {
        /// The file.
        file: Arc<File>,
        /// First byte.
        offset: u64,
        /// Length in bytes.
        len_bytes: u64,
    },
}

impl Body {
    /// Length in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { len_bytes, .. } => *len_bytes,
        }
    }

    /// At most `len_bytes` of it from byte `from` on.
    #[must_use]
    pub(super) fn part(&self, from: u64, len_bytes: u64) -> Self {
        let from = from.min(self.len_bytes());
        let len_bytes = len_bytes.min(self.len_bytes() - from);
        match self {
            Self::Bytes(bytes) => {
                let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
                Self::Bytes(bytes.slice(at(from)..at(from + len_bytes)))
            }
            Self::File { file, offset, .. } => {
                Self::File { file: Arc::clone(file), offset: offset + from, len_bytes }
            }
        }
    }

    /// SHA-256 of it. Blocks.
    pub(super) fn sha256(&self) -> io::Result<[u8; 32]> {
        let mut hash = sha2::Sha256::new();
        match self {
            Self::Bytes(bytes) => hash.update(bytes),
            Self::File { file, offset, len_bytes } => {
                let (mut at, end) = (*offset, offset + len_bytes);
                while at < end {
                    let chunk = read(file, at, end)?;
                    hash.update(&chunk);
                    at += chunk.len() as u64;
                }
            }
        }
        Ok(hash.finalize().into())
    }

    /// For the SDK, which starts at the first byte whenever it sends it.
    pub(super) fn stream(&self) -> ByteStream {
        match self {
            Self::Bytes(bytes) => ByteStream::from(bytes.clone()),
            Self::File { file, offset, len_bytes } => {
                let (file, offset, end) = (Arc::clone(file), *offset, offset + len_bytes);
                ByteStream::new(SdkBody::retryable(move || {
                    let file = Arc::clone(&file);
                    SdkBody::from_body_1_x(FileBody { file, at: offset, end })
                }))
            }
        }
    }
}

/// The next bytes of a file; a file that ends before `end` is an error.
fn read(file: &File, at: u64, end: u64) -> io::Result<Vec<u8>> {
    let want = usize::try_from(CHUNK_BYTES.min(end - at)).unwrap_or(usize::MAX);
    let mut chunk = vec![0; want];
    file.read_exact_at(&mut chunk, at)?;
    Ok(chunk)
}

/// A range of a file as the body of a request. It says its length, or the SDK could not send it without `aws-chunked`. It
/// reads where it is polled: a thread for each read could be one that waits for this very request.
struct FileBody {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl hyper::body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.at >= self.end {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(read(&self.file, self.at, self.end).map(|chunk| {
            self.at += chunk.len() as u64;
            Frame::data(chunk.into())
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end.saturating_sub(self.at))
    }
}
