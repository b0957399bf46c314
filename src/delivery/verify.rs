//! Compares the trees on the volumes with the store.
//!
//! ```text
//!   every delivery with a path ─▶ manifest there, and mine? ─▶ every file as it says? ─▶ sealed? ─▶ archive copy?
//!   every tree on the inbox    ─▶ some delivery's? ─ no ─▶ a stray
//! ```
//!
//! Nothing is changed here: repairs go through the sorter and the sealer, the only code that makes trees.

use super::manifest::Manifest;
use super::tree::{self, Difference, Found};
use super::tree_path;
use crate::ids::{DeliveryId, Digest};
use crate::infra::volume::{SubPath, Volume, VolumeError, VolumeErrorKind};
use std::collections::BTreeSet;
use std::fmt;

/// What the store records about one tree.
#[derive(Debug, Clone)]
pub struct Known {
    /// Whose it is.
    pub delivery: DeliveryId,
    /// Where it is.
    pub path: SubPath,
    /// Digest of what was delivered.
    pub digest: Digest,
    /// The store says that it is durable.
    pub sealed: bool,
    /// The store says that the archive has a copy of the original.
    pub archived: bool,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The tree is missing, or was never finished.
    Missing,
    /// Its manifest cannot be read.
    Unreadable(String),
    /// It is another delivery's.
    Foreign(DeliveryId),
    /// Its message differs from what was delivered.
    OtherMessage,
    /// A file differs from the manifest.
    Differs(Difference),
    /// The store says that it is sealed, but it is writable.
    Unsealed,
    /// The original is not in the archive.
    NoCopy,
    /// No delivery knows it.
    Stray(Option<DeliveryId>),
}

impl Trouble {
    /// A stable word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Missing | Self::NoCopy => "missing",
            Self::Unreadable(_) => "unreadable",
            Self::Foreign(_) => "foreign",
            Self::OtherMessage | Self::Differs(_) => "differs",
            Self::Unsealed => "unsealed",
            Self::Stray(_) => "stray",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no tree with a manifest"),
            Self::Unreadable(why) => write!(f, "its manifest cannot be read: {why}"),
            Self::Foreign(other) => write!(f, "it is the tree of delivery {other}"),
            Self::OtherMessage => f.write_str("its message differs from what was delivered"),
            Self::Differs(Difference::Missing(name)) => write!(f, "{name} is missing"),
            Self::Differs(Difference::Changed { name, .. }) => write!(f, "{name} has other bytes"),
            Self::Differs(Difference::Extra(name)) => write!(f, "{name} does not belong there"),
            Self::Unsealed => f.write_str("it is not sealed"),
            Self::NoCopy => f.write_str("its copy is missing"),
            Self::Stray(_) => f.write_str("no delivery knows it"),
        }
    }
}

/// Everything that is wrong with one tree; empty if it is intact.
///
/// # Errors
/// What the volume reports, other than that something is missing or odd.
pub fn of_delivery(inbox: &Volume, known: &Known) -> Result<Vec<Trouble>, VolumeError> {
    let manifest = match tree::read_manifest(inbox, &known.path)? {
        Found::Manifest(manifest) => manifest,
        Found::None => return Ok(vec![Trouble::Missing]),
        Found::Unreadable(why) => return Ok(vec![Trouble::Unreadable(why)]),
    };
    if manifest.about.delivery != known.delivery {
        return Ok(vec![Trouble::Foreign(manifest.about.delivery)]);
    }
    let mut troubles: Vec<Trouble> =
        tree::check(inbox, &known.path, &manifest)?.into_iter().map(Trouble::Differs).collect();
    if delivered(&manifest).is_some_and(|digest| digest != known.digest) {
        troubles.push(Trouble::OtherMessage);
    }
    if troubles.is_empty() && known.sealed && !inbox.stat(&known.path)?.sealed {
        troubles.push(Trouble::Unsealed);
    }
    Ok(troubles)
}

