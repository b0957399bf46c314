//! A directory of a volume that is no longer what headworks made: a fault of this host, named, and never "not found".

use crate::processes::{Installation, Server, post};
use crate::programs;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Puts something else in the place of a directory.
type Damage = fn(&Path);

const DAMAGES: [(&str, &str, Damage); 4] = [
    ("bobs", "a link to where the directory is now", |directory| {
        let moved = directory.with_extension("moved");
        fs::rename(directory, &moved).unwrap();
        symlink(&moved, directory).unwrap();
    }),
    ("bobs/hydrastor", "a link to nowhere", |directory| {
        fs::rename(directory, directory.with_extension("moved")).unwrap();
        symlink("nowhere", directory).unwrap();
    }),
    ("bobs/hydrastor/system_report", "a file", |directory| {
        fs::rename(directory, directory.with_extension("moved")).unwrap();
        fs::write(directory, "not a directory").unwrap();
    }),
    ("bobs", "nothing", |directory| fs::rename(directory, directory.with_extension("moved")).unwrap()),
];

fn mend(directory: &Path) {
    match fs::symlink_metadata(directory) {
        Ok(_) => fs::remove_file(directory).unwrap(),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
    fs::rename(directory.with_extension("moved"), directory).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_became_something_else_is_damaged_storage_and_not_a_tree_that_is_missing() {
    let installation = Installation::new(None, "[queue.parse]\npaused = true\n", &programs::modules());
    let server = installation.start();
    assert_eq!(post(server.control(), b"file").unwrap().0, 202);
    let (id,): (uuid::Uuid,) = installation.store.all("SELECT id FROM delivery")[0];
    let ask = |server: &Server, path: &str| server.ask("GET", &format!("/api/1.0/deliveries/{id}{path}"));
    assert_eq!(ask(&server, "/parts/1"), Some(200));
    for (number, (directory, what, damage)) in DAMAGES.into_iter().enumerate() {
        let place = installation.state().join("inbox").join(directory);
        damage(&place);
        assert_eq!(ask(&server, "/parts/1"), Some(503), "{directory} is {what}");
        assert_eq!(
            [ask(&server, ""), ask(&server, "/trace")],
            [Some(200); 2],
            "what is known of it is shown"
        );
        let posted = post(server.control(), format!("{number}").as_bytes()).unwrap().0;
        if what == "nothing" {
            // It is made again, and the two are put together.
            assert_eq!(posted, 202);
            fs::remove_dir_all(&place).unwrap();
        } else {
            assert_eq!(posted, 503, "{directory} is {what}");
            let said = format!("damaged: {directory} is no directory");
            installation.wait_for("/readyz to name it", || {
                let is_named = server.body("/readyz?verbose")?.contains(&said);
                (is_named && server.ask("GET", "/readyz") == Some(503)).then_some(())
            });
        }
        mend(&place);
        assert_eq!(ask(&server, "/parts/1"), Some(200));
        installation.wait_for("readiness", || (server.ask("GET", "/readyz") == Some(200)).then_some(()));
    }
    server.stop();
}
