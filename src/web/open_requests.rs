//! How many requests each key has open: from its recognition to the last byte of the answer, or until it only waits.
//!
//! A request that [waits](super::Wait) holds a connection and an entry in memory. Its connection is counted as well
//! ([`places`](super::places)), and is the only limit of how many wait. It does not count again when the wait is over: what it
//! asked for may have been done by then, so it could not be refused.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use hyper::body::{Frame, SizeHint};
use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// Where the [`OpenRequest`] of a request is kept until its answer was sent or it waits. A request carries it as an extension.
#[derive(Debug, Clone, Default)]
pub struct Counted(Arc<Mutex<Stage>>);

#[derive(Debug, Default)]
enum Stage {
    /// Nobody asked for its caller yet.
    #[default]
    New,
    Counts {
        _open: OpenRequest,
    },
    /// It waits, or has waited.
    Released,
}

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
    /// Whether the request is still to be counted: a handler may ask for its caller more than once.
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(*self.lock(), Stage::New)
    }

    /// Keeps `open` until the answer was sent or the request waits.
    pub fn keep(&self, open: OpenRequest) {
        *self.lock() = Stage::Counts { _open: open };
    }

    /// Stops counting the request. Its body has been read and what it asked for is decided: from now on it waits.
    pub fn release(&self) {
        *self.lock() = Stage::Released;
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        // No panic leaves it inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Counted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
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
        assert!(!again.is_new());
        drop(again);
        assert!(open.lock().is_empty(), "nothing remains of keys without open requests");
    }

    #[test]
    fn what_waits_stops_counting_for_good() {
        let (open, key) = (OpenRequests::default(), Uuid::from_u128(1));
        let waits = Counted::default();
        waits.keep(open.open(key, 1).unwrap());
        assert!(open.open(key, 1).is_none());
        waits.release();
        let _other = open.open(key, 1).unwrap();
        assert!(!waits.is_new());
        drop(waits);
        assert!(open.open(key, 1).is_none(), "the other still counts");
    }
}
