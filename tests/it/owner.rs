//! Who the command line runs as: never somebody whose files the server could not write.

use crate::processes::{Installation, Store, each_store, is_available};
use crate::programs;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;

/// A user who is neither root nor the server's.
const STRANGER: u32 = 64_321;

fn is_root() -> bool {
    let missing: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["root"] };
    is_available("root", missing)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_root_commands_is_done_as_the_owner_of_the_state_directory() {
    if !is_root() {
        return;
    }
    each_store(|postgres| {
        let installation = Installation::new(postgres, "", &programs::modules());
        let mut command = installation.command();
        let made = command.args(["keys", "create", "--name", "ops", "--grant", "read"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let files: Vec<_> =
            fs::read_dir(installation.state()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.is_empty(), matches!(installation.store, Store::Postgres(_)), "{files:?}");
        for file in files {
            assert_eq!(fs::metadata(&file).unwrap().uid(), installation.uid(), "{}", file.display());
        }
        installation.start().stop();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_the_files_of_sqlite_and_needs_none_of_postgres() {
    if !is_root() {
        return;
    }
    each_store(|postgres| {
        let installation = Installation::new(postgres, "", &programs::modules());
        let server = installation.start();
        fs::set_permissions(installation.state(), fs::Permissions::from_mode(0o700)).unwrap();
        for arguments in [&["jobs", "list"][..], &["migrate"]] {
            let mut command = installation.command();
            let ended = command.args(arguments).uid(STRANGER).gid(STRANGER).output().unwrap();
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            match installation.store {
                Store::Sqlite(_) => {
                    assert_eq!(ended.status.code(), Some(4), "{said}");
                    assert!(said.contains("user or as root"), "{said}");
                }
                Store::Postgres(_) => assert_eq!(ended.status.code(), Some(0), "{said}"),
            }
        }
        let mut repair = installation.command();
        let repair = repair.args(["verify", "--repair"]).uid(STRANGER).gid(STRANGER).output().unwrap();
        assert_eq!(repair.status.code(), Some(4), "trees are the server's, whatever the store");
        server.stop();
    })
    .await;
}
