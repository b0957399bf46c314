//! Sources and volumes: named sections, each with the fields of its kind.

use super::super::SourceKind;
use super::Setup;
use crate::ids::VolumeName;

#[test]
fn the_built_in_sources_are_named_after_their_kind() {
    let loaded = Setup::new("").load().unwrap_or_else(|errors| panic!("{errors}"));
    let config = loaded.config();
    let (mail, rest) = (config.mail_source().unwrap(), config.rest_source().unwrap());
    assert_eq!((mail.name.as_str(), mail.domains, mail.recipient_delimiter), ("mail", &[][..], '+'));
    assert_eq!((rest.name.as_str(), rest.delivery_bytes), ("rest", 100 << 20));
    assert_eq!((mail.key_ttl.as_secs(), rest.key_ttl.as_secs()), (30 * 86_400, 86_400));
}

#[test]
fn a_source_of_another_name_has_the_defaults_of_its_kind() {
    let setup = Setup::new(
        "source.mail.enabled = false\n[source.incoming]\nkind = 'mail'\ndomains = ['a.example']\n\
         [source.mail]\nkind = 'rest'\n",
    );
    assert!(setup.mistakes().contains("duplicate key"), "TOML itself forbids a section twice");
    let setup = Setup::new(
        "[source.mail]\nenabled = false\n[source.incoming]\nkind = 'mail'\ndomains = ['a.example']",
    );
    let loaded = setup.load().unwrap_or_else(|errors| panic!("{errors}"));
    let mail = loaded.config().mail_source().unwrap();
    assert_eq!((mail.name.as_str(), mail.domains[0].as_str()), ("incoming", "a.example"));
    assert_eq!((mail.key_ttl.as_secs(), mail.recipient_delimiter), (30 * 86_400, '+'));
    let printed = loaded.print(true);
    let incoming = printed.split("[source.incoming]").nth(1).unwrap();
    assert!(incoming.contains("key_ttl = \"30d\"  # default:"), "{printed}");
    let again = Setup::new(&printed).load().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(again.config(), loaded.config());
}

#[test]
fn a_source_whose_kind_changes_loses_the_defaults_of_the_old_kind() {
    let setup = Setup::new("server.roles = ['http']\nsource.rest.enabled = false")
        .env("HEADWORKS__SOURCE__MAIL__KIND", "rest");
    let loaded = setup.load().unwrap_or_else(|errors| panic!("{errors}"));
    let rest = loaded.config().rest_source().unwrap();
    assert_eq!((rest.name.as_str(), rest.key_ttl.as_secs()), ("mail", 86_400));
    assert_eq!(loaded.config().sources_in_use(SourceKind::Mail).count(), 0);
}

#[test]
fn every_mistake_in_a_source_or_volume_has_its_place_and_what_is_allowed() {
    let setup = Setup::new(
        "[source.mail]\ndomains = ['a b']\n[source.Bad]\nkind = 'mail'\n[source.feed]\nkind = 'mial'\n\
         [source.rest]\nkey_tll = '1h'\n[source.nameless]\n[volume.inbxo]\npath = 'x'\n[volume.archive]\nkind = 'memory'\n",
    );
    insta::assert_snapshot!(setup.mistakes());
}

#[test]
fn a_source_has_the_fields_of_its_kind_and_no_others() {
    let setup = Setup::new(
        "[source.rest]\ndomains = []\nkey_ttl = '0s'\n[source._own]\nkind = 'mail'\nrecipient_delimiter = 'x'\n\
         [source.third]\nkind = 'rest'\n",
    )
    .env("HEADWORKS__VOLUME__INBOX__PATH", "archive");
    insta::assert_snapshot!(setup.mistakes());
}

#[test]
fn a_process_that_takes_mail_has_a_source_for_it() {
    let setup = Setup::new("source.mail.enabled = false");
    let mistakes = setup.mistakes();
    assert!(mistakes.contains("server.roles: role mail needs a source of kind mail"), "{mistakes}");
    let setup = setup.flag("server.roles=['http', 'worker']");
    let loaded = setup.load().unwrap_or_else(|errors| panic!("{errors}"));
    assert!(loaded.config().mail_source().is_none());
}

#[test]
fn every_volume_has_settings_and_a_directory_of_its_own() {
    let loaded = Setup::new("").load().unwrap_or_else(|errors| panic!("{errors}"));
    let config = loaded.config();
    let names: Vec<VolumeName> = config.volume.iter().map(|(name, _)| name).collect();
    assert_eq!(names, VolumeName::ALL);
    for name in names {
        assert_eq!(config.volume.get(name).directory(), Some(&*config.server.state_dir.join(name.word())));
    }
}
