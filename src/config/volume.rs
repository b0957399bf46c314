//! Where bytes live: volumes and the spool.

use super::ByteSize;
use super::source::Fields;
use super::tree::{Node, Table, Value};
use crate::ids::{Slug, VolumeName};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The settings of every volume.
#[derive(Debug, Clone, PartialEq)]
pub struct Volumes(BTreeMap<VolumeName, Volume>);

/// One named store of files. Its kind decides which of the fields it needs and refuses.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Where it is: disk, or s3 (a bucket of an object store).
    pub kind: VolumeKind,
    /// Disk: its directory.
    pub path: Option<PathBuf>,
    /// Disk: the server is not ready while fewer bytes than this are free there.
    pub min_free_bytes: Option<ByteSize>,
    /// S3: the object store, a section `[s3.NAME]`.
    #[schemars(with = "Option<String>")]
    pub s3: Option<Slug>,
    /// S3: its bucket, which must exist.
    pub bucket: Option<String>,
    /// S3: what the key of each object begins with, a slash after it. Default: nothing.
    pub prefix: Option<String>,
}

/// Kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VolumeKind {
    /// A directory.
    Disk,
    /// A bucket of an object store.
    S3,
}

impl VolumeKind {
    pub(super) const fn fields(self) -> Fields {
        match self {
            Self::Disk => Fields { needed: &["path", "min_free_bytes"], optional: &[] },
            Self::S3 => Fields { needed: &["s3", "bucket"], optional: &["prefix"] },
        }
    }
}

impl fmt::Display for VolumeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disk => "disk",
            Self::S3 => "s3",
        })
    }
}

/// Where a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumePlace<'a> {
    /// A directory.
    Disk(&'a Path),
    /// A bucket, or the keys in it with a prefix.
    S3 {
        /// Name of the object store.
        store: &'a str,
        /// The bucket.
        bucket: &'a str,
        /// What each key begins with, without the slash; may be empty.
        prefix: &'a str,
    },
}

impl Volume {
    /// Where it is.
    #[must_use]
    pub fn place(&self) -> VolumePlace<'_> {
        // What a kind needs is there: the check of the configuration made sure of it.
        match self.kind {
            VolumeKind::Disk => VolumePlace::Disk(self.path.as_deref().unwrap_or_else(|| Path::new(""))),
            VolumeKind::S3 => VolumePlace::S3 {
                store: self.s3.as_ref().map_or("", Slug::as_str),
                bucket: self.bucket.as_deref().unwrap_or_default(),
                prefix: self.prefix.as_deref().unwrap_or_default(),
            },
        }
    }

    /// The directory of one of kind disk.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match self.place() {
            VolumePlace::Disk(path) => Some(path),
            VolumePlace::S3 { .. } => None,
        }
    }
}

impl fmt::Display for VolumePlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(path) => path.display().fmt(f),
            Self::S3 { store, bucket, prefix } => write!(f, "s3.{store}: {bucket}/{prefix}"),
        }
    }
}

/// Takes from every volume whose kind was changed the fields that the defaults give to one of another kind.
pub(super) fn drop_defaults_of_other_kinds(settings: &mut Table) {
    let Some(Value::Table(volumes)) = settings.get_mut("volume").map(|node| &mut node.value) else { return };
    for node in volumes.nodes_mut() {
        let Value::Table(volume) = &mut node.value else { continue };
        let is_disk = |node: &Node| node.layer == 0 || node.value.to_string() == "\"disk\"";
        if !volume.get("kind").is_none_or(is_disk) {
            volume.drop_defaults();
        }
    }
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
