//! Who the command line runs as: never somebody whose files the server could not write.

use crate::processes::{Installation, Store, each_store, is_available};
use crate::programs;
use crate::stores;
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

/// Commands that only look.
const READING: [&[&str]; 12] = [
    &["deliveries", "list"],
    &["deliveries", "show", "0197f0a0-0000-7000-8000-000000000001"],
    &["trace", "0197f0a0-0000-7000-8000-000000000001"],
    &["jobs", "list"],
    &["jobs", "show", "1"],
    &["held", "list"],
    &["queues", "list"],
    &["keys", "list"],
    &["modules", "list"],
    &["log", "tail", "rows.hydrastor_alert"],
    &["verify"],
    &["verify", "--repair"],
];

#[test]
fn looking_at_a_fresh_host_makes_nothing_there() {
    if !is_root() {
        return;
    }
    let installation = Installation::new(None, "", &programs::modules());
    let state = installation.state();
    for exists in [true, false] {
        for arguments in READING {
            let ended = installation.command().args(arguments).output().unwrap();
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!(ended.status.code(), Some(3), "{arguments:?}: {said}");
            assert!(said.contains("there is no store"), "{arguments:?}: {said}");
        }
        if exists {
            assert_eq!(fs::read_dir(&state).unwrap().count(), 0, "it is as empty as before");
            fs::remove_dir(&state).unwrap();
        }
    }
    assert!(!state.exists());
    let key = ["keys", "create", "--name", "ops", "--grant", "read"];
    let ended = installation.command().args(key).output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "whose would it be? {}", String::from_utf8_lossy(&ended.stderr));
    assert!(!state.exists());
    installation.make_directory(&state);
    installation.start().stop();
    assert!(installation.command().args(["jobs", "list"]).output().unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_at_an_empty_database_makes_no_schema_there() {
    let Some(server) = stores::postgres() else { return };
    stores::with_empty_database(&server, |url| async {
        tokio::task::block_in_place(|| {
            let installation = Installation::new(Some(url), "", &programs::modules());
            for arguments in READING {
                let ended = installation.command().args(arguments).output().unwrap();
                assert_eq!(
                    ended.status.code(),
                    Some(3),
                    "{arguments:?}: {}",
                    String::from_utf8_lossy(&ended.stderr)
                );
            }
            let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
            assert_eq!(installation.store.count(tables), 0);
            assert_eq!(fs::read_dir(installation.state()).unwrap().count(), 0);
        });
    })
    .await;
}
