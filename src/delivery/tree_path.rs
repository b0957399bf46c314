//! How the path of a delivery's tree is built. Nothing else in headworks puts such a path together.
//!
//! ```text
//! <customer>/<category>/<type>/<group>/<YYYYMMDD_HHMMSS>[-<8 of the receipt id>]
//! _held     /<source>  /<reason>/none /<YYYYMMDD_HHMMSS>[-<8 of the receipt id>]
//! ```
//!
//! A tree that is sealed before it is accepted has the last 8 of the delivery's id instead.

use crate::ids::{Coordinates, DeliveryId, ReceiptId, Slug, Timestamp};
use crate::infra::volume::{BadSubPath, EntryKind, SubPath, Volume, VolumeError, VolumeErrorKind};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// First component of trees that wait for an operator. No customer can be registered under it.
pub const HELD: &str = "_held";
/// Components of a tree's path.
const DEPTH: u32 = 5;

/// Whose tree it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A delivery with coordinates. The caller has checked that the customer is registered.
    Delivered(Coordinates),
    /// A delivery that waits for an operator.
    Held {
        /// The configured way in.
        source: Slug,
        /// Why, for example `no_rule`.
        reason: Slug,
    },
}

impl Place {
    /// Whose tree is at `path`; `None` if it is no path of a tree.
    #[must_use]
    pub fn of(path: &SubPath) -> Option<Self> {
        let components: Vec<&str> = path.as_str().split('/').collect();
        let [first, second, third, fourth, _datetime] = components[..] else { return None };
        let slug = |text: &str| text.parse::<Slug>().ok();
        Some(if first == HELD {
            Self::Held { source: slug(second)?, reason: slug(third)? }
        } else {
            Self::Delivered(Coordinates {
                customer: slug(first)?,
                category: slug(second)?,
                type_: slug(third)?,
                group: slug(fourth)?,
            })
        })
    }
}

/// Where a tree may be: the second path is for when the first is taken by another delivery.
///
/// The clock may jump back and two mails may come in one second, so the time alone names nothing; the unique path in the
/// database does. `zone` is the configured one; `received_at` is our clock, never a header.
///
/// # Errors
/// None in practice: slugs and digits are always allowed in a path.
pub fn candidates(
    place: &Place,
    received_at: Timestamp,
    zone: &TimeZone,
    receipt: ReceiptId,
) -> Result<[SubPath; 2], BadSubPath> {
    let (parent, datetime) = (parent(place)?, datetime(received_at, zone));
    let receipt = receipt.0.simple().to_string();
    Ok([parent.join(&datetime)?, parent.join(&format!("{datetime}-{}", &receipt[..8]))?])
}

/// Path of a tree that is made before there is a row for it. The random end of the delivery's id keeps paths apart: the same
/// thing may arrive twice within a second, and no row says whose the path is.
///
/// # Errors
/// As [`candidates`].
pub fn fresh(
    place: &Place,
    received_at: Timestamp,
    zone: &TimeZone,
    delivery: DeliveryId,
) -> Result<SubPath, BadSubPath> {
    let delivery = delivery.0.simple().to_string();
    parent(place)?.join(&format!("{}-{}", datetime(received_at, zone), &delivery[24..]))
}

fn parent(place: &Place) -> Result<SubPath, BadSubPath> {
    let parent = match place {
        Place::Delivered(coordinates) => coordinates.words().join("/"),
        Place::Held { source, reason } => format!("{HELD}/{source}/{reason}/none"),
    };
    parent.parse()
}

fn datetime(at: Timestamp, zone: &TimeZone) -> String {
    at.to_jiff().to_zoned(zone.clone()).strftime("%Y%m%d_%H%M%S").to_string()
}

/// Visits every directory of `volume` that is where a tree would be, in order of path.
///
/// # Errors
/// Whatever the volume or `visit` reports; the walk ends there.
pub fn each_tree(
    volume: &Volume,
    visit: &mut dyn FnMut(&SubPath) -> Result<(), VolumeError>,
) -> Result<(), VolumeError> {
    below(volume, &SubPath::root(), DEPTH, visit)
}

fn below(
    volume: &Volume,
    dir: &SubPath,
    levels: u32,
    visit: &mut dyn FnMut(&SubPath) -> Result<(), VolumeError>,
) -> Result<(), VolumeError> {
    if levels == 0 {
        return visit(dir);
    }
    let entries = match volume.list(dir) {
        // Removed since its name was read.
        Err(error) if error.kind == VolumeErrorKind::NotFound && !dir.is_root() => return Ok(()),
        listed => listed?,
    };
    for entry in entries {
        // A name that is no path was not made by headworks and holds no tree.
        if entry.kind == EntryKind::Dir
            && let Ok(inside) = dir.join(&entry.name)
        {
            below(volume, &inside, levels - 1, visit)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Place, candidates, each_tree};
    use crate::ids::{Coordinates, ReceiptId, Slug};
    use crate::infra::volume::Volume;
    use jiff::tz::TimeZone;
    use uuid::Uuid;

    fn coordinates() -> Coordinates {
        let slug = |text: &str| Slug::of(text);
        Coordinates {
            customer: slug("acme"),
            category: slug("hydrastor"),
            type_: slug("alert"),
            group: slug("Grid 7"),
        }
    }

    fn paths(place: &Place, zone: &TimeZone) -> [String; 2] {
        let receipt = ReceiptId(Uuid::from_u128(0x0123_4567_89ab_cdef << 64));
        let at = "2023-01-13T12:00:00.999Z".parse().unwrap();
        candidates(place, at, zone, receipt).unwrap().map(|path| path.to_string())
    }

    #[test]
    fn a_delivery_has_its_coordinates_and_its_second_in_its_path() {
        let [first, second] = paths(&Place::Delivered(coordinates()), &TimeZone::UTC);
        assert!(first.starts_with("acme/hydrastor/alert/grid_7-") && first.ends_with("/20230113_120000"));
        assert_eq!(second, format!("{first}-01234567"));
    }

    #[test]
    fn the_configured_zone_names_the_second() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        assert!(paths(&Place::Delivered(coordinates()), &zone)[0].ends_with("/20230113_210000"));
    }

    #[test]
    fn held_mail_has_source_and_reason_in_its_path() {
        let held = Place::Held { source: Slug::of("pipe"), reason: Slug::of("no_rule") };
        assert_eq!(paths(&held, &TimeZone::UTC)[0], "_held/pipe/no_rule/none/20230113_120000");
    }

    #[test]
    fn the_path_of_a_tree_tells_its_place() {
        let held = Place::Held { source: Slug::of("pipe"), reason: Slug::of("no_rule") };
        for place in [Place::Delivered(coordinates()), held] {
            for path in paths(&place, &TimeZone::UTC) {
                assert_eq!(Place::of(&path.parse().unwrap()).as_ref(), Some(&place));
            }
        }
        for other in ["acme/hydrastor/alert/grid_7", "Acme/hydrastor/alert/grid_7/20230113_120000"] {
            assert_eq!(Place::of(&other.parse().unwrap()), None, "{other}");
        }
    }

    #[test]
    fn every_tree_is_visited_and_nothing_else() {
        let volume = Volume::memory("inbox", 1_000);
        for dir in ["a/b/c/d/1", "a/b/c/d/2/inside", "_held/s/r/none/3", "a/b/c/short"] {
            volume.make_dir(&dir.parse().unwrap()).unwrap();
        }
        let mut seen = Vec::new();
        each_tree(&volume, &mut |path| {
            seen.push(path.to_string());
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, ["_held/s/r/none/3", "a/b/c/d/1", "a/b/c/d/2"]);
    }
}
