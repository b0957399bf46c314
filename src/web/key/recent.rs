//! In memory: recently verified values, and uses of keys that are not stored yet.

use super::Key;
use crate::ids::{Digest, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a verification is cached: a revocation by another process is noticed within this time.
const TTL: Duration = Duration::from_secs(60);
/// Most cached verifications; beyond it the cache is emptied.
const CAPACITY: usize = 4096;

/// The cache.
#[derive(Debug, Default)]
pub struct Recent {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    verified: HashMap<Digest, (Arc<Key>, Instant)>,
    used: BTreeMap<Uuid, Timestamp>,
}

impl Recent {
    /// The key of a value with this digest, if it was verified within the last minute.
    pub fn get(&self, value: &Digest, now: Instant) -> Option<Arc<Key>> {
        let inner = self.lock();
        let (key, at) = inner.verified.get(value)?;
        (now.duration_since(*at) < TTL).then(|| key.clone())
    }

    /// Caches a verification.
    pub fn put(&self, value: Digest, key: Arc<Key>, now: Instant) {
        let mut inner = self.lock();
        if inner.verified.len() >= CAPACITY {
            inner.verified.clear();
        }
        inner.verified.insert(value, (key, now));
    }

    /// Forgets a key at once.
    pub fn forget(&self, id: Uuid) {
        self.lock().verified.retain(|_, (key, _)| key.id != id);
    }

    /// Notes a use.
    pub fn used(&self, id: Uuid, at: Timestamp) {
        self.lock().used.insert(id, at);
    }

    /// The uses since the last call, by id.
    pub fn take_used(&self) -> Vec<(Uuid, Timestamp)> {
        std::mem::take(&mut self.lock().used).into_iter().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No panic leaves it inconsistent.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{CAPACITY, Recent, TTL};
    use crate::ids::{Digest, Scope, Timestamp};
    use crate::web::key::{Key, Scheme};
    use std::sync::Arc;
    use std::time::{Duration, Instant};
    use uuid::Uuid;

    fn key(id: u128) -> Arc<Key> {
        Arc::new(Key {
            id: Uuid::from_u128(id),
            name: format!("k{id}"),
            scheme: Scheme::Sha256,
            grants: vec![],
            scope: Scope::All,
            created_at: Timestamp(0),
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        })
    }

    #[test]
    fn a_verification_holds_for_a_minute_and_until_it_is_forgotten() {
        let (recent, now) = (Recent::default(), Instant::now());
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        recent.put(a, key(1), now);
        recent.put(b, key(2), now);
        assert!(recent.get(&a, now + TTL - Duration::from_millis(1)).is_some());
        assert!(recent.get(&a, now + TTL).is_none());
        recent.forget(Uuid::from_u128(1));
        assert!(recent.get(&a, now).is_none() && recent.get(&b, now).is_some());
    }

    #[test]
    fn the_memory_is_bounded() {
        let (recent, now) = (Recent::default(), Instant::now());
        for n in 0..=CAPACITY {
            recent.put(Digest::of(&n.to_le_bytes()), key(1), now);
        }
        assert_eq!(recent.lock().verified.len(), 1);
    }
}
