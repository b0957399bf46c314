//! The tree of a delivery on a volume.
//!
//! ```text
//! path claimed in the database          (the caller, before anything is here)
//!   └▶ write: message.eml, NNN-… parts, then manifest.json        nothing fsynced
//!        └▶ commit of `sort` └▶ Volume::seal └▶ sealed_at         from here the tree is the durable copy
//! ```
//!
//! `write` may run any number of times, also beside an older run that lost its lease: every file appears whole, the
//! manifest comes last and replaces nothing, and a tree that is whole and mine is adopted. A crash can leave a tree with
//! a manifest whose files lost their bytes, since nothing was fsynced; so adopting compares digests, and what is wrong is
//! written again.

use super::envelope::RawText;
use super::manifest::{About, Header, Manifest, SPLITTER, Schema};
use super::parts::{self, NewPart};
use crate::ids::DeliveryId;
use crate::infra::host::SplitOutput;
use crate::infra::volume::{
    Durable, Entry, EntryKind, FileRange, Placed, Source, Stored, SubPath, Volume, VolumeError,
    VolumeErrorKind,
};
use module_api::frame;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// The exact bytes that were received.
pub const MESSAGE: &str = "message.eml";
/// What the tree holds; linked last.
pub const MANIFEST: &str = "manifest.json";
/// Longest manifest that is read; 10,000 parts take about a tenth.
const MANIFEST_LIMIT_BYTES: u64 = 64 << 20;

/// What goes into a tree.
#[derive(Debug)]
pub struct Contents<'a> {
    /// Whose it is and how it arrived.
    pub about: About,
    /// The message, for example in its spool entry; `None` if the delivery is not a mail.
    pub message: Option<FileRange<'a>>,
    /// Its parts in document order; the one file, if the delivery is not a mail.
    pub parts: Vec<NewPart<'a>>,
}

impl<'a> Contents<'a> {
    /// A mail and what splitting it found: adds header, problems, parts, and by what they were found to `about`.
    ///
    /// # Errors
    /// When message or spill cannot be read.
    pub fn of_split(mut about: About, message: FileRange<'a>, split: &'a SplitOutput) -> io::Result<Self> {
        let header = |field: &frame::Field| Header {
            name: field.name.clone(),
            value: RawText::decoded(field.value.clone(), &field.raw),
        };
        about.headers = split.head.fields.iter().map(header).collect();
        about.problems.extend(split.head.problems.iter().cloned());
        about.software.insert(SPLITTER.into(), split.version.clone());
        about.split_limits = Some(split.limits);
        Ok(Self { about, message: Some(message), parts: parts::of_split(split, message.file)? })
    }

    /// The manifest of a tree with these contents.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        Manifest {
            schema: Schema::V1,
            about: self.about.clone(),
            message: self.message.map(|message| message.stored.into()),
            parts: parts::numbered(&self.parts),
        }
    }
}

/// Result of [`write`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// The tree holds these contents.
    Made(Box<Manifest>),
    /// An earlier run of the same delivery had made it; this is its manifest.
    Adopted(Box<Manifest>),
    /// Another delivery's tree is there and was left alone. The database does not let this happen.
    Taken(DeliveryId),
}

/// The manifest in a tree, as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No tree, or one that was not finished.
    None,
    /// A file of that name that is no manifest, and why.
    Unreadable(String),
    /// A manifest.
    Manifest(Box<Manifest>),
}

/// One way in which a tree is not what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A file is missing.
    Missing(String),
    /// A file has other bytes.
    Changed {
        /// Its name.
        name: String,
        /// What the manifest says.
        expected: Stored,
        /// What is there; `None` if it is not a file.
        found: Option<Stored>,
    },
    /// Something the manifest does not know.
    Extra(String),
}

/// Writes the tree of a delivery at `path`, which the database holds for it; nothing is fsynced.
///
/// # Errors
/// What the volume reports. The tree has no manifest then and the next call goes on with it.
pub fn write(volume: &Volume, path: &SubPath, contents: &Contents<'_>) -> Result<Written, VolumeError> {
    if let Found::Manifest(manifest) = read_manifest(volume, path)? {
        if manifest.about.delivery != contents.about.delivery {
            return Ok(Written::Taken(manifest.about.delivery));
        }
        if check(volume, path, &manifest)?.is_empty() {
            return Ok(Written::Adopted(manifest));
        }
    }
    let manifest = contents.manifest();
    clear_what_does_not_belong(volume, path, &manifest)?;
    if let Some(message) = contents.message {
        place(volume, &inside(path, MESSAGE), message)?;
    }
    for (part, record) in manifest.parts.iter().zip(&contents.parts) {
        place(volume, &inside(path, &part.stored_name), record.bytes)?;
    }
    let json = manifest.to_json();
    match volume.put(&inside(path, MANIFEST), Source::Bytes(&json), Durable::AtSeal)? {
        Placed::New(_) | Placed::Same(_) => Ok(Written::Made(Box::new(manifest))),
        Placed::Other { .. } => finished_by_another_run(volume, path, &manifest),
    }
}

/// Copies a message into the archive volume, at the path of its tree; nothing is fsynced. A good copy is left as it is.
pub fn archive(volume: &Volume, path: &SubPath, message: FileRange<'_>) -> Result<(), VolumeError> {
    let copy = self::message(path);
    match volume.digest(&copy) {
        Ok(found) if found == message.stored => return Ok(()),
        Err(error) if error.kind != VolumeErrorKind::NotFound => return Err(error),
        _ => {}
    }
    unseal(volume, path)?;
    place(volume, &copy, message)
}

