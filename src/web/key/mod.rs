//! API keys and their permissions.
//!
//! ```text
//!   value ─▶ verified within a minute? ─▶ key
//!              └ no ─▶ rows by lookup (one indexed read) ─▶ compare hash ─▶ live? ─▶ remember ─▶ key
//! ```
//!
//! A value is shown once, when it is created, and never stored; see [`value`] for what is. Revoking takes effect at once
//! in this process and within a minute in others. The time of last use is noted in memory and stored once a minute
//! ([`Keys::write_last_used`]), never while a request waits.

mod recent;
mod store;
pub mod value;

pub use value::KeyValue;

use crate::ids::{Grant, Scope, Slug, Timestamp};
use crate::in_tx;
use crate::infra::db::{Db, DbError, DbErrorKind, Lane, View};
use crate::web::open_requests::OpenRequests;
use crate::web::{Kind, Problem};
use recent::Recent;
use serde::{Serialize, Serializer};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use store::Candidate;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use uuid::Uuid;

/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// Concurrent verifications with argon2: each takes 19 MiB and a core.
const ARGON2_AT_ONCE: usize = 2;

/// A key, without its value.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Key {
    /// Its id.
    #[serde(skip)]
    pub id: Uuid,
    /// Unique for ever, also after it was revoked.
    pub name: String,
    /// Whether its value was imported from another system.
    #[serde(rename = "imported", serialize_with = "is_imported")]
    #[schema(value_type = bool)]
    pub scheme: Scheme,
    /// Its permissions, without included ones.
    pub grants: Vec<Grant>,
    /// Whose things it is for; null: everyone's.
    #[serde(rename = "customer")]
    #[schema(value_type = Option<Slug>)]
    pub scope: Scope,
    /// When it was created or imported.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, up to a minute late.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// How a value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Ours: SHA-256 of 256 random bits.
    Sha256,
    /// Imported: argon2id.
    Argon2,
}

fn is_imported<S: Serializer>(scheme: &Scheme, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(*scheme == Scheme::Argon2)
}

/// A key to be created.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// One to 64 letters, digits and `-_.`.
    pub name: String,
    /// Its permissions.
    pub grants: Vec<Grant>,
    /// What it may see.
    pub scope: Scope,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

/// Why a key was not created.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The name is malformed.
    #[error("key name {0:?} is not one to 64 letters, digits and -_.")]
    BadName(String),
    /// The value cannot be sent in a header.
    #[error("value of key {0:?} is not one to 512 visible ASCII characters")]
    BadValue(String),
    /// A key needs at least one permission.
    #[error("key {0:?} has no permission")]
    NoGrants(String),
    /// There is, or was, a key of this name.
    #[error("key name {0:?} is taken")]
    NameTaken(String),
    /// The imported value belongs to another key.
    #[error("value of key {0:?} belongs to another key")]
    ValueTaken(String),
    /// No such customer is registered.
    #[error("customer {0} of the key is not registered")]
    UnknownCustomer(Slug),
    /// The value could not be generated or hashed.
    #[error("generating or hashing the key failed: {0}")]
    Entropy(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] DbError),
}

/// All keys of the installation. Clones share their cache.
#[derive(Debug, Clone)]
pub struct Keys {
    db: Db,
    recent: Arc<Recent>,
    argon2: Arc<Semaphore>,
    open: OpenRequests,
}

impl Keys {
    /// The keys in `db`.
    #[must_use]
    pub fn new(db: Db) -> Self {
        let argon2 = Arc::new(Semaphore::new(ARGON2_AT_ONCE));
        Self { db, recent: Arc::default(), argon2, open: OpenRequests::default() }
    }

    /// The open requests of each key.
    #[must_use]
    pub const fn open_requests(&self) -> &OpenRequests {
        &self.open
    }

    /// The valid key with this value, if any.
    pub async fn verify(&self, sent: &str) -> Result<Option<Arc<Key>>, DbError> {
        let Some(value) = KeyValue::of(sent) else { return Ok(None) };
        let digest = value.digest();
        let key = match self.recent.get(&digest, Instant::now()) {
            Some(key) => key,
            None => {
                let Some(key) = self.look_up(value).await?.map(Arc::new) else { return Ok(None) };
                self.recent.put(digest, key.clone(), Instant::now());
                key
            }
        };
        let now = Timestamp::now();
        if key.expires_at.is_some_and(|at| at <= now) {
            return Ok(None);
        }
        self.recent.used(key.id, now);
        Ok(Some(key))
    }

    async fn look_up(&self, value: KeyValue) -> Result<Option<Key>, DbError> {
        let (digest, lookup) = (value.digest(), value.lookup());
        let found = store::candidates(&mut self.db.reader(View::State).await?.tx(), digest, lookup).await?;
        for candidate in found {
            if self.matches(&value, &candidate).await? {
                return Ok(Some(candidate.key));
            }
        }
        Ok(None)
    }

