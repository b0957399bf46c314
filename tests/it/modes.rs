//! Who may read what headworks writes: nobody else the databases; the group the volumes, as far as it gets there.

use crate::processes::{Installation, each_store, is_available, post};
use crate::programs;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Every file and directory below one, with its mode.
fn modes(directory: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap()) {
        found.push((entry.path().display().to_string(), mode(&entry.path())));
        if entry.file_type().unwrap().is_dir() {
            found.extend(modes(&entry.path()));
        }
    }
    found
}

/// What is wrong with the modes of a state directory.
fn odd(installation: &Installation) -> Vec<(String, u32)> {
    let state = installation.state();
    let mut odd = modes(&state);
    odd.push((state.display().to_string(), mode(&state)));
    odd.retain(|(path, mode)| {
        let name = path.strip_prefix(&format!("{}/", state.display())).unwrap_or_default();
        let is_volume = ["inbox", "blobs", "archive"].iter().any(|volume| name.starts_with(volume));
        let is_tree = name.matches('/').count() >= 5;
        let is_directory = Path::new(path).is_dir();
        let wanted = match (is_volume, is_tree, is_directory) {
            (true, false, true) => 0o750,
            (true, true, true) => 0o550,
            (true, _, false) => {
                if is_tree {
                    0o440
                } else {
                    0o640
                }
            }
            // Nobody else gets past the state directory; what is written there is not for others either.
            (false, _, _) => return mode & 0o077 != 0,
        };
        // The root of a volume is made like any directory.
        *mode != wanted && name.contains('/')
    });
    odd
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_state_directory_that_everybody_may_enter_nobody_else_can_read_the_databases() {
    each_store(|postgres| {
        let installation =
            Installation::new(postgres, "[queue.parse]\npaused = true\n", &programs::modules());
        fs::set_permissions(installation.state(), Permissions::from_mode(0o755)).unwrap();
        let server = installation.start();
        assert_eq!(post(server.control(), b"file").unwrap().0, 202);
        assert_eq!(odd(&installation), []);
        server.stop();
        // As earlier versions left it.
        for entry in fs::read_dir(installation.state()).unwrap().map(|entry| entry.unwrap()) {
            let kind = entry.file_type().unwrap();
            if kind.is_file() && !kind.is_socket() {
                fs::set_permissions(entry.path(), Permissions::from_mode(0o644)).unwrap();
            }
        }
        fs::set_permissions(installation.state(), Permissions::from_mode(0o755)).unwrap();
        let mut server = installation.start();
        assert_eq!(odd(&installation), []);
        // A write-ahead log that a crash left takes its mode from then.
        server.kill();
        for name in ["state.db", "state.db-wal", "state.db-shm", "results.db", "results.db-wal"] {
            let file = installation.state().join(name);
            if file.exists() {
                fs::set_permissions(file, Permissions::from_mode(0o664)).unwrap();
            }
        }
        let server = installation.start();
        assert_eq!(odd(&installation), []);
        server.stop();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_somebody_elses_is_refused_with_the_command_that_mends_it() {
    let missing: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["root"] };
    if !is_available("root", missing) {
        return;
    }
    let installation = Installation::new(None, "", &programs::modules());
    installation.start().stop();
    for (name, wide, close) in [("state.db", 0o666, "chmod 0600"), ("results.db", 0o644, "chmod 0600")] {
        let file = installation.state().join(name);
        let owner = fs::metadata(&file).unwrap();
        chown(&file, Some(0), Some(0)).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(wide)).unwrap();
        assert_ne!(installation.launch().ended(), Some(0));
        let said = installation.last_words();
        assert!(said.contains(&format!("{close} {}", file.display())), "{said}");
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let state = installation.state();
    fs::set_permissions(&state, Permissions::from_mode(0o777)).unwrap();
    chown(&state, Some(0), Some(0)).unwrap();
    assert_ne!(installation.launch().ended(), Some(0));
    let said = installation.last_words();
    assert!(said.contains(&format!("chmod 0700 {}", state.display())), "{said}");
}
