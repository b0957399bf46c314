//! The MinIO to test against: `HEADWORKS_TEST_MINIO` has its endpoint, root user and password, separated by blanks.

use super::super::{Checksums, Encryption, Login, ObjectStore, Settings};
use std::io::Write;
use std::sync::OnceLock;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Runs the tasks of clients; plain test threads wait for them.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
}

/// A store at `endpoint`.
pub fn settings(endpoint: &str, id: &str, secret: &str) -> Settings {
    Settings {
        name: "main".into(),
        endpoint: Some(endpoint.to_owned()),
        region: "us-east-1".into(),
        path_style: true,
        ca: None,
        login: Login::Key { id: id.to_owned(), secret: secret.to_owned(), session_token: None },
        checksums: Checksums::Always,
        encryption: Encryption::None,
    }
}

/// A client, made where tasks can run.
pub fn client(settings: Settings) -> ObjectStore {
    let _guard = runtime().enter();
    ObjectStore::new(settings).unwrap()
}

/// How to reach the MinIO; `None` where there is none, which is said.
pub fn of_environment() -> Option<Settings> {
    let given = std::env::var("HEADWORKS_TEST_MINIO").unwrap_or_default();
    let mut words = given.split_whitespace();
    if let (Some(endpoint), Some(user), Some(password)) = (words.next(), words.next(), words.next()) {
        return Some(settings(endpoint, user, password));
    }
    let required = std::env::var("HEADWORKS_TEST_REQUIRE").unwrap_or_default();
    let is_required = required.split([',', ' ']).any(|backend| backend == "minio");
    assert!(!is_required, "minio is required and HEADWORKS_TEST_MINIO is not set");
    // Past the capture of passing tests' output: what was not tried is always seen.
    std::io::stderr().write_all(b"skipped: needs minio, missing: HEADWORKS_TEST_MINIO\n").unwrap();
    None
}

/// A client and a new bucket of its own.
pub fn fresh_bucket() -> Option<(ObjectStore, String)> {
    let store = client(of_environment()?);
    let bucket = format!("test-{}", Uuid::new_v4().simple());
    let made = store.0.client.create_bucket().bucket(&bucket).send();
    runtime().block_on(made).unwrap();
    Some((store, bucket))
}
