//! How many requests each key has open: from its recognition to the last byte of the answer.

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use uuid::Uuid;

/// The open requests of every key. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct OpenRequests(Arc<Mutex<HashMap<Uuid, u32>>>);

/// One of them; it counts until it is dropped.
#[derive(Debug)]
pub struct OpenRequest {
    of: OpenRequests,
    key: Uuid,
}

/// Where the [`OpenRequest`] of a request is kept until its answer was sent. A request carries it as an extension.
#[derive(Debug, Clone, Default)]
pub struct Counted(Arc<OnceLock<OpenRequest>>);

impl OpenRequests {
    /// Counts a request of `key`; `None` if it has `most` already.
    #[must_use]
    pub fn open(&self, key: Uuid, most: u32) -> Option<OpenRequest> {
        let mut open = self.lock();
        let count = open.entry(key).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(OpenRequest { of: self.clone(), key })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, u32>> {
        // No panic leaves it inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut open = self.of.lock();
        if let Some(count) = open.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.key);
            }
        }
    }
}

impl Counted {
    /// Whether the request counts already: a handler may ask for its caller more than once.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.0.get().is_some()
    }

    /// Keeps `open` until the answer was sent.
    pub fn keep(&self, open: OpenRequest) {
        // A second one of the same request would only be counted too early as closed.
        drop(self.0.set(open));
    }
}

/// The body of an answer whose request counts until its last byte is on its way.
#[derive(Debug)]
pub struct CountedBody {
    /// The body.
    pub body: Body,
    /// Dropped with it.
    pub counted: Counted,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::{Counted, OpenRequests};
    use uuid::Uuid;

    #[test]
    fn a_key_has_so_many_open_requests_and_no_more_until_one_ends() {
        let (open, a, b) = (OpenRequests::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        let first = open.open(a, 2).unwrap();
        let kept = Counted::default();
        kept.keep(open.open(a, 2).unwrap());
        assert!(open.open(a, 2).is_none());
        assert!(open.open(b, 2).is_some(), "another key has its own");
        drop(first);
        assert!(open.open(a, 2).is_some());
        let again = kept.clone();
        drop(kept);
        assert!(again.counts());
        drop(again);
        assert!(open.lock().is_empty(), "nothing remains of keys without open requests");
    }
}
