//! Where the bytes of a mail are now: in its spool entry, in its tree, or in the held tree it came from.

use crate::delivery::store::DeliveryRow;
use crate::delivery::tree::MESSAGE;
use crate::infra::volume::{FileRange, Stored, SubPath, Volume, VolumeErrorKind};
use crate::job::Interrupted;
use headworks_spool::{EntryName, Kind, Spool};
use std::fs::File;
use std::sync::Arc;

/// A mail that is open for reading: the message is the first `stored.len_bytes` of `file`.
#[derive(Debug)]
pub struct Message {
    pub file: File,
    pub stored: Stored,
}

impl Message {
    /// The message, without the rest of a spool entry.
    pub fn bytes(&self) -> FileRange<'_> {
        FileRange { file: &self.file, offset: 0, stored: self.stored }
    }
}

/// Opens the mail of a delivery, wherever it is, and checks its digest.
pub async fn open(
    spool: &Spool,
    inbox: &Arc<Volume>,
    delivery: &DeliveryRow,
) -> Result<Message, Interrupted> {
    let stored =
        Stored { digest: delivery.digest, len_bytes: u64::try_from(delivery.bytes).unwrap_or_default() };
    let (spool, inbox) = (spool.clone(), Arc::clone(inbox));
    let names = [EntryName::whole(delivery.receipt_id.0), EntryName::short(delivery.receipt_id.0)];
    let paths: Vec<String> = [&delivery.path, &delivery.stale_path].into_iter().flatten().cloned().collect();
    tokio::task::spawn_blocking(move || {
        let file = match from_spool(&spool, &names)? {
            Some(file) => file,
            None => from_trees(&inbox, &paths, stored)?.ok_or_else(|| {
                Interrupted::Failed("the mail is neither in the spool nor in a tree".into())
            })?,
        };
        Ok(Message { file, stored })
    })
    .await?
}

fn from_spool(spool: &Spool, names: &[EntryName]) -> Result<Option<File>, Interrupted> {
    let failed = |error: headworks_spool::SpoolError| Interrupted::Failed(error.to_string());
    for name in names {
        match spool.read(*name) {
            Ok(mut entry) => {
                entry.verify().map_err(failed)?;
                return Ok(Some(entry.into_parts().0));
            }
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(None)
}

fn from_trees(inbox: &Volume, paths: &[String], stored: Stored) -> Result<Option<File>, Interrupted> {
    for path in paths {
        let bad = |error: crate::infra::volume::BadSubPath| Interrupted::Failed(error.to_string());
        let message = path.parse::<SubPath>().and_then(|tree| tree.join(MESSAGE)).map_err(bad)?;
        match inbox.digest(&message) {
            Ok(found) if found == stored => return Ok(Some(inbox.open_file(&message)?)),
            Ok(_) => {}
            Err(error) if error.kind == VolumeErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
