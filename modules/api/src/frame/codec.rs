//! Frames as bytes: a little-endian length of four bytes, then the value in postcard's format.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read};

/// Why a frame could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The socket failed.
    #[error("frame: {0}")]
    Io(#[from] io::Error),
    /// The other side closed in the middle of a frame.
    #[error("frame cut short")]
    Cut,
    /// Longer than this side takes.
    #[error("frame of {len} bytes, {limit} allowed")]
    TooLong {
        /// Length of the frame.
        len: usize,
        /// Limit of this side.
        limit: usize,
    },
    /// The bytes are no such value, or are followed by more.
    #[error("frame is not a {0}")]
    Malformed(&'static str),
}

/// Appends `value` as one frame to `out`.
///
/// # Errors
/// When it is longer than `limit`; `out` is then as it was.
pub fn encode<T: Serialize>(out: &mut Vec<u8>, value: &T, limit: usize) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let body = postcard::to_extend(value, std::mem::take(out));
    *out = body.map_err(|_| FrameError::Malformed(short_name::<T>()))?;
    let len = out.len() - start - 4;
    match u32::try_from(len) {
        Ok(prefix) if len <= limit => {
            out[start..start + 4].copy_from_slice(&prefix.to_le_bytes());
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(FrameError::TooLong { len, limit })
        }
    }
}

/// Reads one frame's bytes into `buffer`; `false` when the other side closed between frames.
///
/// # Errors
/// [`FrameError::TooLong`] before anything is allocated; [`FrameError::Cut`]; errors of the reader.
pub fn read(from: &mut impl Read, buffer: &mut Vec<u8>, limit: usize) -> Result<bool, FrameError> {
    let mut prefix = [0; 4];
    let mut got = 0;
    while got < prefix.len() {
        match from.read(&mut prefix[got..]) {
            Ok(0) if got == 0 => return Ok(false),
            Ok(0) => return Err(FrameError::Cut),
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    read_body(from, prefix, buffer, limit)?;
    Ok(true)
}

/// Reads what follows a length that was read already (beside it came the descriptors of a request).
///
/// # Errors
/// As [`read`].
pub fn read_body(
    from: &mut impl Read,
    prefix: [u8; 4],
    buffer: &mut Vec<u8>,
    limit: usize,
) -> Result<(), FrameError> {
    let len = usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX);
    if len > limit {
        return Err(FrameError::TooLong { len, limit });
    }
    buffer.resize(len, 0);
    from.read_exact(buffer).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => FrameError::Cut,
        _ => FrameError::Io(e),
    })
}

/// The value a frame's bytes are; all of them.
///
/// # Errors
/// [`FrameError::Malformed`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(FrameError::Malformed(short_name::<T>())),
    }
}

fn short_name<T>() -> &'static str {
    std::any::type_name::<T>().rsplit("::").next().unwrap_or("value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{MAX_REPLY_BYTES, Reply};
    use crate::{Outcome, Place, Row, Value};

    fn row() -> Reply {
        let values = vec![Value::Null, Value::Int(-7), Value::Bytes(vec![0, 255]), Value::Text("ä".into())];
        Reply::Row(Row {
            table: 1,
            place: Place::line(2, 3),
            report_at: None,
            report_tz_assumed: true,
            values,
        })
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let mut wire = Vec::new();
        let done = Reply::Done(Outcome::Partial { rejected: 3 });
        encode(&mut wire, &row(), MAX_REPLY_BYTES).unwrap();
        encode(&mut wire, &done, MAX_REPLY_BYTES).unwrap();
        let (mut from, mut buffer) = (wire.as_slice(), Vec::new());
        assert!(read(&mut from, &mut buffer, MAX_REPLY_BYTES).unwrap());
        assert_eq!(decode::<Reply>(&buffer).unwrap(), row());
        assert!(read(&mut from, &mut buffer, MAX_REPLY_BYTES).unwrap());
        assert_eq!(decode::<Reply>(&buffer).unwrap(), done);
        assert!(!read(&mut from, &mut buffer, MAX_REPLY_BYTES).unwrap());
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused_on_both_sides_and_leaves_nothing() {
        let mut wire = vec![9];
        assert!(matches!(encode(&mut wire, &row(), 5), Err(FrameError::TooLong { .. })));
        assert_eq!(wire, [9]);
        let mut buffer = Vec::new();
        let huge = u32::MAX.to_le_bytes();
        assert!(matches!(read(&mut huge.as_slice(), &mut buffer, 99), Err(FrameError::TooLong { .. })));
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn a_frame_cut_short_or_with_something_behind_it_is_an_error() {
        let mut wire = Vec::new();
        encode(&mut wire, &row(), MAX_REPLY_BYTES).unwrap();
        for cut in 1..wire.len() {
            assert!(matches!(read(&mut &wire[..cut], &mut Vec::new(), 999), Err(FrameError::Cut)), "{cut}");
        }
        let mut body = wire.split_off(4);
        body.push(0);
        assert!(matches!(decode::<Reply>(&body), Err(FrameError::Malformed("Reply"))));
        assert!(matches!(decode::<Reply>(&[250, 1]), Err(FrameError::Malformed("Reply"))));
    }
}
