//! What a run of a module reads, and how its bytes are proven.
//!
//! ```text
//!   manifest ─ split by this version, same limits? ─ yes ─▶ its parts: ranges of message.eml, decoded ones into the spill
//!            │                                     └ no, or no parts ─▶ message.eml, which the child splits
//!            └ no message ─▶ the one file
//! ```
//!
//! Whatever is read here is compared with the digests of the manifest first; where it differs, the storage is damaged and
//! the run fails. So the digests of the manifest are good for provenance, and no part is hashed a second time.

use crate::delivery::manifest::{Manifest, Part};
use crate::delivery::parts;
use crate::delivery::tree::{self, Found};
use crate::ids::{DeliveryId, Digest};
use crate::infra::host::RunInput;
use crate::infra::volume::{BadSubPath, Stored, SubPath, Volume, VolumeError, VolumeErrorKind};
use crate::job::Interrupted;
use module_api::frame::{self, Declared, Input, MAX_REQUEST_BYTES, MimeLimits, Range};
use module_api::{Content, Envelope};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Left in a request for what does not come from the mail.
const REST_OF_REQUEST_BYTES: usize = MAX_REQUEST_BYTES / 4;

/// What one run reads.
pub struct Reading {
    /// How the child is to take it.
    pub input: Input,
    /// Its envelope, with the header where nobody splits the mail again.
    pub envelope: Envelope,
    /// What the child is given.
    pub given: RunInput,
    /// The same file, to hash what the child finds in it.
    pub file: File,
    /// Digests of parts that stand in the manifest.
    pub digests: HashMap<frame::Stored, Digest>,
}

/// A stored part on its way into the spill.
struct Copy {
    path: SubPath,
    offset: u64,
    stored: Stored,
}

impl Reading {
    /// Opens what the tree at `path` holds. Its parts are taken if `version` of the module program, under `limits`, would
    /// find the same.
    ///
    /// # Errors
    /// What the volume reports, or that the tree is not that of the delivery, or not what its manifest says.
    pub fn open(
        inbox: &Arc<Volume>,
        path: &SubPath,
        delivery: (DeliveryId, Digest),
        envelope: Envelope,
        (version, limits): (&str, &MimeLimits),
    ) -> Result<Self, Interrupted> {
        let manifest = match tree::read_manifest(inbox, path)? {
            Found::Manifest(manifest) => *manifest,
            Found::Unreadable(why) => {
                return Err(Interrupted::Failed(format!("the manifest of {path} cannot be read: {why}")));
            }
            Found::None => return Err(Interrupted::Failed(format!("{path} has no manifest"))),
        };
        // A manifest vouches for its files; only the record of the delivery vouches for the manifest.
        let bytes = manifest.message.map(|message| message.sha256);
        let bytes = bytes.or_else(|| manifest.parts.first().map(|part| part.file.sha256));
        if (manifest.about.delivery, bytes) != (delivery.0, Some(delivery.1)) {
            return Err(Interrupted::Failed(format!(
                "damaged storage: the manifest of {path} is not of delivery {}",
                delivery.0
            )));
        }
        let Some(message) = manifest.message else { return Self::file(inbox, path, envelope, manifest) };
        let (file, place) = open(inbox, path, tree::MESSAGE)?;
        if manifest.is_split_by(version, limits)
            && !manifest.parts.is_empty()
            && let Some(reading) = Self::parts(inbox, path, &envelope, manifest, &file)?
        {
            return Ok(reading);
        }
        prove(&file, Range { offset: 0, len: message.len_bytes }, message.stored(), &place)?;
        let input = Input::Mail { message_bytes: message.len_bytes };
        Self::new(input, envelope, file, HashMap::new())
    }

    /// The file of a delivery that is no mail.
    fn file(
        inbox: &Volume,
        path: &SubPath,
        envelope: Envelope,
        manifest: Manifest,
    ) -> Result<Self, Interrupted> {
        let part = manifest.parts.into_iter().next();
        let part = part.ok_or_else(|| Interrupted::Failed(format!("the tree {path} holds nothing")))?;
        let (file, place) = open(inbox, path, &part.stored_name)?;
        let range = Range { offset: 0, len: part.file.len_bytes };
        prove(&file, range, part.file.stored(), &place)?;
        let input = Input::File {
            file_bytes: range.len,
            declared: Declared {
                name: part.facts.name.map(|name| name.text),
                media_type: Some(part.facts.media_type),
                charset: part.facts.charset,
            },
        };
        let digests = HashMap::from([(frame::Stored::Input(range), part.file.sha256)]);
        Self::new(input, envelope, file, digests)
    }

