//! Where bytes live: volumes and the spool.

use super::ByteSize;
use crate::ids::VolumeName;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The settings of every volume.
#[derive(Debug, Clone, PartialEq)]
pub struct Volumes(BTreeMap<VolumeName, Volume>);

/// One named store of files.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Where it is: disk.
    pub kind: VolumeKind,
    /// Disk: its directory.
    pub path: PathBuf,
    /// The server is not ready while fewer bytes than this are free there.
    pub min_free_bytes: ByteSize,
}

/// Kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VolumeKind {
    /// A directory.
    Disk,
}

impl Volumes {
    /// The settings of the volume `name`.
    #[must_use]
    pub fn get(&self, name: VolumeName) -> &Volume {
        &self.0[&name] // Reading the configuration made sure of it.
    }

    /// Every volume with its settings, in the order of [`VolumeName::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (VolumeName, &Volume)> {
        self.0.iter().map(|(name, volume)| (*name, volume))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Volume> {
        self.0.values_mut()
    }
}

impl<'de> Deserialize<'de> for Volumes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let volumes = BTreeMap::<VolumeName, Volume>::deserialize(deserializer)?;
        match VolumeName::ALL.iter().find(|name| !volumes.contains_key(name)) {
            Some(name) => Err(D::Error::missing_field(name.word())),
            None => Ok(Self(volumes)),
        }
    }
}

impl JsonSchema for Volumes {
    fn schema_name() -> Cow<'static, str> {
        "Volumes".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut properties = serde_json::Map::new();
        for name in VolumeName::ALL {
            let mut volume = generator.subschema_for::<Volume>();
            volume.insert("description".to_owned(), name.holds().into());
            properties.insert(name.to_string(), volume.to_value());
        }
        schemars::json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
    }
}

/// The directory into which Postfix and LMTP put mail, and what the lines for Postfix say.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spool {
    /// The directory.
    pub path: PathBuf,
    /// Mail is deferred while the file system has fewer free bytes than this.
    pub min_free_bytes: ByteSize,
    /// Mail is deferred while the file system has fewer free inodes than this.
    pub min_free_inodes: u64,
    /// Whether mail counts as cut short at any difference from the length that Postfix announced.
    pub strict_size: bool,
    /// Postfix: path of the program that it runs for each mail.
    pub mailhandler: PathBuf,
    /// Postfix: user that runs this program; must be the server's user.
    pub user: String,
}
