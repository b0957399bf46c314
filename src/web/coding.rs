//! `Content-Encoding` of request bodies (RFC 9110 section 8.4), decoded while they arrive.
//!
//! What is decoded counts against the limit of the body as much as what arrives, and a decoder takes a bounded amount of
//! memory; so a body that unpacks to more than may be sent is refused as soon as it does.

use super::body::{BodyError, Cap, Capped};
use super::{Kind, Problem};
use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use async_compression::zstd::DParameter;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use futures_util::stream::{self, BoxStream, StreamExt};
use std::io::{self, Cursor};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, Chain};
use tokio_util::io::StreamReader;

/// The codings, as a client is told.
const KNOWN: &str = "gzip, deflate, br, zstd";
/// Bytes decoded at once.
const PIECE_BYTES: usize = 64 << 10;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// A body without its coding.
pub struct Decoded {
    source: Source,
    cap: Cap,
    given: u64,
}

enum Source {
    /// It has no coding.
    Plain(Capped),
    /// Nothing of it was read.
    Coded(Coding, Capped),
    Decoding(Coding, Box<dyn Decoder>),
    End,
}

/// What a decoder reads: the first bytes again, then the others.
type Input = Chain<Cursor<Vec<u8>>, StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>>;

trait Decoder: AsyncRead + Send + Unpin {
    fn input(&mut self) -> &mut Input;
}

macro_rules! decoders {
    ($($name:ident)*) => {$(
        impl Decoder for $name<Input> {
            fn input(&mut self) -> &mut Input {
                self.get_mut()
            }
        }
    )*};
}

decoders! { GzipDecoder ZlibDecoder DeflateDecoder BrotliDecoder ZstdDecoder }

impl Decoded {
    /// `body` under `cap`, without the coding that `headers` name.
    ///
    /// # Errors
    /// [`UnsupportedType`](Kind::UnsupportedType) if that is none we know, or several.
    pub fn new(headers: &HeaderMap, body: Body, cap: Cap) -> Result<Self, Problem> {
        let body = Capped::new(body, cap);
        let source = match coding(headers)? {
            None => Source::Plain(body),
            Some(coding) => Source::Coded(coding, body),
        };
        Ok(Self { source, cap, given: 0 })
    }

    /// The next decoded bytes; `None` at the end.
    ///
    /// # Errors
    /// As [`Capped::next`], also for what is decoded; [`Coding`](BodyError::Coding) if it cannot be.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            match std::mem::replace(&mut self.source, Source::End) {
                Source::Plain(mut body) => {
                    let bytes = body.next().await?;
                    self.source = Source::Plain(body);
                    return Ok(bytes);
                }
                Source::Coded(coding, body) => {
                    let decoder = coding.decoder(body, self.cap.decoder_bytes).await;
                    self.source = Source::Decoding(coding, decoder.map_err(|error| coding.failed(error))?);
                }
                Source::Decoding(coding, mut decoder) => {
                    let piece = decode(&mut *decoder).await.map_err(|error| coding.failed(error))?;
                    self.given = self.given.saturating_add(piece.len() as u64);
                    if self.given > self.cap.bytes {
                        return Err(BodyError::TooLarge(self.cap.bytes));
                    }
                    if !piece.is_empty() {
                        self.source = Source::Decoding(coding, decoder);
                        return Ok(Some(piece));
                    }
                }
                Source::End => return Ok(None),
            }
        }
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn bytes(mut self) -> Result<Bytes, BodyError> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.next().await? else { return Ok(first) };
        let mut all = Vec::from(first);
        all.extend_from_slice(&second);
        while let Some(more) = self.next().await? {
            all.extend_from_slice(&more);
        }
        Ok(all.into())
    }
}

/// The next decoded bytes; none at the end, after which no encoded ones may follow.
async fn decode(decoder: &mut dyn Decoder) -> io::Result<Bytes> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    if decoder.read_buf(&mut piece).await? == 0 && !decoder.input().fill_buf().await?.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more bytes follow its end"));
    }
    Ok(piece.into())
}

