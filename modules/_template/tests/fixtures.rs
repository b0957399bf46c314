//! Every folder under `fixtures/<type>/` is a case.

use module_api::fixture;
use std::path::Path;

#[test]
fn every_case_gives_what_it_expects() {
    let no_mail = |_: &[u8]| Err("these cases have input/ folders".to_owned());
    for module in module_template::modules() {
        let id = module.declaration().id;
        let kind = id.split('/').nth(1).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(kind);
        fixture::check(module, &folder, &no_mail).unwrap_or_else(|failures| panic!("{id}:\n{failures}"));
    }
}
