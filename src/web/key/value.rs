//! Values of keys: `hw_` and 256 random bits, or imported from another system.
//!
//! Our values are stored as SHA-256: 256 random bits cannot be guessed. An imported value may have been chosen by a
//! person, so it is stored with argon2id, and a short digest of it finds its row without trying all of them. With the
//! table that digest makes guessing weak values easier: imported keys are a bridge, and should be replaced by ours.

use crate::ids::Digest;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use subtle::ConstantTimeEq;

/// Prefix of our values; secret scanners look for it.
const PREFIX: &str = "hw_";
/// Longest value, in bytes.
const MAX_BYTES: usize = 512;
/// Stored bytes of an imported value's digest.
const LOOKUP_BYTES: usize = 8;

/// The value of a key, as a client sends it. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyValue(String);

impl KeyValue {
    /// A fresh value: `hw_` and 32 random bytes in base64url.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn fresh() -> Result<Self, getrandom::Error> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits)?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits))))
    }

    /// A value from a client; `None` if it is empty, longer than 512 bytes, or not visible ASCII.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let fits = (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// The value itself, to show it once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Stored form and lookup of our values.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// Lookup of an imported value.
    #[must_use]
    pub fn lookup(&self) -> Vec<u8> {
        let named = format!("headworks imported key\0{}", self.0);
        Digest::of(named.as_bytes()).0[..LOOKUP_BYTES].to_vec()
    }

    /// Stored form of an imported value: a PHC string. Takes tens of milliseconds and 19 MiB.
    ///
    /// # Errors
    /// When there are no random bytes for the salt.
    pub fn argon2(&self) -> Result<String, password_hash::Error> {
        Ok(Argon2::default().hash_password(self.0.as_bytes())?.to_string())
    }

    /// Whether `hash`, a SHA-256 in hex, matches this value; in constant time.
    #[must_use]
    pub fn is_sha256(&self, hash: &str) -> bool {
        self.digest().to_string().as_bytes().ct_eq(hash.as_bytes()).into()
    }

    /// Whether `hash`, a PHC string, matches this value. Takes as long as [`argon2`](Self::argon2).
    #[must_use]
    pub fn is_argon2(&self, hash: &str) -> bool {
        PasswordHash::new(hash)
            .is_ok_and(|hash| Argon2::default().verify_password(self.0.as_bytes(), &hash).is_ok())
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::KeyValue;

    #[test]
    fn a_fresh_value_is_long_recognisable_and_unlike_the_next() {
        let (a, b) = (KeyValue::fresh().unwrap(), KeyValue::fresh().unwrap());
        assert!(a.reveal().starts_with("hw_") && a.reveal().len() == 46);
        assert_ne!(a, b);
        assert_eq!(format!("{a:?}"), "***");
    }

    #[test]
    fn a_value_matches_its_own_hash_only() {
        let (a, b) = (KeyValue::of("one").unwrap(), KeyValue::of("two").unwrap());
        assert!(a.is_sha256(&a.digest().to_string()) && !b.is_sha256(&a.digest().to_string()));
        let hash = a.argon2().unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(a.is_argon2(&hash) && !b.is_argon2(&hash));
        assert!(!a.is_argon2("not a hash") && !a.is_sha256(""));
    }

    #[test]
    fn what_cannot_be_a_value_is_none() {
        for text in ["", "a b", "ä", "a\n", &"x".repeat(513)] {
            assert_eq!(KeyValue::of(text), None, "{text:?}");
        }
    }
}
