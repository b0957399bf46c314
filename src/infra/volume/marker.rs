//! What says which volume a place is: the file or object `.headworks-volume` at its root.

use super::error::{Fault, VolumeErrorKind};
use uuid::Uuid;

/// Name of the marker in the volume's root.
pub(super) const NAME: &str = ".headworks-volume";
/// Longest marker that is read.
pub(super) const LIMIT_BYTES: u64 = 4096;
/// First line of a marker; the id and the name of the volume follow, one a line.
const FORMAT: &str = "headworks-volume/1";

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub id: Uuid,
    pub volume: String,
}

impl Marker {
    /// A new one.
    pub fn fresh(volume: &str) -> Self {
        Self { id: Uuid::new_v4(), volume: volume.to_owned() }
    }

    /// Reads one. Never panics; anything else is [`VolumeErrorKind::Corrupt`].
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let marker = std::str::from_utf8(bytes).ok().and_then(Self::parse);
        marker.ok_or_else(|| Fault::new(VolumeErrorKind::Corrupt, "not a marker of version 1").at(NAME))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let format = lines.next()?;
        let id = lines.next()?.parse().ok()?;
        let volume = lines.next()?.to_owned();
        (format == FORMAT && lines.next().is_none()).then_some(Self { id, volume })
    }

    pub fn text(&self) -> String {
        format!("{FORMAT}\n{}\n{}\n", self.id, self.volume)
    }

    /// Its id, if it is that of `volume` and the registered one.
    pub fn check(&self, volume: &str, registered: Option<Uuid>) -> Result<Uuid, Fault> {
        let registered = registered.unwrap_or(self.id);
        if self.id == registered && self.volume == volume {
            return Ok(self.id);
        }
        let detail = format!(
            "the marker is of {} {}, registered is {volume} {registered}; is the right file system mounted, or the right \
             bucket named?",
            self.volume, self.id
        );
        Err(Fault::new(VolumeErrorKind::Foreign, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::Marker;
    use uuid::Uuid;

    #[test]
    fn a_marker_reads_back_as_written() {
        let marker = Marker { id: Uuid::from_u128(7), volume: "inbox".into() };
        assert_eq!(Marker::parse(&marker.text()), Some(marker));
        for odd in [&b"headworks-volume/2\n"[..], b"", b"\xff\xfe", b"headworks-volume/1\nx\ny\n"] {
            assert!(Marker::read(odd).is_err());
        }
    }
}
