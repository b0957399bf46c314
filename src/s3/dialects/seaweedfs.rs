//! SeaweedFS's filer (row 14, contract 5.11). It tells of paths; those below `/buckets/BUCKET/` are objects. Directories
//! and hidden entries (parts of uploads, old versions) are left out.

use super::super::event::{Encoding, Event, Key, Kind, Vendor};
use super::node::{Node, check_bucket, of_millis};
use super::{Found, Poison, Reading, Reason, Seen};
use crate::ids::hex;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What stands in front of every bucket.
const BUCKETS: &[u8] = b"/buckets/";

pub(super) fn takes(seen: &Seen<'_>) -> bool {
    seen.has(&["key", "event_type", "message"])
}

pub(super) fn read(seen: &Seen<'_>, _: &mut Reading) -> Result<Found, Poison> {
    let top = seen.object()?;
    let path = top.need_bytes("key")?;
    let event_type = top.need_text("event_type")?;
    let message = top.node("message")?;
    let (old, new) = (message.node_if_any("old_entry")?, message.node_if_any("new_entry")?);
    let steps: Vec<(Kind, &Node<'_>, Vec<u8>)> = match event_type.as_str() {
        "create" | "update" => vec![(Kind::Created, &new, path)],
        "delete" => vec![(Kind::Removed, &old, path)],
        "rename" => {
            let parent = message.need_bytes("new_parent_path")?;
            let to = [parent.strip_suffix(b"/").unwrap_or(&parent), b"/", &new.need_bytes("name")?].concat();
            vec![(Kind::Removed, &old, path), (Kind::Created, &new, to)]
        }
        _ => return Err(Poison::new(Reason::Unknown, "/event_type")),
    };
    let events = (0..).zip(steps).filter_map(|(position, (kind, entry, path))| {
        let place = Place { position, kind, event_type: &event_type, encoding: seen.encoding };
        event(&place, entry, &path).transpose()
    });
    Ok(Found::events(events))
}

/// What an event has of its message.
struct Place<'a> {
    position: u32,
    kind: Kind,
    event_type: &'a str,
    encoding: Option<Encoding>,
}

/// The event of one path; `None` if no object stands there.
fn event(place: &Place<'_>, entry: &Node<'_>, path: &[u8]) -> Result<Option<Event>, Poison> {
    let Some(object) = path.strip_prefix(BUCKETS) else { return Ok(None) };
    let mut parts = object.splitn(2, |&b| b == b'/');
    let (Some(bucket), Some(key)) = (parts.next(), parts.next()) else { return Ok(None) };
    let is_hidden = object.split(|&b| b == b'/').any(|part| part.starts_with(b"."));
    if key.is_empty() || is_hidden || entry.flag("is_directory")? == Some(true) {
        return Ok(None);
    }
    let bad = |reason| Poison::new(reason, "/key");
    let bucket = String::from_utf8(bucket.to_vec()).map_err(|_| bad(Reason::NotUtf8))?;
    check_bucket(&bucket).map_err(bad)?;
    let attributes = entry.node_if_any("attributes")?;
    let is_created = place.kind == Kind::Created;
    let md5 = attributes.text("md5")?.and_then(|md5| STANDARD.decode(md5).ok()).map(|md5| hex(&md5));
    let event_time = attributes.count("mtime")?.and_then(|s| of_millis(s.checked_mul(1_000)?));
    // The time of an entry that goes is when it was written, which says nothing about when it went.
    let event_time = event_time.filter(|_| is_created);
    let key = Key::of(key.to_vec(), place.encoding.unwrap_or(Encoding::Plain));
    Ok(Some(Event {
        position: place.position,
        name: if is_created { "ObjectCreated:Put" } else { "ObjectRemoved:Delete" }.to_owned(),
        sent_name: place.event_type.to_owned(),
        size_bytes: attributes.count("file_size")?.filter(|_| is_created),
        etag: md5.filter(|_| is_created),
        ..Event::bare(Vendor::Seaweedfs, bucket, key, place.kind, event_time)
    }))
}