/// Where the message of the tree at `path` is.
#[must_use]
pub fn message(path: &SubPath) -> SubPath {
    inside(path, MESSAGE)
}

/// Reads the manifest of the tree at `path`.
///
/// # Errors
/// What the volume reports, other than that there is none.
pub fn read_manifest(volume: &Volume, path: &SubPath) -> Result<Found, VolumeError> {
    let json = match volume.read(&inside(path, MANIFEST), MANIFEST_LIMIT_BYTES) {
        Ok(json) => json,
        Err(error) => {
            return match error.kind {
                VolumeErrorKind::NotFound => Ok(Found::None),
                VolumeErrorKind::Corrupt | VolumeErrorKind::TooLarge => {
                    Ok(Found::Unreadable(format!("{error}: {}", error.source)))
                }
                _ => Err(error),
            };
        }
    };
    Ok(match Manifest::parse(&json) {
        Ok(manifest) => Found::Manifest(Box::new(manifest)),
        Err(error) => Found::Unreadable(error.to_string()),
    })
}

/// Reads every file of the tree at `path` and lists what differs from `manifest`, by name; empty if nothing does.
///
/// # Errors
/// What the volume reports, other than that something is missing or odd.
pub fn check(volume: &Volume, path: &SubPath, manifest: &Manifest) -> Result<Vec<Difference>, VolumeError> {
    let mut expected = files(manifest);
    let mut differences = Vec::new();
    for entry in entries(volume, path)? {
        match expected.remove(entry.name.as_str()) {
            Some(expected) => differences.extend(compare(volume, path, &entry, expected)?),
            None if entry.name == MANIFEST => {}
            None => differences.push(Difference::Extra(entry.name)),
        }
    }
    differences.extend(expected.into_keys().map(|name| Difference::Missing(name.to_owned())));
    Ok(differences)
}

fn compare(
    volume: &Volume,
    path: &SubPath,
    entry: &Entry,
    expected: Stored,
) -> Result<Option<Difference>, VolumeError> {
    let found = match (entry.kind, path.join(&entry.name)) {
        (EntryKind::File, Ok(inside)) => Some(volume.digest(&inside)?),
        _ => None,
    };
    let changed = || Difference::Changed { name: entry.name.clone(), expected, found };
    Ok((found != Some(expected)).then(changed))
}

/// The files a tree with this manifest holds, apart from the manifest.
fn files(manifest: &Manifest) -> BTreeMap<&str, Stored> {
    let parts = manifest.parts.iter().map(|part| (part.stored_name.as_str(), part.file.stored()));
    parts.chain(manifest.message.map(|message| (MESSAGE, message.stored()))).collect()
}

/// Removes a manifest that no longer holds, and files of an earlier run that split the message in another way.
fn clear_what_does_not_belong(
    volume: &Volume,
    path: &SubPath,
    manifest: &Manifest,
) -> Result<(), VolumeError> {
    unseal(volume, path)?;
    let present = entries(volume, path)?;
    if present.is_empty() {
        return Ok(());
    }
    volume.remove_file(&inside(path, MANIFEST))?;
    let wanted: BTreeSet<&str> = files(manifest).into_keys().collect();
    for entry in present {
        let Ok(inside) = path.join(&entry.name) else { continue };
        match entry.kind {
            EntryKind::Dir => volume.remove_tree(&inside)?,
            EntryKind::File if wanted.contains(entry.name.as_str()) => false,
            EntryKind::File | EntryKind::Foreign => volume.remove_file(&inside)?,
        };
    }
    Ok(())
}

/// Makes a directory writable again, if it is there and sealed: also an empty one, whose files somebody took away.
fn unseal(volume: &Volume, path: &SubPath) -> Result<(), VolumeError> {
    match volume.stat(path) {
        Ok(found) if found.sealed => volume.unseal(path),
        Err(error) if error.kind != VolumeErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts a file, replacing one with other bytes, which can only be what a crash left of it.
fn place(volume: &Volume, path: &SubPath, bytes: FileRange<'_>) -> Result<(), VolumeError> {
    if let Placed::Other { .. } = volume.put(path, Source::Range(bytes), Durable::AtSeal)? {
        volume.remove_file(path)?;
        volume.put(path, Source::Range(bytes), Durable::AtSeal)?;
    }
    Ok(())
}

/// While this run wrote, another one linked its manifest; it is the same delivery's, or the path was not ours.
fn finished_by_another_run(volume: &Volume, path: &SubPath, mine: &Manifest) -> Result<Written, VolumeError> {
    match read_manifest(volume, path)? {
        Found::Manifest(other) if other.about.delivery == mine.about.delivery => Ok(Written::Adopted(other)),
        Found::Manifest(other) => Ok(Written::Taken(other.about.delivery)),
        Found::None | Found::Unreadable(_) => {
            let json = mine.to_json();
            volume.remove_file(&inside(path, MANIFEST))?;
            volume.put(&inside(path, MANIFEST), Source::Bytes(&json), Durable::AtSeal)?;
            Ok(Written::Made(Box::new(mine.clone())))
        }
    }
}

/// The entries of the tree; empty if there is no tree.
fn entries(volume: &Volume, path: &SubPath) -> Result<Vec<Entry>, VolumeError> {
    match volume.list(path) {
        Err(error) if error.kind == VolumeErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}

fn inside(path: &SubPath, name: &str) -> SubPath {
    path.join(name).expect("fixed names and stored names are always path components")
}

#[cfg(test)]
mod tests;
