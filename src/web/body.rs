//! Request bodies, read with a limit on their size and on pauses.

use super::{Kind, Problem};
use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use std::time::Duration;

/// Limits for reading a body.
#[derive(Debug, Clone, Copy)]
pub struct Cap {
    /// Most bytes.
    pub bytes: u64,
    /// Longest pause between bytes.
    pub idle: Duration,
}

/// A body that fails with 413 beyond its cap, and with 408 when the sender pauses for too long.
#[derive(Debug)]
pub struct Capped {
    body: Body,
    cap: Cap,
    taken: u64,
}

impl Capped {
    /// `body` under `cap`.
    #[must_use]
    pub const fn new(body: Body, cap: Cap) -> Self {
        Self { body, cap, taken: 0 }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`TooLarge`](Kind::TooLarge), before anything is read if the length is announced; [`Timeout`](Kind::Timeout);
    /// [`Malformed`](Kind::Malformed) if the connection breaks.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        if self.body.size_hint().lower().saturating_add(self.taken) > self.cap.bytes {
            return Err(self.too_large());
        }
        loop {
            let frame = tokio::time::timeout(self.cap.idle, self.body.frame()).await;
            let frame = frame.map_err(|_| Problem::new(Kind::Timeout, "the body stopped arriving"))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|e| Problem::new(Kind::Malformed, "the body broke off").because(e))?;
            // Trailers are ignored.
            let Ok(bytes) = frame.into_data() else { continue };
            self.taken = self.taken.saturating_add(bytes.len() as u64);
            if self.taken > self.cap.bytes {
                return Err(self.too_large());
            }
            return Ok(Some(bytes));
        }
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn bytes(mut self) -> Result<Bytes, Problem> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.next().await? else { return Ok(first) };
        let mut all = Vec::from(first);
        all.extend_from_slice(&second);
        while let Some(more) = self.next().await? {
            all.extend_from_slice(&more);
        }
        Ok(all.into())
    }

    fn too_large(&self) -> Problem {
        Problem::new(Kind::TooLarge, format!("the limit is {} bytes", self.cap.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::{Cap, Capped};
    use crate::web::Kind;
    use axum::body::{Body, Bytes};
    use futures_util::{StreamExt, stream};
    use std::time::Duration;

    fn capped(chunks: &[&'static str], bytes: u64) -> Capped {
        let chunks: Vec<Result<_, std::io::Error>> =
            chunks.iter().map(|c| Ok(Bytes::from_static(c.as_bytes()))).collect();
        Capped::new(Body::from_stream(stream::iter(chunks)), Cap { bytes, idle: Duration::from_secs(5) })
    }

    #[tokio::test]
    async fn a_body_of_exactly_the_cap_passes_and_one_byte_more_does_not() {
        assert_eq!(capped(&["ab", "c", "de"], 5).bytes().await.unwrap(), "abcde");
        assert_eq!(capped(&["ab", "c", "de"], 4).bytes().await.unwrap_err().kind(), Kind::TooLarge);
    }

    #[tokio::test]
    async fn an_announced_length_over_the_cap_is_refused_unread() {
        let mut body = Capped::new(Body::from("abc"), Cap { bytes: 2, idle: Duration::from_secs(5) });
        assert_eq!(body.next().await.unwrap_err().kind(), Kind::TooLarge);
        assert_eq!(body.taken, 0);
    }

    #[tokio::test]
    async fn a_sender_that_falls_silent_is_timed_out() {
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"a"))]);
        let body = Body::from_stream(first.chain(stream::pending()));
        let body = Capped::new(body, Cap { bytes: 10, idle: Duration::from_millis(20) });
        assert_eq!(body.bytes().await.unwrap_err().kind(), Kind::Timeout);
    }
}
