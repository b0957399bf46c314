//! A secret can be used and never be seen.

use super::super::error::Mistake;
use super::super::tree::{Node, Table};
use super::super::{Errors, KeyPath, Live, Loaded, Secret, layer, print, read, schema};
use super::Setup;
use std::collections::BTreeMap;

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
    setup.layers.credentials = Some(setup.path().to_path_buf());
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
        mistakes.contains("flag: store.url: a secret cannot be given as a flag")
            && !mistakes.contains(MARKER),
        "{mistakes}"
    );
}

#[test]
fn only_a_secret_is_given_by_file_or_credential() {
    let mistakes = Setup::new("store.kind_file = '/etc/kind'\nstore.url_credential = 'url'").mistakes();
    assert!(
        mistakes
            .contains("store.kind_file: unknown key: only secrets can be given by `_file` or `_credential`"),
        "{mistakes}"
    );
    assert!(mistakes.contains("store.url_credential: systemd passed no credentials"), "{mistakes}");
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
    assert_eq!(live.reload(&setup.layers).unwrap().restart, ["store.url_file"]);
    assert_eq!(live.config().store.url.reveal(), URL);
}

/// Named sections, as sources are, with a secret at every place where one can stand.
#[derive(Debug, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Deep {
    feed: BTreeMap<String, DeepFeed>,
}

#[derive(Debug, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeepFeed {
    token: Secret,
    spare: Option<Secret>,
    #[serde(default)]
    tokens: Vec<Secret>,
    #[serde(default)]
    auth: Vec<DeepAuth>,
    tls: Option<DeepAuth>,
    #[serde(default)]
    header: BTreeMap<String, Secret>,
}

#[derive(Debug, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeepAuth {
    bearer: Secret,
    user: Option<String>,
}

/// Loads `Deep` as a configuration is loaded: the settings and their tree, or what is wrong.
fn deep(setup: &Setup) -> (Option<Deep>, Node, Vec<Mistake>) {
    let (mut table, mut mistakes) = layer::merged(&setup.layers);
    let defaults: Vec<String> = layer::defaults().iter().map(|(name, _)| name.to_owned()).collect();
    for name in defaults {
        table.remove(&name); // They belong to the product's own configuration.
    }
    let mut tree = read::root(table);
    let credentials = setup.layers.credentials.as_deref();
    let settings = read::read(&mut tree, Table::default(), credentials, &mut mistakes);
    (settings, tree, mistakes)
}

/// Every secret of `deep`, in the order of the struct.
fn revealed(settings: &Deep) -> Vec<&str> {
    let of_one = |feed: &'static str| {
        let feed = &settings.feed[feed];
        let auth = feed.auth.iter().chain(&feed.tls).map(|auth| &auth.bearer);
        let all = std::iter::once(&feed.token).chain(&feed.spare).chain(&feed.tokens).chain(auth);
        all.chain(feed.header.values()).map(Secret::reveal)
    };
    of_one("a").collect()
}

const EVERY_PLACE: &str = "[feed.a]\ntoken = 'marker5e37-1'\nspare = 'marker5e37-2'\ntokens = ['marker5e37-3', 'marker5e37-4']\n\
    auth = [{ bearer = 'marker5e37-5', user = 'u' }]\ntls.bearer = 'marker5e37-6'\n\
    header = { X = 'marker5e37-7', X_file = 'marker5e37-8' }\n";

#[test]
fn a_secret_is_used_and_masked_at_any_depth() {
    let (settings, tree, mistakes) = deep(&Setup::new(EVERY_PLACE));
    let settings = settings.unwrap_or_else(|| panic!("{mistakes:?}"));
    let expected: Vec<String> = (1..=8).map(|number| format!("marker5e37-{number}")).collect();
    assert_eq!(revealed(&settings), expected);
    let shown =
        format!("{settings:?} {settings:#?} {} {}", print::tree(&tree, false), print::tree(&tree, true));
    assert!(!shown.contains(MARKER), "{shown}");
    assert_eq!(print::tree(&tree, false).matches("***").count(), 8, "{shown}");
}

