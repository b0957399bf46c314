//! Request bodies, read with a limit on their size and on their slowness.

use super::pace::{Clock, Pace};
use super::{Kind, Problem};
use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use std::time::Instant;

/// Limits for reading a body.
#[derive(Debug, Clone, Copy)]
pub struct Cap {
    /// Most bytes, before they are decoded and after.
    pub bytes: u64,
    /// How fast they must arrive.
    pub pace: Pace,
    /// Most memory for what a decoder looks back on.
    pub decoder_bytes: u64,
}

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It has more bytes than allowed.
    #[error("the limit is {0} bytes")]
    TooLarge(u64),
    /// It arrives more slowly than allowed.
    #[error(
        "the body arrives too slowly: it must bring {} bytes per second over any {} s, and end within {} s and its \
         length at that rate",
        .0.rate, .0.window.as_secs_f64(), .0.time.as_secs_f64()
    )]
    TooSlow(Pace),
    /// The connection broke, or what came is no body.
    #[error("the body broke off")]
    Broken(#[source] axum::Error),
    /// It cannot be decoded.
    #[error("the body cannot be decoded as {0}: {1}")]
    Coding(&'static str, #[source] std::io::Error),
}

impl BodyError {
    /// What the client did, as a kind of problem.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::TooLarge(_) => Kind::TooLarge,
            Self::TooSlow(_) => Kind::Timeout,
            Self::Broken(_) | Self::Coding(..) => Kind::Malformed,
        }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        Self::new(error.kind(), error.to_string()).because(error)
    }
}

/// A body that fails beyond its cap, and when its sender is too slow. Read by [`Decoded`](super::Decoded) only.
#[derive(Debug)]
pub struct Capped {
    body: Body,
    cap: Cap,
    taken: u64,
    clock: Clock,
}

impl Capped {
    /// `body` under `cap`.
    #[must_use]
    pub fn new(body: Body, cap: Cap) -> Self {
        let clock = Clock::new(cap.pace, body.size_hint().exact());
        Self { body, cap, taken: 0, clock }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`TooLarge`](BodyError::TooLarge), before anything is read if the length is announced;
    /// [`TooSlow`](BodyError::TooSlow), for which only time counts that is spent here; [`Broken`](BodyError::Broken).
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.body.size_hint().lower().saturating_add(self.taken) > self.cap.bytes {
            return Err(BodyError::TooLarge(self.cap.bytes));
        }
        loop {
            let began = Instant::now();
            let frame = tokio::time::timeout(self.clock.left(), self.body.frame()).await;
            let frame = frame.map_err(|_| BodyError::TooSlow(self.cap.pace))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(BodyError::Broken)?;
            // Trailers are ignored.
            let bytes = frame.into_data().unwrap_or_default();
            self.clock.came(began.elapsed(), bytes.len() as u64);
            self.taken = self.taken.saturating_add(bytes.len() as u64);
            if self.taken > self.cap.bytes {
                return Err(BodyError::TooLarge(self.cap.bytes));
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BodyError, Cap, Capped};
    use crate::web::{Decoded, Pace};
    use axum::body::{Body, Bytes};
    use axum::http::HeaderMap;
    use futures_util::{StreamExt, stream};
    use std::time::Duration;

    const PACE: Pace = Pace { rate: 1, window: Duration::from_secs(5), time: Duration::from_secs(5) };

    /// A body that [`Decoded`] reads whole, as it reads every body.
    fn whole(body: Body, cap: Cap) -> Decoded {
        Decoded::new(&HeaderMap::new(), body, cap).unwrap()
    }

    fn capped(chunks: &[&'static str], bytes: u64) -> Decoded {
        let chunks: Vec<Result<_, std::io::Error>> =
            chunks.iter().map(|c| Ok(Bytes::from_static(c.as_bytes()))).collect();
        whole(Body::from_stream(stream::iter(chunks)), Cap { bytes, pace: PACE, decoder_bytes: 0 })
    }

    #[tokio::test]
    async fn a_body_of_exactly_the_cap_passes_and_one_byte_more_does_not() {
        assert_eq!(capped(&["ab", "c", "", "de"], 5).bytes().await.unwrap(), "abcde");
        assert!(matches!(capped(&["ab", "c", "de"], 4).bytes().await, Err(BodyError::TooLarge(4))));
    }

    #[tokio::test]
    async fn an_announced_length_over_the_cap_is_refused_unread() {
        let mut body = Capped::new(Body::from("abc"), Cap { bytes: 2, pace: PACE, decoder_bytes: 0 });
        assert!(matches!(body.next().await, Err(BodyError::TooLarge(2))));
        assert_eq!(body.taken, 0);
    }

    #[tokio::test]
    async fn a_sender_that_falls_silent_is_timed_out() {
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"a"))]);
        let body = Body::from_stream(first.chain(stream::pending()));
        let pace = Pace { window: Duration::from_millis(20), rate: 1000, ..PACE };
        let body = whole(body, Cap { bytes: 10, pace, decoder_bytes: 0 });
        assert!(matches!(body.bytes().await, Err(BodyError::TooSlow(_))));
    }
}
