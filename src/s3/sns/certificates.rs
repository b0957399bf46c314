//! Signing certificates that were fetched, kept for a while.
//!
//! There is one per region and some months, so nearly every message finds its own here. Foreigners may name others at
//! AWS's hosts: so what could not be fetched is remembered for a shorter while, and one is fetched at a time.

use super::{Address, Certificate, CertificateError};
use crate::ids::Timestamp;
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Fetches what is at an address. It follows no redirect, sends no credentials, connects to no private address, and stops
/// at that many bytes.
pub type Fetch = Box<dyn Fn(Address, usize) -> BoxFuture<'static, Result<Vec<u8>, String>> + Send + Sync>;

/// What fetching and keeping certificates may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateLimits {
    /// Bytes of a file.
    pub bytes: usize,
    /// Time of a fetch.
    pub fetch_time: Duration,
    /// Addresses that are kept; beyond it the oldest goes.
    pub count: usize,
    /// How long a certificate is kept.
    pub keep: Duration,
    /// How long a failure is.
    pub keep_failure: Duration,
}

/// Those of contract 5.7.3.
impl Default for CertificateLimits {
    fn default() -> Self {
        Self {
            bytes: 8 << 10,
            fetch_time: Duration::from_secs(5),
            count: 64,
            keep: Duration::from_secs(24 * 3600),
            keep_failure: Duration::from_secs(30),
        }
    }
}

/// Why there is no certificate. The message waits: nothing was said about its truth.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It did not come in time.
    #[error("certificate did not come in time")]
    Late,
    /// It could not be fetched.
    #[error("certificate could not be fetched: {0}")]
    Failed(String),
    /// The file is larger than a certificate.
    #[error("certificate is too large")]
    TooLarge,
    /// What came is none.
    #[error(transparent)]
    Unusable(#[from] CertificateError),
}

type Outcome = Result<Arc<Certificate>, FetchError>;

struct Kept {
    outcome: Outcome,
    fetched_at: Timestamp,
}

/// The certificates that were fetched.
pub struct Certificates {
    fetch: Fetch,
    limits: CertificateLimits,
    kept: Mutex<HashMap<Address, Kept>>,
    turn: tokio::sync::Mutex<()>,
}

impl Certificates {
    /// None yet; `fetch` gets them.
    #[must_use]
    pub fn new(fetch: Fetch, limits: CertificateLimits) -> Self {
        Self { fetch, limits, kept: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// The certificate at `address`, from memory or fetched.
    ///
    /// # Errors
    /// When it cannot be had, or could not a moment ago.
    pub async fn get(&self, address: &Address, now: Timestamp) -> Outcome {
        if let Some(outcome) = self.known(address, now) {
            return outcome;
        }
        let _turn = self.turn.lock().await;
        // Whoever had the turn before may have fetched the same.
        if let Some(outcome) = self.known(address, now) {
            return outcome;
        }
        let outcome = self.fetched(address).await;
        self.keep(address, Kept { outcome: outcome.clone(), fetched_at: now });
        outcome
    }

    async fn fetched(&self, address: &Address) -> Outcome {
        let fetch = (self.fetch)(address.clone(), self.limits.bytes);
        let fetched =
            tokio::time::timeout(self.limits.fetch_time, fetch).await.map_err(|_| FetchError::Late)?;
        let pem = fetched.map_err(FetchError::Failed)?;
        if pem.len() > self.limits.bytes {
            return Err(FetchError::TooLarge);
        }
        Ok(Arc::new(Certificate::from_pem(&pem)?))
    }

    fn known(&self, address: &Address, now: Timestamp) -> Option<Outcome> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.get(address)?;
        let keep = if known.outcome.is_ok() { self.limits.keep } else { self.limits.keep_failure };
        (now < known.fetched_at.after(keep)).then(|| known.outcome.clone())
    }

    fn keep(&self, address: &Address, new: Kept) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(address);
        while kept.len() >= self.limits.count.max(1) {
            // Failures go first, so that invented addresses push out no certificate.
            let first = kept.iter().min_by_key(|(_, kept)| (kept.outcome.is_ok(), kept.fetched_at));
            let Some(first) = first.map(|(address, _)| address.clone()) else { break };
            kept.remove(&first);
        }
        kept.insert(address.clone(), new);
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
