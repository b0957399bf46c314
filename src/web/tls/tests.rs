use super::*;

/// Files of an address with a certificate of its own.
fn files(directory: &Path) -> Files {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    Files {
        certificate: file("certificate.pem", &made.cert.pem()),
        key: file("key.pem", &made.signing_key.serialize_pem()),
        clients: Clients::All,
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_setting() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (good, other) = (files(directory.path()), files(elsewhere.path()));
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "nothing\n").unwrap();
    let away = directory.path().join("away.pem");
    let with = |clients: &PathBuf| Files { clients: Clients::OnlyWith(clients.clone()), ..good.clone() };
    let not_its_key = format!("is not the key of {}", good.certificate.display());
    for (files, setting, file, why) in [
        (
            Files { certificate: empty.clone(), ..good.clone() },
            "certificate",
            &empty,
            "contains no certificate in PEM form",
        ),
        (
            Files { certificate: away.clone(), ..good.clone() },
            "certificate",
            &away,
            "No such file or directory (os error 2)",
        ),
        (Files { key: empty.clone(), ..good.clone() }, "key", &empty, "contains no key in PEM form"),
        (Files { key: away.clone(), ..good.clone() }, "key", &away, "No such file or directory (os error 2)"),
        (Files { key: other.key.clone(), ..good.clone() }, "key", &other.key, not_its_key.as_str()),
        (with(&empty), "client_ca", &empty, "contains no certificate in PEM form"),
        (with(&away), "client_ca", &away, "No such file or directory (os error 2)"),
    ] {
        let error = Tls::load(files).unwrap_err();
        assert_eq!(error.to_string(), format!("{setting}: {}: {why}", file.display()));
    }
    Tls::load(Files { clients: Clients::With(other.certificate), ..good }).unwrap();
}

#[test]
fn a_bad_file_at_a_reload_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let tls = Tls::load(files(directory.path())).unwrap();
    let config = || Arc::clone(&tls.current.read().unwrap());
    let before = config();
    std::fs::write(directory.path().join("key.pem"), "").unwrap();
    tls.reload().unwrap_err();
    assert!(Arc::ptr_eq(&before, &config()));
    files(directory.path());
    tls.reload().unwrap();
    assert!(!Arc::ptr_eq(&before, &config()));
}