/// The one coding of the body, if it has one.
fn coding(headers: &HeaderMap) -> Result<Option<Coding>, Problem> {
    let lines = headers.get_all(header::CONTENT_ENCODING).iter();
    let lines: Vec<_> =
        lines.map(|line| String::from_utf8_lossy(line.as_bytes()).to_ascii_lowercase()).collect();
    let named = lines.iter().flat_map(|line| line.split(',')).map(str::trim);
    let mut named = named.filter(|name| !["", "identity"].contains(name));
    match (named.next(), named.next()) {
        (None, _) => Ok(None),
        (Some("gzip" | "x-gzip"), None) => Ok(Some(Coding::Gzip)),
        (Some("deflate"), None) => Ok(Some(Coding::Deflate)),
        (Some("br"), None) => Ok(Some(Coding::Brotli)),
        (Some("zstd"), None) => Ok(Some(Coding::Zstd)),
        _ => {
            let detail = format!("Content-Encoding may be one of {KNOWN}");
            let known = HeaderValue::from_static(KNOWN);
            Err(Problem::new(Kind::UnsupportedType, detail).header(header::ACCEPT_ENCODING, known))
        }
    }
}

impl Coding {
    const fn word(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// What decodes `body` with a window of at most `window_bytes`.
    async fn decoder(self, body: Capped, window_bytes: u64) -> io::Result<Box<dyn Decoder>> {
        let window_log = window_bytes.max(1).ilog2();
        let mut body = StreamReader::new(pieces(body));
        let mut front = Vec::new();
        for _ in 0..2 {
            (&mut body).take(1).read_to_end(&mut front).await?;
        }
        let is_zlib = is_zlib(&front);
        if self == Self::Brotli && front.first().is_some_and(|first| brotli_window_log(*first) > window_log) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its window is too large"));
        }
        let input = Cursor::new(front).chain(body);
        Ok(match self {
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(input);
                decoder.multiple_members(true);
                Box::new(decoder)
            }
            // What is called deflate is zlib, and with some senders what it says.
            Self::Deflate if is_zlib => Box::new(ZlibDecoder::new(input)),
            Self::Deflate => Box::new(DeflateDecoder::new(input)),
            Self::Brotli => Box::new(BrotliDecoder::new(input)),
            Self::Zstd => {
                let window = DParameter::window_log_max(window_log);
                let mut decoder = ZstdDecoder::with_params(input, &[window]);
                decoder.multiple_members(true);
                Box::new(decoder)
            }
        })
    }

    /// What ended the body itself, or that it cannot be decoded.
    fn failed(self, error: io::Error) -> BodyError {
        error.downcast::<BodyError>().unwrap_or_else(|error| BodyError::Coding(self.word(), error))
    }
}

fn pieces(body: Capped) -> BoxStream<'static, io::Result<Bytes>> {
    let next = async |mut body: Capped| match body.next().await {
        Ok(bytes) => Ok(bytes.map(|bytes| (bytes, body))),
        Err(error) => Err(io::Error::other(error)),
    };
    stream::try_unfold(body, next).boxed()
}

/// Whether the first bytes are those of zlib (RFC 1950).
fn is_zlib(front: &[u8]) -> bool {
    matches!(front, [method, flags] if method & 0x0F == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

/// The window that the first byte of brotli asks for (RFC 7932 section 9.1), as a power of two. The large windows of RFC 9841
/// are beyond all limits.
const fn brotli_window_log(first: u8) -> u32 {
    match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, ..) => 16,
        (_, 0, 0) => 17,
        (_, 0, 1) => u32::MAX,
        (_, 0, bits) => 8 + bits as u32,
        (_, bits, _) => 17 + bits as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::{brotli_window_log, is_zlib};

    #[test]
    fn the_window_of_brotli_is_read_from_its_first_byte() {
        for (first, log) in [
            (0x00, 16),
            (0x01, 17),
            (0x0F, 24),
            (0x03, 18),
            (0x71, 15),
            (0x21, 10),
            (0x11, u32::MAX),
            (0x91, u32::MAX),
        ] {
            assert_eq!(brotli_window_log(first), log, "{first:#x}");
        }
    }

    #[test]
    fn zlib_is_known_by_its_check_bits() {
        assert!(is_zlib(&[0x78, 0x9C]) && is_zlib(&[0x78, 0x01]));
        assert!(!is_zlib(&[0x78, 0x9D]) && !is_zlib(&[0x4B, 0x4C]) && !is_zlib(&[0x78]));
    }
}
