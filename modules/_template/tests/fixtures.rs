//! Every folder under `fixtures/<type>/` is a case. Those that are mails run in `modules/host/tests/fixtures.rs`,
//! where the splitter is.

use module_api::fixture;
use std::path::Path;

#[test]
fn every_case_gives_what_it_expects() {
    for module in module_template::modules() {
        let id = module.declaration().id;
        let kind = id.split('/').nth(1).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(kind);
        fixture::check(module, &folder, None).unwrap_or_else(|failures| panic!("{id}:\n{failures}"));
    }
}