    async fn matches(&self, value: &KeyValue, candidate: &Candidate) -> Result<bool, DbError> {
        match candidate.key.scheme {
            Scheme::Sha256 => Ok(value.is_sha256(&candidate.hash)),
            Scheme::Argon2 => {
                let (value, hash) = (value.clone(), candidate.hash.clone());
                self.slowly(move || value.is_argon2(&hash)).await
            }
        }
    }

    /// Runs `f`, which uses argon2, on a blocking thread, a few at a time.
    async fn slowly<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Result<T, DbError> {
        let ended = |error| DbError::unavailable(error);
        let _permit = self.argon2.acquire().await.map_err(|e| ended(e.to_string()))?;
        tokio::task::spawn_blocking(f).await.map_err(|e| ended(e.to_string()))
    }

    /// Creates a key and returns its value, which is not stored.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub async fn create(&self, new: NewKey) -> Result<KeyValue, KeyError> {
        let value = KeyValue::fresh().map_err(|e| KeyError::Entropy(e.to_string()))?;
        let digest = value.digest();
        self.insert(new, Scheme::Sha256, digest.to_string(), digest.0.to_vec()).await?;
        Ok(value)
    }

    /// Imports a value that clients already use.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub async fn import(&self, new: NewKey, value: &str) -> Result<(), KeyError> {
        let value = KeyValue::of(value).ok_or_else(|| KeyError::BadValue(new.name.clone()))?;
        let lookup = value.lookup();
        let hash = self.slowly(move || value.argon2()).await?;
        let hash = hash.map_err(|e| KeyError::Entropy(e.to_string()))?;
        self.insert(new, Scheme::Argon2, hash, lookup).await
    }

    async fn insert(
        &self,
        new: NewKey,
        scheme: Scheme,
        hash: String,
        lookup: Vec<u8>,
    ) -> Result<(), KeyError> {
        if !is_name(&new.name) {
            return Err(KeyError::BadName(new.name));
        }
        if new.grants.is_empty() {
            return Err(KeyError::NoGrants(new.name));
        }
        let (mut row, mut named) = (new.clone(), BTreeSet::new());
        row.grants.retain(|grant| named.insert(*grant));
        let inserted =
            in_tx!(self.db, Lane::State, tx => store::insert(tx, &row, scheme, &hash, &lookup)).await;
        match (inserted, new.scope) {
            (Ok(true), _) => Ok(()),
            (Ok(false), _) => Err(KeyError::NameTaken(new.name)),
            (Err(error), _) if error.kind() == DbErrorKind::Conflict => Err(KeyError::ValueTaken(new.name)),
            (Err(error), Scope::Customer(customer)) if error.kind() == DbErrorKind::Content => {
                Err(KeyError::UnknownCustomer(customer))
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// Up to `limit` keys after name `after`, in order of names, revoked and expired ones included.
    pub async fn list(&self, after: Option<&str>, limit: i64) -> Result<Vec<Key>, DbError> {
        store::list(&mut self.db.reader(View::State).await?.tx(), after, limit).await
    }

    /// Revokes a key; `false` if there is no unrevoked key of that name.
    pub async fn revoke(&self, name: &str) -> Result<bool, DbError> {
        let (name, now) = (name.to_owned(), Timestamp::now());
        let ended = in_tx!(self.db, Lane::State, tx => store::revoke(tx, &name, now)).await?;
        if let Some(id) = ended {
            self.recent.forget(id);
        }
        Ok(ended.is_some())
    }

    /// Stores which keys were used since the last call. A duty of every minute; after a failure the next use of a key
    /// makes up for it.
    pub async fn write_last_used(&self) -> Result<(), DbError> {
        let used = self.recent.take_used();
        if used.is_empty() {
            return Ok(());
        }
        in_tx!(self.db, Lane::State, tx => store::touch(tx, &used)).await
    }
}

/// Without `:`, which is in the names of callers of the control socket.
fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

impl Scheme {
    const fn word(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Argon2 => "argon2",
        }
    }
}

impl std::str::FromStr for Scheme {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "sha256" => Ok(Self::Sha256),
            "argon2" => Ok(Self::Argon2),
            other => Err(format!("{other:?} is not a scheme")),
        }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::BadName(_) => Self::invalid("/name", error.to_string()),
            KeyError::BadValue(_) => Self::invalid("/value", error.to_string()),
            KeyError::NoGrants(_) => Self::invalid("/grants", error.to_string()),
            KeyError::UnknownCustomer(_) => Self::invalid("/customer", error.to_string()),
            KeyError::NameTaken(_) | KeyError::ValueTaken(_) => Self::new(Kind::Conflict, error.to_string()),
            KeyError::Entropy(_) => Self::internal(error),
            KeyError::Store(error) => error.into(),
        }
    }
}
