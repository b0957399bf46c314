//! A document of StorageGRID's search integration (row 16, contract 5.6): the state of an object. It has neither a time
//! nor a name of an event, so the caller knows whether the object is new or only its metadata changed.

use super::super::event::{Encoding, Event, Flags, Key, Kind, Vendor};
use super::records::{unquoted, version};
use super::{Found, Poison, Reading, Seen};

pub(super) fn takes(seen: &Seen<'_>) -> bool {
    let named = seen.top.as_ref().and_then(|top| top.get("bucket").ok().flatten());
    named.is_some_and(|bucket| bucket.string().is_some())
        && seen.has(&["key"])
        && (seen.has(&["metadata"]) || seen.has(&["md5"]))
}

pub(super) fn read(seen: &Seen<'_>, _: &mut Reading) -> Result<Found, Poison> {
    Ok(Found::events([event(seen)]))
}

fn event(seen: &Seen<'_>) -> Result<Event, Poison> {
    let document = seen.object()?;
    let (version, null_version) = version(document.text("versionId")?);
    let bucket = document.bucket("bucket")?;
    let key = Key::of(document.need_bytes("key")?, seen.encoding.unwrap_or(Encoding::Plain));
    Ok(Event {
        flags: Flags { null_version, ..Flags::default() },
        size_bytes: document.count("size")?,
        etag: document.text("md5")?.and_then(|md5| unquoted(&md5)),
        version,
        region: document.text("region")?,
        ..Event::bare(Vendor::Storagegrid, bucket, key, Kind::Created, None)
    })
}
