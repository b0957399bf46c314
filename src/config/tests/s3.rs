//! `[s3.NAME]` and volumes in a bucket: each mistake has its place, and secrets stay hidden.

use super::super::{S3Checksums, S3Login, VolumePlace, schema};
use super::Setup;
use crate::ids::VolumeName;
use std::path::Path;

#[test]
fn a_volume_in_a_bucket_has_nothing_of_a_directory() {
    let setup = Setup::new(
        "[s3.main]\nendpoint = 'http://127.0.0.1:9000'\naccess_key = 'a'\nsecret_key = 'b'\nca_ = 1\n",
    );
    assert!(setup.mistakes().contains("s3.main.ca_: unknown key"), "{}", setup.mistakes());
    setup.rewrite(
        "[s3.main]\nendpoint = 'http://127.0.0.1:9000'\naccess_key = 'a'\nsecret_key = 'b'\n\
         [volume.inbox]\nkind = 's3'\ns3 = 'main'\nbucket = 'hw'\nprefix = 'in/box'\n",
    );
    let loaded = setup.load().unwrap_or_else(|errors| panic!("{errors}"));
    let config = loaded.config();
    let inbox = config.volume.get(VolumeName::Inbox);
    assert_eq!(inbox.place(), VolumePlace::S3 { store: "main", bucket: "hw", prefix: "in/box" });
    assert_eq!((inbox.directory(), inbox.min_free_bytes), (None, None));
    assert_eq!(inbox.place().to_string(), "s3.main: hw/in/box");
    let store = config.s3.values().next().unwrap();
    assert_eq!((store.login(), store.region(), store.has_path_style()), (S3Login::Key, "us-east-1", true));
    assert_eq!(store.checksums.unwrap_or_default(), S3Checksums::Always);
    let archive = config.volume.get(VolumeName::Archive);
    assert_eq!(archive.directory(), Some(Path::new("/var/lib/headworks/archive")), "the others stay");
    let again = Setup::new(&loaded.print(true).replace("\"***\"", "\"b\""));
    assert_eq!(again.load().unwrap_or_else(|errors| panic!("{errors}")).config(), config);
}

#[test]
fn the_environment_can_move_a_volume_into_a_bucket() {
    let setup = Setup::new("[s3.main]\nlogin = 'environment'\n")
        .env("HEADWORKS__VOLUME__BLOBS__KIND", "s3")
        .env("HEADWORKS__VOLUME__BLOBS__S3", "main")
        .env("HEADWORKS__VOLUME__BLOBS__BUCKET", "hw");
    let loaded = setup.load().unwrap_or_else(|errors| panic!("{errors}"));
    let place = loaded.config().volume.get(VolumeName::Blobs).place();
    assert_eq!(place, VolumePlace::S3 { store: "main", bucket: "hw", prefix: "" });
}

#[test]
fn every_mistake_in_a_store_or_its_volumes_has_its_place() {
    let setup = Setup::new(
        "[s3.main]\nendpoint = 'minio:9000'\nregion = ''\naccess_key = 'a'\nprofile = 'p'\nsse_key = 'k'\n\
         [s3.plain]\nendpoint = 'http://minio:9000'\nca = 'ca.pem'\nlogin = 'profile'\n\
         [s3.path]\nendpoint = 'https://minio/path'\nlogin = 'instance_role'\n\
         [volume.inbox]\nkind = 's3'\ns3 = 'mian'\nbucket = 'a/b'\nprefix = '/x'\npath = 'inbox'\n\
         [volume.archive]\nkind = 's3'\ns3 = 'main'\nbucket = 'hw'\nprefix = 'a'\n\
         [volume.blobs]\nkind = 's3'\ns3 = 'main'\nbucket = 'hw'\n",
    );
    insta::assert_snapshot!(setup.mistakes());
}

#[test]
fn every_wrong_word_of_a_store_is_told() {
    let setup = Setup::new(
        "[s3.main]\nlogin = 'keys'\nchecksums = 'never'\nsse = 'AES'\n[s3.Bad]\n[volume.inbox]\nkind = 's4'\n",
    );
    insta::assert_snapshot!(setup.mistakes());
}

#[test]
fn keys_are_used_and_never_shown() {
    const MARKER: &str = "marker5e37";
    let setup = Setup::new("");
    std::fs::write(setup.path().join("secret"), format!("{MARKER}\n")).unwrap();
    setup.rewrite(&format!(
        "[s3.main]\naccess_key = 'a'\nsecret_key_file = '{}/secret'\nsession_token = '{MARKER}'\nca = 'ca.pem'\n",
        setup.path().display()
    ));
    let loaded = setup.load().unwrap_or_else(|errors| panic!("{errors}"));
    let store = loaded.config().s3.values().next().unwrap();
    for secret in [&store.secret_key, &store.session_token] {
        assert_eq!(secret.as_ref().unwrap().reveal(), MARKER);
    }
    assert_eq!(
        store.ca.as_deref(),
        Some(Path::new("/var/lib/headworks/ca.pem")),
        "below the state directory"
    );
    let shown = format!("{store:?} {} {} {}", loaded.print(true), loaded.print(false), schema());
    assert!(!shown.contains(MARKER), "{shown}");
    assert!(shown.contains("session_token = \"***\""), "{shown}");
    let wrong =
        Setup::new(&format!("[s3.main]\naccess_key = 'a'\nsecret_key = ['{MARKER}']\nsecret = '{MARKER}'"));
    assert!(!wrong.mistakes().contains(MARKER), "{}", wrong.mistakes());
}
