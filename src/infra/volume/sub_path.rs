//! Where something is inside a volume.

use std::fmt;
use std::str::FromStr;

/// A path inside a volume: components joined by `/`, or the root, which is empty and shown as `.`.
///
/// It cannot leave the volume: no component is empty, `.` or `..`, or holds `/`, NUL or another control character; none
/// is longer than 255 bytes, and none starts with `.headworks-`, which is the volume's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubPath(String);

/// Names with this prefix are the volume's own (marker, staged files): never listed, never addressed from outside.
pub(super) const OWN_PREFIX: &str = ".headworks-";

/// A text that is no [`SubPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be a path inside a volume")]
pub struct BadSubPath(String);

impl SubPath {
    const MAX_COMPONENT_BYTES: usize = 255;

    /// The volume itself.
    #[must_use]
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// Whether this is the volume itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path as stored in the database; the root is empty.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of `name` in this directory. `name` may itself be several components.
    ///
    /// # Errors
    /// When a component is not allowed.
    pub fn join(&self, name: &str) -> Result<Self, BadSubPath> {
        if name.is_empty() {
            return Err(BadSubPath(name.to_owned()));
        }
        if self.is_root() { name.parse() } else { format!("{}/{name}", self.0).parse() }
    }

    /// The directory this is in; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(Self(self.0.rsplit_once('/').map_or(String::new(), |(parent, _)| parent.to_owned())))
    }

    /// The last component; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The directories above this, nearest first, the root last.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// Whether this is somewhere inside `directory`.
    #[must_use]
    pub fn is_below(&self, directory: &Self) -> bool {
        match self.0.strip_prefix(&directory.0) {
            Some(rest) if directory.is_root() => !rest.is_empty(),
            Some(rest) => rest.starts_with('/'),
            None => false,
        }
    }
}

fn is_component(text: &str) -> bool {
    (1..=SubPath::MAX_COMPONENT_BYTES).contains(&text.len())
        && text != "."
        && text != ".."
        && !text.starts_with(OWN_PREFIX)
        && !text.contains(|c: char| c.is_control())
}

impl FromStr for SubPath {
    type Err = BadSubPath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = text.is_empty() || text.split('/').all(is_component);
        if fits { Ok(Self(text.to_owned())) } else { Err(BadSubPath(text.to_owned())) }
    }
}

impl fmt::Display for SubPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "." } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::SubPath;
    use proptest::prelude::*;

    #[test]
    fn nothing_that_could_leave_the_volume_is_a_path() {
        for text in [
            "..",
            ".",
            "/",
            "a/",
            "/a",
            "a//b",
            "a/../b",
            "a\0b",
            "a\nb",
            ".headworks-volume",
            "a/.headworks-x",
        ] {
            assert!(text.parse::<SubPath>().is_err(), "{text:?}");
        }
        assert!("x".repeat(256).parse::<SubPath>().is_err());
        assert!("ok/Ümlaut ..x".parse::<SubPath>().is_ok());
    }

    #[test]
    fn ancestors_end_at_the_root() {
        let path: SubPath = "a/b/c".parse().unwrap();
        let above: Vec<_> = path.ancestors().map(|p| p.to_string()).collect();
        assert_eq!(above, ["a/b", "a", "."]);
        assert_eq!(path.name(), "c");
    }

    #[test]
    fn a_sibling_with_the_same_prefix_is_not_below() {
        let dir: SubPath = "a/b".parse().unwrap();
        assert!("a/b/c".parse::<SubPath>().unwrap().is_below(&dir));
        assert!(!"a/bc".parse::<SubPath>().unwrap().is_below(&dir));
        assert!(!dir.is_below(&dir));
        assert!(dir.is_below(&SubPath::root()));
    }

    proptest! {
        #[test]
        fn every_path_is_its_parent_joined_with_its_name(text in "[a-z./]{1,20}") {
            if let Ok(path) = text.parse::<SubPath>() {
                prop_assert_eq!(path.parent().unwrap().join(path.name()).unwrap(), path);
            }
        }
    }
}
