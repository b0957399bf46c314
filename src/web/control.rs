//! The control socket: the same API for operators on this host, who need no key.
//!
//! The kernel says which user is at the other end (`SO_PEERCRED`). Root and the server's own user are let in, with every
//! permission and named `control:uid=<uid>`; everybody else's connection is closed.

use super::Caller;
use super::listen::{ListenError, Wires, pause};
use axum::Router;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// Where the socket is and what is served there, [finished](super::edge::finish).
#[derive(Debug)]
pub struct Control {
    /// Its directory exists and belongs to the server's user.
    pub path: PathBuf,
    /// What is served.
    pub router: Router,
}

/// A socket that exists, until dropped.
#[derive(Debug)]
pub(super) struct Bound(PathBuf);

impl Drop for Bound {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(%error, "control socket was gone already");
        }
    }
}

pub(super) fn start(control: Control, wires: &Wires) -> Result<Bound, ListenError> {
    let Control { path, router } = control;
    let named = |source| ListenError { place: path.display().to_string(), source };
    let listener = bind(&path).map_err(named)?;
    wires.spawn(accept(listener, router, wires.clone()));
    Ok(Bound(path))
}

/// Binds, removing what a server that was killed left behind, but never a socket that answers or any other file.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server answers there"));
            }
            std::fs::remove_file(path)?;
        }
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    // So that others hear "permission denied" at once; who may is decided by their credentials all the same.
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn accept(listener: UnixListener, router: Router, wires: Wires) {
    let places = wires.places();
    let own = rustix::process::geteuid().as_raw();
    while let Some(place) = wires.place(&places).await {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = wires.stop.cancelled() => return,
        };
        match accepted.and_then(|(stream, _)| Ok((stream.peer_cred()?.uid(), stream))) {
            Ok((uid, stream)) if is_operator(uid, own) => {
                wires.serve(stream, router.clone(), Caller::control(uid), place);
            }
            Ok((uid, _)) => tracing::warn!(uid, "control socket closed to a user who is no operator"),
            Err(error) => pause(&error).await,
        }
    }
}

const fn is_operator(uid: u32, own: u32) -> bool {
    uid == 0 || uid == own
}

#[cfg(test)]
mod tests {
    use super::{bind, is_operator};

    #[test]
    fn root_and_the_servers_own_user_are_operators_and_nobody_else() {
        assert!(is_operator(0, 998) && is_operator(998, 998));
        assert!(!is_operator(1000, 998) && !is_operator(65534, 0));
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_a_live_one_and_other_files_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        drop(bind(&path).unwrap());
        let live = bind(&path).unwrap();
        assert_eq!(bind(&path).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
        drop(live);
        let file = directory.path().join("precious");
        std::fs::write(&file, "kept").unwrap();
        assert_eq!(bind(&file).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    }
}