    /// The stored parts of a mail; `None` where they do not fit a request.
    fn parts(
        inbox: &Arc<Volume>,
        path: &SubPath,
        envelope: &Envelope,
        manifest: Manifest,
        message: &File,
    ) -> Result<Option<Self>, Interrupted> {
        let mut copies = Vec::new();
        let mut spill_bytes = 0;
        let mut digests = HashMap::new();
        let mut records = Vec::with_capacity(manifest.parts.len());
        for part in manifest.parts {
            let stored = part.file.stored();
            let at = match verbatim(&part) {
                Some(range) => {
                    let place = format!("part {} in {path}/{}", part.facts.path, tree::MESSAGE);
                    prove(message, range, stored, &place)?;
                    frame::Stored::Input(range)
                }
                None => {
                    let offset = spill_bytes;
                    spill_bytes += stored.len_bytes;
                    let path = path.join(&part.stored_name).map_err(bad_path)?;
                    copies.push(Copy { path, offset, stored });
                    frame::Stored::Spill(Range { offset, len: stored.len_bytes })
                }
            };
            digests.insert(at, stored.digest);
            records.push(parts::as_found(part, at));
        }
        let header = manifest.about.headers.into_iter().map(|field| (field.name, field.value.text));
        let envelope = envelope.clone().with_header(header);
        let message_bytes = manifest.message.map_or(0, |message| message.len_bytes);
        let input = Input::Parts { message_bytes, parts: records, spill_bytes };
        let most = MAX_REQUEST_BYTES - REST_OF_REQUEST_BYTES;
        if frame::encode(&mut Vec::new(), &(&input, &envelope), most).is_err() {
            return Ok(None);
        }
        let mut reading = Self::new(input, envelope, message.try_clone()?, digests)?;
        if !copies.is_empty() {
            let inbox = Arc::clone(inbox);
            let fill = move |spill: &File| copies.iter().try_for_each(|copy| copy.write_to(spill, &inbox));
            reading.given.fill = Some(Box::new(fill));
        }
        Ok(Some(reading))
    }

    fn new(
        input: Input,
        envelope: Envelope,
        file: File,
        digests: HashMap<frame::Stored, Digest>,
    ) -> Result<Self, Interrupted> {
        Ok(Self { input, envelope, given: file.try_clone()?.into(), file, digests })
    }
}

impl Copy {
    fn write_to(&self, spill: &File, inbox: &Volume) -> io::Result<()> {
        let file = inbox.open_file(&self.path).map_err(volume_error)?;
        // One byte more than there should be: a longer file is damaged too.
        let bytes = (&file).take(self.stored.len_bytes + 1);
        if Stored::copy(bytes, &mut At { file: spill, offset: self.offset })? == self.stored {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, damaged(&self.path)))
        }
    }
}

/// Writes to a place in a file whose cursor may be anywhere.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Write for At<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write_at(bytes, self.offset)?;
        self.offset += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the bytes of a part stand in the message, if nothing had to be decoded.
fn verbatim(part: &Part) -> Option<Range> {
    let span = part.facts.in_message.filter(|_| part.facts.verbatim)?;
    Some(Range { offset: span.offset, len: span.len_bytes })
}

fn open(inbox: &Volume, tree: &SubPath, name: &str) -> Result<(File, SubPath), Interrupted> {
    let place = tree.join(name).map_err(bad_path)?;
    let file = inbox.open_file(&place).map_err(|error| match error.kind {
        VolumeErrorKind::NotFound => Interrupted::Failed(format!("{place} is gone")),
        _ => error.into(),
    })?;
    Ok((file, place))
}

/// Compares a range of a file with what the manifest says of it.
fn prove(
    file: &File,
    range: Range,
    stored: Stored,
    place: &impl std::fmt::Display,
) -> Result<(), Interrupted> {
    let content = Content::Range { file, offset: range.offset, len: range.len };
    if Stored::read(content.reader())? == stored { Ok(()) } else { Err(Interrupted::Failed(damaged(place))) }
}

fn damaged(place: &impl std::fmt::Display) -> String {
    format!("damaged storage: {place} does not hold the bytes that its manifest names")
}

/// A missing or odd file is damage; anything else passes.
fn volume_error(error: VolumeError) -> io::Error {
    let kind = match error.kind {
        kind if kind.is_of_volume() => io::ErrorKind::Other,
        VolumeErrorKind::NotFound => io::ErrorKind::NotFound,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, format!("{error}: {}", error.source))
}

fn bad_path(error: BadSubPath) -> Interrupted {
    Interrupted::Failed(error.to_string())
}
