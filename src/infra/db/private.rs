//! Files that nobody but their owner may read: they hold keys, mails and what was made of them.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Permissions of the group and of everybody else.
const OTHERS: u32 = 0o077;

/// Makes a file that only its owner may read, or closes an existing one to others.
///
/// # Errors
/// What the system reports. A file that is not ours and open to others, or closed to us, is refused with the command that mends
/// it.
pub fn file(path: &Path) -> io::Result<()> {
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    close(opened, path, 0o600)
}

/// As [`file`], if it exists.
///
/// # Errors
/// As [`file`].
pub fn existing_file(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => file(path),
    }
}

/// Closes an existing directory to others.
///
/// # Errors
/// As [`file`].
pub fn directory(path: &Path) -> io::Result<()> {
    close(File::open(path), path, 0o700)
}

fn close(opened: io::Result<File>, path: &Path, mode: u32) -> io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(path.metadata().map_or(error, |found| refusal(path, mode, &found)));
        }
        opened => opened?,
    };
    let found = file.metadata()?;
    if found.mode() & OTHERS == 0 {
        return Ok(());
    }
    if found.uid() != own {
        return Err(refusal(path, mode, &found));
    }
    file.set_permissions(Permissions::from_mode(found.mode() & 0o7777 & !OTHERS))
}

fn refusal(path: &Path, mode: u32, found: &Metadata) -> io::Error {
    let (own, place) = (rustix::process::geteuid().as_raw(), path.display());
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!(
            "belongs to user {} with mode {:04o}, but must be private to user {own}; as root: chown {own} {place} && chmod {mode:04o} {place}",
            found.uid(),
            found.mode() & 0o7777
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::{directory, existing_file, file};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_ours_is_made_private_and_its_contents_stay() {
        let directory_ = tempfile::tempdir().unwrap();
        let path = directory_.path().join("state.db");
        existing_file(&path).unwrap();
        assert!(!path.exists());
        file(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        fs::write(&path, "contents").unwrap();
        for wide in [0o644, 0o666, 0o640, 0o604] {
            fs::set_permissions(&path, Permissions::from_mode(wide)).unwrap();
            existing_file(&path).unwrap();
            assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o600, b"contents".to_vec()));
        }
        fs::set_permissions(directory_.path(), Permissions::from_mode(0o755)).unwrap();
        directory(directory_.path()).unwrap();
        assert_eq!(mode(directory_.path()), 0o700);
    }
}