#[test]
fn a_secret_is_given_by_file_or_credential_at_any_depth() {
    let mut setup = Setup::new("");
    let at = setup.path().display().to_string();
    for number in 1..=6 {
        std::fs::write(setup.path().join(format!("s{number}")), format!("marker5e37-{number}\n")).unwrap();
    }
    setup.rewrite(&format!(
        "[feed.a]\ntoken_file = '{at}/s1'\nspare_credential = 's2'\ntokens_file = ['{at}/s3', '{at}/s4']\n\
         auth = [{{ bearer_file = '{at}/s5', user = 'u' }}]\ntls.bearer_credential = 's6'\n",
    ));
    setup.layers.credentials = Some(setup.path().to_path_buf());
    let (settings, tree, mistakes) = deep(&setup);
    let settings = settings.unwrap_or_else(|| panic!("{mistakes:?}"));
    assert_eq!(revealed(&settings).last(), Some(&"marker5e37-6"));
    assert_eq!(revealed(&settings).len(), 6);
    let printed = print::tree(&tree, true);
    assert!(!printed.contains(MARKER) && printed.contains("tokens_file = ["), "{printed}");
    let mut places = Vec::new();
    tree.secret_places(&KeyPath::default(), &mut places);
    assert_eq!(places.len(), 6);
    assert!(places.contains(&("feed.a.auth[0].bearer_file".into(), format!("{at}/s5"))), "{places:?}");

    // Read again, as a reload does: the values stay, whatever the files say by now.
    std::fs::remove_file(setup.path().join("s1")).unwrap();
    let mut again = tree.clone();
    let reread: Option<Deep> = read::read(&mut again, Table::default(), None, &mut Vec::new());
    assert_eq!(reread, Some(settings));
    assert!(tree.value.same(&again.value));
}

#[test]
fn the_environment_gives_secrets_of_named_sections_and_wins() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "marker5e37-file").unwrap();
    let by_value = Setup::new("[feed.a]\ntoken = 'marker5e37-lost'\n")
        .env("HEADWORKS__FEED__A__TOKEN", "marker5e37-env")
        .env("HEADWORKS__FEED__A__TLS", "{ bearer = 'marker5e37-tls' }");
    let by_file = Setup::new("[feed.a]\ntoken = 'marker5e37-lost'\ntls.bearer = 'marker5e37-tls'\n")
        .env("HEADWORKS__FEED__A__TOKEN_FILE", file.path().to_str().unwrap());
    for (setup, token) in [(by_value, "marker5e37-env"), (by_file, "marker5e37-file")] {
        let (settings, tree, mistakes) = deep(&setup);
        let settings = settings.unwrap_or_else(|| panic!("{mistakes:?}"));
        assert_eq!(revealed(&settings), [token, "marker5e37-tls"]);
        let shown = format!("{settings:?} {}", print::tree(&tree, true));
        assert!(!shown.contains(MARKER), "{shown}");
    }
}

#[test]
fn no_mistake_shows_a_secret_at_any_depth() {
    let wrong = [
        "feed = 'marker5e37'",
        "feed = ['marker5e37']",
        "feed.a = 'marker5e37'",
        "feed.a = { token = ['marker5e37'] }",
        "feed.a = { token = 'x', tokn = 'marker5e37' }",
        "feed.a = { token = 'x', tokens = 'marker5e37' }",
        "feed.a = { token = 'x', tokens = { a = 'marker5e37' } }",
        "feed.a = { token = 'x', tokens = [['marker5e37']] }",
        "feed.a = { token = 'x', auth = ['marker5e37'] }",
        "feed.a = { token = 'x', auth = [{ bearer = 'marker5e37', bearer_file = '/dev/null' }] }",
        "feed.a = { token = 'x', auth = [{ bearer = 'marker5e37', usr = 'marker5e37' }] }",
        "feed.a = { token = 'x', tls = 'marker5e37' }",
        "feed.a = { token = 'x', header = 'marker5e37' }",
        "feed.a = { token = 'x', header = { X = ['marker5e37'] } }",
        "feed.a = { token_file = '/nowhere', spare = 'marker5e37' }",
    ];
    for line in wrong {
        let setup = Setup::new(line);
        let (settings, _, mistakes) = deep(&setup);
        assert!(settings.is_none() && mistakes.len() == 1, "{line}: {mistakes:?}");
        assert!(mistakes[0].place.contains("headworks.toml:1:"), "{mistakes:?}");
        let shown = format!("{mistakes:?} {}", Errors(mistakes.clone()));
        assert!(!shown.contains(MARKER), "{shown}");
    }
    let flag = Setup::new("feed.a.token = 'x'").flag("feed.a.auth=[{ bearer = 'marker5e37' }]");
    let (settings, _, mistakes) = deep(&flag);
    let shown = Errors(mistakes).to_string();
    assert!(
        settings.is_none() && shown.starts_with("flag: feed.a.auth[0].bearer: a secret cannot"),
        "{shown}"
    );
    assert!(!shown.contains(MARKER));
}

#[test]
fn the_schema_offers_the_ways_to_give_a_secret_at_any_depth() {
    let schema = super::super::schema::of::<Deep>(&Table::default());
    let source = &schema["properties"]["feed"]["additionalProperties"];
    let auth = &source["properties"]["auth"]["items"];
    for (section, way) in
        [(source, "token_file"), (source, "spare_credential"), (source, "tokens_file"), (auth, "bearer_file")]
    {
        assert!(section["properties"][way].is_object(), "{way}: {schema:#}");
    }
    assert_eq!(auth["required"], serde_json::json!([]), "it may be given by file");
}