/// Digest of what was delivered, as the manifest says: the mail, or the one file that is no mail.
fn delivered(manifest: &Manifest) -> Option<Digest> {
    let part = || manifest.parts.first().filter(|_| manifest.parts.len() == 1).map(|part| part.file.sha256);
    manifest.message.map(|message| message.sha256).or_else(part)
}

/// What is wrong with the archive copy of a delivery that should have one.
///
/// # Errors
/// What the volume reports, other than that the copy is missing.
pub fn archived(archive: &Volume, known: &Known) -> Result<Option<Trouble>, VolumeError> {
    match archive.digest(&tree::message(&known.path)) {
        Ok(found) if found.digest == known.digest => Ok(None),
        Ok(_) => Ok(Some(Trouble::OtherMessage)),
        Err(error) if error.kind == VolumeErrorKind::NotFound => Ok(Some(Trouble::NoCopy)),
        Err(error) => Err(error),
    }
}

/// Every tree on a volume that is not among `known`, with the delivery its manifest names.
pub fn strays(
    inbox: &Volume,
    known: &BTreeSet<SubPath>,
) -> Result<Vec<(SubPath, Option<DeliveryId>)>, VolumeError> {
    let mut found = Vec::new();
    tree_path::each_tree(inbox, &mut |path| {
        if !known.contains(path) {
            let owner = match tree::read_manifest(inbox, path)? {
                Found::Manifest(manifest) => Some(manifest.about.delivery),
                Found::None | Found::Unreadable(_) => None,
            };
            found.push((path.clone(), owner));
        }
        Ok(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{Known, Trouble, archived, of_delivery, strays};
    use crate::ids::{DeliveryId, Digest};
    use crate::infra::volume::{Durable, Source, SubPath, Volume};
    use std::collections::BTreeSet;

    fn known(path: &str) -> Known {
        let digest = Digest::of(b"mail");
        Known {
            delivery: DeliveryId::fresh(),
            path: path.parse().unwrap(),
            digest,
            sealed: true,
            archived: true,
        }
    }

    #[test]
    fn a_copy_that_is_gone_or_another_is_found() {
        let archive = Volume::memory("archive", 10_000);
        let known = known("a/b/c/d/20260101_000000");
        assert_eq!(archived(&archive, &known).unwrap(), Some(Trouble::NoCopy));
        let message = known.path.join("message.eml").unwrap();
        archive.put(&message, Source::Bytes(b"liam"), Durable::AtSeal).unwrap();
        assert_eq!(archived(&archive, &known).unwrap(), Some(Trouble::OtherMessage));
        archive.remove_file(&message).unwrap();
        archive.put(&message, Source::Bytes(b"mail"), Durable::AtSeal).unwrap();
        assert_eq!(archived(&archive, &known).unwrap(), None);
    }

    #[test]
    fn a_tree_without_a_manifest_is_missing_and_one_with_nonsense_unreadable() {
        let inbox = Volume::memory("inbox", 10_000);
        let known = known("a/b/c/d/20260101_000000");
        assert_eq!(of_delivery(&inbox, &known).unwrap(), [Trouble::Missing]);
        inbox.make_dir(&known.path).unwrap();
        assert_eq!(of_delivery(&inbox, &known).unwrap(), [Trouble::Missing]);
        let manifest = known.path.join("manifest.json").unwrap();
        inbox.put(&manifest, Source::Bytes(b"nonsense"), Durable::AtSeal).unwrap();
        assert!(matches!(of_delivery(&inbox, &known).unwrap()[..], [Trouble::Unreadable(_)]));
    }

    #[test]
    fn a_tree_that_no_delivery_names_is_a_stray() {
        let inbox = Volume::memory("inbox", 10_000);
        let paths = ["a/b/c/d/20260101_000000", "_held/mail/no_rule/none/20260101_000000"];
        let [ours, stray]: [SubPath; 2] = paths.map(|path| path.parse().unwrap());
        inbox.make_dir(&ours).unwrap();
        inbox.make_dir(&stray).unwrap();
        assert_eq!(strays(&inbox, &BTreeSet::from([ours])).unwrap(), [(stray, None)]);
    }
}
