//! The control socket: the API for operators on this host, without a key.
//!
//! The kernel says which user is at the other end (`SO_PEERCRED`). Root and the server's own user are let in, with every
//! permission and named `control:uid=<uid>`; everybody else's connection is closed.
//!
//! A socket belongs to one process at a time: a dead process' socket is replaced, a live one never, and a process removes
//! only its own at its end.

use super::Caller;
use super::listen::{Connections, ListenError, pause};
use super::places::Place;
use axum::Router;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Where the socket is and what is served there, [finished](super::edge::finish).
#[derive(Debug)]
pub struct Control {
    /// Path of the socket; its directory must exist and belong to the server's user.
    pub path: PathBuf,
    /// What is served.
    pub router: Router,
}

/// A bound socket. Dropping it removes the name first, while it still answers: later the name could be another's.
#[derive(Debug)]
struct Bound {
    path: PathBuf,
    listener: UnixListener,
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket was removed already");
        }
    }
}

pub(super) fn start(control: Control, connections: &Connections) -> Result<(), ListenError> {
    let Control { path, router } = control;
    let named = |source| ListenError { place: path.display().to_string(), source };
    let bound = bind(&path).map_err(named)?;
    connections.spawn(accept(bound, router, connections.clone()));
    Ok(())
}

/// Binds, replacing the socket of a killed server, but never one that answers or any other file. Servers that start at the
/// same time do this one after the other.
fn bind(path: &Path) -> io::Result<Bound> {
    let directory = File::open(path.parent().unwrap_or(Path::new(".")))?;
    directory.lock()?;
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                let why =
                    "another server answers there; each server on a host needs its own server.control_socket";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
            }
            std::fs::remove_file(path)?;
        }
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file is not a socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    // Gives other users "permission denied" at once; the check of credentials decides in any case.
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(Bound { path: path.to_owned(), listener })
}

async fn accept(bound: Bound, router: Router, connections: Connections) {
    let places = Arc::new(Semaphore::new(connections.most()));
    let own = rustix::process::geteuid().as_raw();
    loop {
        let accepted = tokio::select! {
            accepted = waiting(&bound.listener, &places) => accepted,
            () = connections.stop.cancelled() => return,
        };
        match accepted.and_then(|(stream, place)| Ok((stream.peer_cred()?.uid(), stream, place))) {
            Ok((uid, stream, place)) if is_operator(uid, own) => {
                connections.serve(stream, router.clone(), Caller::control(uid), Arc::new(place));
            }
            Ok((uid, ..)) => {
                tracing::warn!(uid, "connection to the control socket refused: the user is not an operator")
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// The next connection, once there is a place for it.
async fn waiting(listener: &UnixListener, places: &Arc<Semaphore>) -> io::Result<(UnixStream, Place)> {
    let permit = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, Place::control(permit)))
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
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let live = bind(&path).unwrap();
        let refused = bind(&path).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
        assert!(refused.to_string().contains("server.control_socket"));
        drop(live);
        assert!(!path.exists(), "it goes with its server");
        let file = directory.path().join("precious");
        std::fs::write(&file, "kept").unwrap();
        assert_eq!(bind(&file).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    }
}
