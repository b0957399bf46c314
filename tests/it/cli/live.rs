//! `config check --live`: checks what the configuration names without changing it.

use super::*;
use crate::processes::each_store;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;

pub const CHECK: [&str; 4] = ["config", "check", "--live", "--json"];

/// Name of each check, whether it failed, and its remark.
pub fn lines(ended: &Output) -> Vec<(String, bool, String)> {
    let said = String::from_utf8(ended.stdout.clone()).unwrap();
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| line[field].as_str().unwrap().to_owned();
        assert!(!text("place").is_empty(), "{line}");
        (text("check"), text("state") == "failed", text("detail"))
    };
    said.lines().map(line).collect()
}

fn failures(ended: &Output) -> BTreeMap<String, String> {
    lines(ended).into_iter().filter(|line| line.1).map(|(what, _, detail)| (what, detail)).collect()
}

/// Every file below a directory, with its length and when it was changed.
fn files(directory: &Path) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let (path, about) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
        if about.is_dir() {
            found.extend(files(&path));
        }
        found.push((path, about.len(), about.modified().unwrap()));
    }
    found.sort();
    found
}

#[test]
fn before_the_first_start_nothing_fails_and_nothing_is_created() {
    let shell = Shell::new(None);
    let ended = shell.run(&CHECK);
    assert_eq!((ended.status.code(), failures(&ended)), (Some(0), BTreeMap::new()));
    let checks: Vec<_> = lines(&ended).into_iter().map(|line| line.0).collect();
    assert_eq!(
        checks,
        ["state", "tmp", "store", "store", "inbox", "blobs", "archive", "spool", "modules", "listen"]
    );
    assert!(!shell.site.state().exists());
    let shown = shell.says(&["config", "check", "--live"]);
    assert!(shown.lines().filter(|line| line.trim().starts_with("ok")).count() == 10, "{shown}");
}

#[test]
fn what_a_server_made_is_found_beside_it_and_after_it_and_left_as_it_is() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("[[listen]]\naddress = \"127.0.0.1:{port}\"\ndoors = [\"api\"]\n");
    let shell = Shell { site: Site::new(None, &listen), postgres: None };
    let served = shell.with_mails();
    let beside = shell.run(&CHECK);
    assert_eq!((beside.status.code(), failures(&beside)), (Some(0), BTreeMap::new()));
    let remark = |ended: &Output, what: &str| {
        lines(ended).into_iter().find(|line| line.0 == what).map(|line| line.2).unwrap()
    };
    assert_eq!(remark(&beside, "listen"), "in use by the server of this configuration");
    assert!(remark(&beside, "store").starts_with("schema "));
    let spool = Spool::open(&shell.site.state().join("spool"), None).unwrap();
    assert_eq!(remark(&beside, "spool"), format!("id {}", spool.id()));
    assert!(remark(&beside, "inbox").starts_with("marker "));

    assert_eq!(served.stop(), Some(0));
    let before = files(&shell.site.state());
    let after = shell.run(&CHECK);
    assert_eq!((after.status.code(), remark(&after, "listen").as_str()), (Some(0), "free"));
    assert_eq!(files(&shell.site.state()), before);
}

#[test]
fn every_failure_is_reported() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = "[[listen]]\naddress = \"127.0.0.1:0\"\ndoors = [\"api\"]\n";
    let shell = Shell { site: Site::new(None, listen), postgres: None };
    let served = shell.serve();
    assert_eq!(shell.exit(&["jobs", "list"]), 0);
    assert_eq!(served.stop(), Some(0));
    let state = shell.site.state();
    std::fs::remove_file(state.join("inbox/.headworks-volume")).unwrap();
    std::fs::rename(state.join("spool"), state.join("elsewhere")).unwrap();
    std::fs::write(state.join("results.db"), "no database\n".repeat(1000)).unwrap();
    let modules = crate::programs::modules();
    shell.site.edit(&format!("program = {modules:?}"), "program = \"/nowhere/headworks-modules\"");
    shell.site.edit("127.0.0.1:0", &stranger.local_addr().unwrap().to_string());
    let ended = shell.run(&CHECK);
    assert_eq!(ended.status.code(), Some(1));
    let told = failures(&ended);
    assert_eq!(told.keys().collect::<Vec<_>>(), ["inbox", "listen", "modules", "spool", "store"], "{told:?}");
    assert!(told["inbox"].contains("is it mounted?"), "{told:?}");
    assert!(told["listen"].contains("in use"), "{told:?}");
    assert!(told["modules"].contains("/nowhere/headworks-modules"), "{told:?}");
    assert!(told["store"].contains("not a database"), "{told:?}");
    std::fs::remove_file(state.join("results.db")).unwrap();
    assert!(failures(&shell.run(&CHECK))["store"].contains("is missing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_of_either_store_is_compared_with_that_of_the_program() {
    each_store(|postgres| {
        let shell = Shell { site: Site::new(postgres.clone(), LISTEN), postgres: None };
        let secret = shell.site.directory.path().join("url");
        std::fs::write(&secret, postgres.clone().unwrap_or_default()).unwrap();
        let run = |arguments: &[&str]| {
            let mut command = shell.command(arguments);
            if postgres.is_some() {
                command.env("HEADWORKS__STORE__URL_FILE", &secret);
            }
            command.output().unwrap()
        };
        assert!(run(&["migrate"]).status.success());
        let good = run(&CHECK);
        assert_eq!((good.status.code(), failures(&good)), (Some(0), BTreeMap::new()));
        assert_eq!(lines(&good).iter().any(|line| line.0 == "secret"), postgres.is_some());

        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                     SELECT 9999, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1";
        let layers = shell.site.layers();
        tokio::runtime::Handle::current().block_on(async {
            let config = headworks::config::load(&layers).unwrap();
            let db = headworks::app::open_store(config.config()).await.unwrap();
            crate::execute(&db, newer).await;
            db.close().await;
        });
        let ended = run(&CHECK);
        assert_eq!(ended.status.code(), Some(1));
        assert!(failures(&ended)["store"].contains("migration 9999"), "{ended:?}");

        if postgres.is_some() {
            std::fs::write(&secret, "postgres://user:MARKER@127.0.0.1:1/none").unwrap();
            let away = run(&CHECK);
            assert!(failures(&away).contains_key("store") && !format!("{away:?}").contains("MARKER"));
            std::fs::remove_file(&secret).unwrap();
            let unreadable = run(&CHECK);
            assert_eq!(unreadable.status.code(), Some(2));
            assert!(String::from_utf8_lossy(&unreadable.stderr).contains("/url"), "{unreadable:?}");
        }
    })
    .await;
}
