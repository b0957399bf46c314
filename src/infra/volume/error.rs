//! Why a volume could not do what was asked.

use rustix::io::Errno;
use std::fmt;
use std::io;

use super::SubPath;

/// What went wrong, as far as a caller may want to tell cases apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeErrorKind {
    /// Nothing is there.
    NotFound,
    /// Something else is there already.
    AlreadyExists,
    /// No space, no inodes or no quota left.
    Full,
    /// The system does not let this user do it, or the file system is read-only.
    Denied,
    /// The directory is not the volume it should be: marker missing or of another volume, most often unmounted.
    Foreign,
    /// This process goes without the volume.
    Away,
    /// What is there is not what headworks puts there: a symbolic link, a device, an unreadable marker.
    Corrupt,
    /// The file is longer than the caller's limit.
    TooLarge,
    /// The bytes to store could not be read from where they come from; the volume itself is well.
    Input,
    /// The object store lacks what a volume needs.
    Unsuitable,
    /// The object store does not answer, or is overloaded.
    Unreachable,
    /// Anything else the system or the object store reported.
    Io,
}

impl VolumeErrorKind {
    /// Whether the volume is at fault, and so every file of it until it is repaired; otherwise it is this file, or what was to be stored.
    #[must_use]
    pub const fn is_of_volume(self) -> bool {
        match self {
            Self::Full
            | Self::Denied
            | Self::Foreign
            | Self::Away
            | Self::Unsuitable
            | Self::Unreachable
            | Self::Io => true,
            Self::NotFound | Self::AlreadyExists | Self::Corrupt | Self::TooLarge | Self::Input => false,
        }
    }
}

impl fmt::Display for VolumeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::Full => "no space left",
            Self::Denied => "not permitted",
            Self::Foreign => "not the registered volume",
            Self::Away => "the volume is not here",
            Self::Corrupt => "not what headworks stores",
            Self::TooLarge => "too large",
            Self::Input => "bytes to store could not be read",
            Self::Unsuitable => "not suited for a volume",
            Self::Unreachable => "the object store does not answer",
            Self::Io => "input or output failed",
        })
    }
}

/// A kind, the place, and what the system said.
#[derive(Debug, thiserror::Error)]
#[error("volume {volume}: {action} {path}: {kind}")]
pub struct VolumeError {
    /// What went wrong.
    pub kind: VolumeErrorKind,
    /// Name of the volume.
    pub volume: String,
    /// Place inside the volume; `.` is its root.
    pub path: String,
    /// The operation that failed.
    pub action: &'static str,
    /// What the system said, or the detail.
    pub source: io::Error,
}

/// A [`VolumeError`] before [`Volume`](super::Volume) has added its name and the action.
#[derive(Debug)]
pub(super) struct Fault {
    pub kind: VolumeErrorKind,
    pub source: io::Error,
    /// Where it happened, if deeper than the path that was asked for.
    pub at: Option<String>,
}

impl Fault {
    pub fn new(kind: VolumeErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, source: io::Error::other(detail.into()), at: None }
    }

    /// A failure of the caller's reader.
    pub fn input(source: io::Error) -> Self {
        Self { kind: VolumeErrorKind::Input, source, at: None }
    }

    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.at.get_or_insert(place.into());
        self
    }

    pub fn with(self, volume: &str, action: &'static str, path: &SubPath) -> VolumeError {
        VolumeError {
            kind: self.kind,
            volume: volume.to_owned(),
            path: self.at.unwrap_or_else(|| path.to_string()),
            action,
            source: self.source,
        }
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        use VolumeErrorKind as Kind;
        let kind = match errno {
            Errno::NOENT => Kind::NotFound,
            Errno::EXIST | Errno::NOTEMPTY => Kind::AlreadyExists,
            Errno::NOSPC | Errno::DQUOT => Kind::Full,
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Kind::Denied,
            // openat2 says LOOP for a symbolic link and XDEV for a way out; the others are a file of the wrong type.
            Errno::LOOP | Errno::XDEV | Errno::NOTDIR | Errno::ISDIR => Kind::Corrupt,
            _ => Kind::Io,
        };
        Self { kind, source: errno.into(), at: None }
    }
}

impl From<io::Error> for Fault {
    fn from(source: io::Error) -> Self {
        match Errno::from_io_error(&source) {
            Some(errno) => Self::from(errno),
            None => Self { kind: VolumeErrorKind::Io, source, at: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, VolumeErrorKind};
    use rustix::io::Errno;

    #[test]
    fn a_full_disk_and_a_used_up_quota_are_both_full() {
        for errno in [Errno::NOSPC, Errno::DQUOT] {
            assert_eq!(Fault::from(std::io::Error::from(errno)).kind, VolumeErrorKind::Full);
        }
    }

    #[test]
    fn an_error_names_volume_action_and_place() {
        let path = "a/b".parse().unwrap();
        let error = Fault::from(Errno::NOENT).with("inbox", "read", &path);
        assert_eq!(error.to_string(), "volume inbox: read a/b: not found");
        let error = Fault::from(Errno::IO).at("a/b/c").with("inbox", "seal", &path);
        assert_eq!(error.to_string(), "volume inbox: seal a/b/c: input or output failed");
    }
}
