//! The file that says which volume a directory is.

use super::super::error::{Fault, VolumeErrorKind};
use super::super::marker::{LIMIT_BYTES, Marker, NAME};
use super::super::{Placed, Source};
use super::{READ, put};
use rustix::fd::OwnedFd;
use rustix::fs::Mode;
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use uuid::Uuid;

/// The id of the volume in `root`: the one on its marker, or a new one where there is no marker and none is registered.
pub(super) fn check_or_create(
    root: &OwnedFd,
    nameless: bool,
    volume: &str,
    registered: Option<Uuid>,
) -> Result<Uuid, Fault> {
    if let Some(marker) = read(root)? {
        return marker.check(volume, registered);
    }
    if let Some(id) = registered {
        let detail = format!("no marker {NAME}, registered is {id}; is it mounted?");
        return Err(Fault::new(VolumeErrorKind::Foreign, detail));
    }
    let fresh = Marker::fresh(volume);
    match put::put_in(root, NAME, nameless, Source::Bytes(fresh.text().as_bytes()), true)? {
        Placed::New(_) | Placed::Same(_) => {
            super::sync(root)?;
            Ok(fresh.id)
        }
        // Another process was first; its marker counts.
        Placed::Other { .. } => match read(root)? {
            Some(marker) => marker.check(volume, None),
            None => Err(Fault::new(VolumeErrorKind::Foreign, "the marker vanished").at(NAME)),
        },
    }
}

fn read(root: &OwnedFd) -> Result<Option<Marker>, Fault> {
    let flags = READ | rustix::fs::OFlags::NOFOLLOW;
    let file = match rustix::fs::openat(root, NAME, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        opened => File::from(opened.map_err(|errno| Fault::from(errno).at(NAME))?),
    };
    let mut bytes = Vec::new();
    file.take(LIMIT_BYTES).read_to_end(&mut bytes)?;
    Marker::read(&bytes).map(Some)
}

#[cfg(test)]
mod tests {
    use super::Marker;
    use crate::infra::volume::{Volume, VolumeErrorKind};
    use uuid::Uuid;

    #[test]
    fn first_use_makes_a_marker_and_later_use_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("new/inbox");
        let first = Volume::open("inbox", &root, None).unwrap();
        assert_eq!(Volume::open("inbox", &root, None).unwrap().id(), first.id());
        assert_eq!(Volume::open("inbox", &root, Some(first.id())).unwrap().id(), first.id());
    }

    #[test]
    fn an_unmounted_directory_is_refused_and_stays_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let registered = Uuid::from_u128(7);
        let error = Volume::open("inbox", dir.path(), Some(registered)).unwrap_err();
        assert_eq!(error.kind, VolumeErrorKind::Foreign);
        assert!(error.source.to_string().contains(&registered.to_string()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let error = Volume::open("inbox", &dir.path().join("gone"), Some(registered)).unwrap_err();
        assert_eq!(error.kind, VolumeErrorKind::Foreign);
    }

    #[test]
    fn the_marker_of_another_volume_is_refused_with_both_ids() {
        let dir = tempfile::tempdir().unwrap();
        let there = Volume::open("inbox", dir.path(), None).unwrap().id();
        let registered = Uuid::from_u128(7);
        let error = Volume::open("inbox", dir.path(), Some(registered)).unwrap_err();
        assert_eq!(error.kind, VolumeErrorKind::Foreign);
        let detail = error.source.to_string();
        assert!(detail.contains(&there.to_string()) && detail.contains(&registered.to_string()), "{detail}");
        assert_eq!(Volume::open("keep", dir.path(), None).unwrap_err().kind, VolumeErrorKind::Foreign);
    }

    #[test]
    fn an_open_volume_notices_that_its_marker_is_another_one_or_gone() {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::open("inbox", dir.path(), None).unwrap();
        volume.check().unwrap();
        let marker = dir.path().join(super::NAME);
        std::fs::remove_file(&marker).unwrap();
        assert_eq!(volume.check().unwrap_err().kind, VolumeErrorKind::Foreign);
        assert!(!marker.exists(), "a check makes none");
        std::fs::write(&marker, Marker { id: Uuid::from_u128(7), volume: "inbox".into() }.text()).unwrap();
        assert_eq!(volume.check().unwrap_err().kind, VolumeErrorKind::Foreign);
    }

    #[test]
    fn an_unreadable_marker_is_corrupt() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(super::NAME), "something else").unwrap();
        assert_eq!(Volume::open("inbox", dir.path(), None).unwrap_err().kind, VolumeErrorKind::Corrupt);
    }

    #[test]
    fn two_processes_that_use_a_directory_first_agree_on_its_id() {
        for _ in 0..50 {
            let dir = tempfile::tempdir().unwrap();
            let ids: Vec<Uuid> = std::thread::scope(|scope| {
                let open = || Volume::open("inbox", dir.path(), None).unwrap().id();
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        }
    }
}
