//! From `[s3.NAME]` and the volumes that are there to clients and buckets.

use crate::config::{Config, S3, S3Checksums, S3Encryption, S3Login, Secret, VolumePlace};
use crate::ids::VolumeName;
use crate::infra::object_store::{
    Checksums, Encryption, Login, ObjectStore, Settings, StoreError, StoreErrorKind,
};
use crate::infra::volume::BucketSettings;
use std::collections::BTreeMap;
use std::path::Path;

/// Where a volume is, as far as it takes to open it.
#[derive(Debug)]
pub enum Place<'c> {
    /// A directory.
    Directory(&'c Path),
    /// A bucket, or the keys in it with a prefix.
    Bucket(BucketSettings),
}

/// The object stores of a configuration. There is one client for each, however many volumes are in it.
#[derive(Debug, Default)]
pub struct ObjectStores(BTreeMap<String, ObjectStore>);

impl ObjectStores {
    /// Where a volume is. Connects to nothing yet.
    ///
    /// # Errors
    /// When there is no client for its store.
    pub fn place<'c>(&mut self, config: &'c Config, name: VolumeName) -> Result<Place<'c>, StoreError> {
        Ok(match config.volume.get(name).place() {
            VolumePlace::Disk(path) => Place::Directory(path),
            VolumePlace::S3 { store, bucket, prefix } => Place::Bucket(BucketSettings {
                store: self.client(config, store)?,
                bucket: bucket.into(),
                prefix: prefix.into(),
                tmp: config.server.tmp_dir.clone(),
            }),
        })
    }

    /// The client of `[s3.NAME]`. Connects to nothing yet.
    ///
    /// # Errors
    /// When its CA certificates cannot be read.
    fn client(&mut self, config: &Config, name: &str) -> Result<ObjectStore, StoreError> {
        if let Some(made) = self.0.get(name) {
            return Ok(made.clone());
        }
        let Some((_, settings)) = config.s3.iter().find(|(known, _)| known.as_str() == name) else {
            // The check of the configuration does not let this happen.
            return Err(StoreError {
                kind: StoreErrorKind::Other,
                store: name.to_owned(),
                action: "connect".into(),
                setting: None,
                detail: "there is no such section".into(),
            });
        };
        let made = ObjectStore::new(plain(name, settings))?;
        self.0.insert(name.to_owned(), made.clone());
        Ok(made)
    }
}

fn plain(name: &str, settings: &S3) -> Settings {
    Settings {
        name: name.to_owned(),
        endpoint: settings.endpoint.clone(),
        region: settings.region().to_owned(),
        path_style: settings.has_path_style(),
        ca: settings.ca.clone(),
        login: login(settings),
        checksums: match settings.checksums.unwrap_or_default() {
            S3Checksums::Always => Checksums::Always,
            S3Checksums::WhenRequired => Checksums::WhenRequired,
        },
        encryption: match settings.sse.unwrap_or_default() {
            S3Encryption::None => Encryption::None,
            S3Encryption::Aes256 => Encryption::Aes256,
            S3Encryption::Kms => Encryption::Kms(settings.sse_key.clone()),
        },
    }
}

fn login(settings: &S3) -> Login {
    let text = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.reveal().to_owned());
    match settings.login() {
        S3Login::Key => Login::Key {
            id: settings.access_key.clone().unwrap_or_default(),
            secret: text(&settings.secret_key).unwrap_or_default(),
            session_token: text(&settings.session_token).filter(|token| !token.is_empty()),
        },
        S3Login::Profile => Login::Profile {
            name: settings.profile.clone().unwrap_or_default(),
            file: settings.profiles.clone(),
        },
        S3Login::Environment => Login::Environment,
        S3Login::WebIdentity => Login::WebIdentity,
        S3Login::InstanceRole => Login::InstanceRole,
    }
}
