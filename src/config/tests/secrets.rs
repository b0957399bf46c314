//! A secret can be used and never be seen.

use super::super::{Errors, Live, Loaded, schema};
use super::Setup;

const MARKER: &str = "marker5e37";
const URL: &str = "postgres://headworks:marker5e37@db/headworks";

/// Everything a configuration can say about itself.
fn outputs(loaded: &Loaded) -> String {
    let config = loaded.config();
    let url = &config.store.url;
    [
        loaded.print(false),
        loaded.print(true),
        format!("{config:?} {config:#?} {url} {url:?}"),
        serde_json::to_string(url).unwrap(),
        schema().to_string(),
    ]
    .concat()
}

fn assert_used_and_hidden(setup: &Setup) {
    let loaded = setup.load().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.config().store.url.reveal(), URL);
    let outputs = outputs(&loaded);
    assert!(!outputs.contains(MARKER), "{outputs}");
}

#[test]
fn a_secret_by_value_file_credential_or_environment_is_used_and_never_shown() {
    assert_used_and_hidden(&Setup::new(&format!("store.url = '{URL}'")));
    assert_used_and_hidden(&Setup::new("").env("HEADWORKS__STORE__URL", URL));

    let setup = Setup::new("");
    std::fs::write(setup.path().join("url"), format!("{URL}\n")).unwrap();
    setup.rewrite(&format!("store.url_file = '{}/url'", setup.path().display()));
    assert_used_and_hidden(&setup);
    let file = format!("{}/url", setup.path().display());
    assert_used_and_hidden(&Setup::new("").flag(&format!("store.url_file={file}")));
    assert_used_and_hidden(&Setup::new("").env("HEADWORKS__STORE__URL_FILE", &file));

    let mut setup = setup;
    setup.rewrite("store.url_credential = 'url'");
    setup.sources.credentials = Some(setup.path().to_path_buf());
    assert_used_and_hidden(&setup);
}

#[test]
fn print_shows_the_way_a_secret_was_given() {
    let by_value = Setup::new(&format!("store.url = '{URL}'"));
    assert!(by_value.load().unwrap_or_else(|e| panic!("{e}")).print(true).contains("url = \"***\"  # "));
    let setup = Setup::new(&format!("store.url = '{URL}'"));
    std::fs::write(setup.path().join("url"), URL).unwrap();
    let file = format!("{}/url", setup.path().display());
    let setup = setup.env("HEADWORKS__STORE__URL_FILE", &file);
    let printed = setup.load().unwrap_or_else(|e| panic!("{e}")).print(false);
    assert!(printed.contains(&format!("url_file = \"{file}\"")) && !printed.contains("url = "), "{printed}");
}

#[test]
fn no_mistake_shows_a_secret() {
    let lines = [
        format!("store.url = '{URL}"),
        format!("store.url = ['{URL}']"),
        format!("store.url = {{ a = '{URL}' }}"),
        format!("store.url = '{URL}' '{URL}'"),
        format!("store.url = '{URL}'\nstore.url = '{URL}'"),
        format!("store.urll = '{URL}'"),
        format!("store = '{URL}'"),
        format!("store = ['{URL}']"),
        format!("store.url = 'mysql://{MARKER}'"),
        format!("store.url = '{URL}'\nstore.url_file = '/dev/null'"),
        format!("store.url = '{URL}'\nstore.kind = 'sqlit'"),
    ];
    for line in lines {
        let setup = Setup::new(&line);
        let Err(Errors(mistakes)) = setup.load() else { panic!("{line} must be refused") };
        let shown = format!("{mistakes:?} {}", setup.mistakes());
        assert!(!shown.contains(MARKER), "{line}: {shown}");
    }
}

#[test]
fn a_secret_is_never_a_flag() {
    let setup = Setup::new("").flag(&format!("store.url={URL}"));
    let mistakes = setup.mistakes();
    assert!(
        mistakes.contains("flag: store.url: a secret is never a flag") && !mistakes.contains(MARKER),
        "{mistakes}"
    );
}

#[test]
fn only_a_secret_is_given_by_file_or_credential() {
    let mistakes = Setup::new("store.kind_file = '/etc/kind'\nstore.url_credential = 'url'").mistakes();
    assert!(mistakes.contains("store.kind_file: unknown key: only a secret is given this way"), "{mistakes}");
    assert!(mistakes.contains("store.url_credential: there are no systemd credentials"), "{mistakes}");
    let mistakes = Setup::new("store.url_file = '/nowhere/at/all'").mistakes();
    assert!(mistakes.contains("store.url_file: /nowhere/at/all: No such file"), "{mistakes}");
}

#[test]
fn a_changed_secret_needs_a_restart() {
    let setup = Setup::new("");
    let file = setup.path().join("url");
    std::fs::write(&file, URL).unwrap();
    setup.rewrite(&format!("store.url_file = '{}'", file.display()));
    let live = Live::new(setup.load().unwrap_or_else(|e| panic!("{e}")));
    std::fs::write(&file, "postgres://other").unwrap();
    assert_eq!(live.reload(&setup.sources).unwrap().restart, ["store.url"]);
    assert_eq!(live.config().store.url.reveal(), URL);
}
