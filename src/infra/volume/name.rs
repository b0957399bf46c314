/// Name of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VolumeName {
    /// What arrived, split into parts, sealed.
    Inbox,
    /// Copies of originals.
    Archive,
}

impl VolumeName {
    /// Every name.
    pub const ALL: [Self; 2] = [Self::Inbox, Self::Archive];

    /// The word in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Archive => "archive",
        }
    }
}
