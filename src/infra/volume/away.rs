//! A volume that cannot be had in this process, and the reason: a command, or a process whose roles touch no delivery, runs
//! on a host without it.

use super::error::{Fault, VolumeErrorKind};

/// A name and a reason.
#[derive(Debug)]
pub struct Away {
    name: String,
    why: String,
}

impl Away {
    pub(super) fn new(name: &str, why: String) -> Self {
        Self { name: name.to_owned(), why }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What everything is answered with.
    pub(super) fn fault(&self) -> Fault {
        Fault::new(VolumeErrorKind::Away, self.why.clone())
    }
}

#[cfg(test)]
mod tests {
    use crate::infra::volume::{Durable, Source, SubPath, Volume, VolumeErrorKind};

    #[test]
    fn a_volume_that_is_away_refuses_everything_and_says_why() {
        let volume = Volume::away("inbox", "nothing is mounted at /srv/inbox");
        let place: SubPath = "a/b".parse().unwrap();
        let refused = [
            volume.check(),
            volume.free().map(drop),
            volume.list(&SubPath::root()).map(drop),
            volume.open_file(&place).map(drop),
            volume.put(&place, Source::Bytes(b"x"), Durable::Now).map(drop),
            volume.remove_tree(&place).map(drop),
        ];
        for answer in refused {
            let error = answer.unwrap_err();
            assert_eq!(error.kind, VolumeErrorKind::Away);
            assert_eq!(error.volume, "inbox");
            assert_eq!(error.source.to_string(), "nothing is mounted at /srv/inbox");
        }
    }
}
