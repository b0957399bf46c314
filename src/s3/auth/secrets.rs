//! Secrets of one way, and how they are compared.

use super::Missed;
use crate::config::Secret;
use ring::hmac;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// Secrets that are valid at once: two, while one takes the place of the other. Empty ones are left out, because nothing
/// at all would match them. Prints as their number.
#[derive(Clone)]
pub struct Secrets(Vec<Kept>);

#[derive(Clone)]
struct Kept {
    /// What is compared: its length tells nothing about the secret's.
    digest: [u8; 32],
    key: hmac::Key,
}

impl Secrets {
    /// Those of a configuration.
    #[must_use]
    pub fn new(secrets: &[Secret]) -> Self {
        Self::of(secrets.iter().map(|secret| secret.reveal().to_owned()))
    }

    /// Of plain texts.
    pub(super) fn of(texts: impl IntoIterator<Item = String>) -> Self {
        let kept = texts.into_iter().filter(|text| !text.is_empty()).map(|text| Kept {
            digest: Sha256::digest(text.as_bytes()).into(),
            key: hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()),
        });
        Self(kept.collect())
    }

    /// Which of them `sent` is.
    pub(super) fn find(&self, sent: &[u8]) -> Result<usize, Missed> {
        let digest: [u8; 32] = Sha256::digest(sent).into();
        self.first(|kept| kept.digest.ct_eq(&digest))
    }

    /// Which of them is the key of `code`, an HMAC-SHA256 of `body`.
    pub(super) fn find_key(&self, body: &[u8], code: &[u8]) -> Result<usize, Missed> {
        self.first(|kept| u8::from(hmac::verify(&kept.key, body, code).is_ok()).into())
    }

    /// The first match; all are looked at.
    fn first(&self, is_match: impl Fn(&Kept) -> Choice) -> Result<usize, Missed> {
        let none = u64::MAX;
        let found = self.0.iter().enumerate().rev().fold(none, |found, (place, kept)| {
            u64::conditional_select(&found, &(place as u64), is_match(kept))
        });
        usize::try_from(found).ok().filter(|_| found != none).ok_or(Missed::Wrong)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "*** ({})", self.0.len())
    }
}
