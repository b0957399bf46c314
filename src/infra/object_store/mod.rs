//! Object stores that speak S3: one client for each `[s3.NAME]`.
//!
//! ```text
//!   Settings ─▶ ObjectStore ─┬─ read: head, read (goes on where a body broke off), presigned GET
//!                            ├─ write: put_new (If-None-Match: *), in parts above 64 MiB; delete
//!                            └─ list: names in a folder, keys with a prefix, uploads that nobody finished
//!   whatever fails ─▶ fault: a kind, and one line that names the setting at fault
//! ```
//!
//! An object is never replaced: [`ObjectStore::put_new`] says whether it is new or something was there. Endpoints come from
//! the configuration, never from what was received. A request is repeated by the client a few times, within seconds;
//! whoever can wait longer looks at [`StoreError::is_temporary`].

mod body;
mod client;
mod fault;
mod list;
mod login;
mod multipart;
mod read;
#[cfg(test)]
pub mod tests;
mod write;

pub use body::Body;
pub use fault::{StoreError, StoreErrorKind};
pub use list::{Folder, Upload};
pub use write::Put;

use fault::Faults;
use std::path::PathBuf;
use std::sync::Arc;

/// Where an object store is and what it can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its name: `NAME` of `[s3.NAME]`.
    pub name: String,
    /// Its address; `None` for AWS.
    pub endpoint: Option<String>,
    /// Region for which requests are signed.
    pub region: String,
    /// Whether the bucket stands in the path of a URL and not in its host name.
    pub path_style: bool,
    /// CA certificates, PEM; `None` for those of the system.
    pub ca: Option<PathBuf>,
    /// How to log in.
    pub login: Login,
    /// Checksums in requests and answers.
    pub checksums: Checksums,
    /// Encryption that is asked of the store.
    pub encryption: Encryption,
}

/// How to log in.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// With a key.
    Key {
        /// Its id.
        id: String,
        /// Its secret.
        secret: String,
        /// The session token of a temporary key.
        session_token: Option<String>,
    },
    /// With a profile, as AWS's own programs have.
    Profile {
        /// Its name.
        name: String,
        /// The file that has it; `None` for those that AWS's own programs read.
        file: Option<PathBuf>,
    },
    /// With `AWS_ACCESS_KEY_ID` and what belongs to it.
    Environment,
    /// With a token in the file `AWS_WEB_IDENTITY_TOKEN_FILE`.
    WebIdentity,
    /// With the role of this container or machine.
    InstanceRole,
}

impl std::fmt::Debug for Login {
    /// Without secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key { .. } => "key",
            Self::Profile { .. } => "profile",
            Self::Environment => "environment",
            Self::WebIdentity => "web_identity",
            Self::InstanceRole => "instance_role",
        })
    }
}

/// Checksums in requests and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    /// Each object is sent with its SHA-256, and compared with the one the store has when it is read.
    Always,
    /// Only where S3 demands one: for stores that refuse the headers.
    WhenRequired,
}

/// Encryption that is asked of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// None: whatever the bucket does.
    None,
    /// With keys of the store.
    Aes256,
    /// With a key of the key service; `None` for that of the bucket.
    Kms(Option<String>),
}

/// An object, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectRef<'a> {
    /// Its bucket.
    pub bucket: &'a str,
    /// Its key.
    pub key: &'a str,
}

/// What a store says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its length.
    pub len_bytes: u64,
    /// Its entity tag, with quotes as the store writes it.
    pub etag: Option<String>,
    /// Its version, where the bucket has versions and the store says it.
    pub version: Option<String>,
    /// When it was written, seconds since 1970: answers to HEAD have no fractions.
    pub modified_seconds: i64,
}

/// A client for one store. Clones share it and its connections.
#[derive(Debug, Clone)]
pub struct ObjectStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: aws_sdk_s3::Client,
    checksums: Checksums,
    encryption: Encryption,
    faults: Faults,
}

impl ObjectStore {
    /// A client; connects to nothing yet. It must be made inside a tokio runtime, and used only while that runs.
    ///
    /// # Errors
    /// When the CA certificates cannot be read.
    pub fn new(settings: Settings) -> Result<Self, StoreError> {
        let faults = Faults::new(&settings);
        let client = client::client(&settings, &faults)?;
        let Settings { checksums, encryption, .. } = settings;
        Ok(Self(Arc::new(Inner { client, checksums, encryption, faults })))
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.faults.store()
    }
}
