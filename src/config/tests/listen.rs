//! `[[listen]]`: an address with a certificate.

use super::super::ClientCertificate;
use super::Setup;
use std::path::Path;

const ADDRESS: &str = "[[listen]]\naddress = '127.0.0.1:0'\ndoors = ['api']\n";

#[test]
fn the_files_of_an_address_are_below_the_state_directory_unless_their_path_is_absolute() {
    let lines = "certificate = 'tls.pem'\nkey = '/etc/tls.key'\nclient_ca = 'clients.pem'\nclient_certificate = 'optional'\n";
    let setup = Setup::new(&format!("{ADDRESS}{lines}"));
    let loaded = setup.load().unwrap_or_else(|errors| panic!("{errors}"));
    let listen = &loaded.config().listen[0];
    let files = [&listen.certificate, &listen.key, &listen.client_ca];
    let expected = ["/var/lib/headworks/tls.pem", "/etc/tls.key", "/var/lib/headworks/clients.pem"];
    assert_eq!(files.map(Option::as_deref), expected.map(|path| Some(Path::new(path))));
    assert_eq!(listen.client_certificate, ClientCertificate::Optional);
}

#[test]
fn a_file_without_the_one_it_goes_with_is_told_and_so_is_a_wrong_word() {
    for (lines, mistake) in [
        ("certificate = 'a'\n", "listen[0].key: is needed beside certificate"),
        ("key = 'a'\n", "listen[0].certificate: is needed beside key"),
        ("client_ca = 'a'\n", "listen[0].certificate: is needed beside client_ca"),
        (
            "client_certificate = 'maybe'\n",
            "listen[0].client_certificate: \"maybe\" is not one of required, optional",
        ),
    ] {
        let mistakes = Setup::new(&format!("{ADDRESS}{lines}")).mistakes();
        assert!(mistakes.contains(mistake), "{mistakes}");
    }
}
