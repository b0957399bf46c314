//! Real mails in, expected rows out: every fixture of every module, taken apart as in production.
//!
//! A module crate's own tests run the cases that are plain files; the ones that are mails need the host's splitter and
//! so run here. `BLESS=1` rewrites what is expected.

mod taken_apart;

use headworks_modules::registry;
use module_api::Module;
use module_api::fixture::{self, Case};
use std::path::Path;
use taken_apart::split;

/// Every registered module and the template, each with its folder of cases.
fn every_module(check: impl Fn(&'static dyn Module, &Path)) {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for module in [registry::modules(), module_template::modules()].concat() {
        let id = module.declaration().id;
        let (family, kind) = id.split_once('/').expect("an id is family/type");
        let family = if family == "template" { "_template" } else { family };
        check(module, &modules.join(family).join("fixtures").join(kind));
    }
}

#[test]
fn every_mail_gives_the_rows_it_expects() {
    every_module(|module, folder| {
        let cases =
            fixture::check(module, folder, Some(&split)).unwrap_or_else(|failures| panic!("{failures}"));
        println!("{}: {cases} cases", module.declaration().id);
    });
}

#[test]
fn a_mail_cut_or_damaged_anywhere_gives_declared_rows_or_none() {
    every_module(|module, folder| {
        let declaration = module.declaration();
        for mut case in Case::all(&declaration, folder, Some(&split)).unwrap() {
            for part in 0..case.parts.len() {
                let whole = case.parts[part].bytes.clone();
                for at in (0..whole.len()).step_by(whole.len() / 12 + 1) {
                    case.parts[part].bytes.truncate(at);
                    case.run(module).rows.iter().for_each(|row| declaration.check_row(row).unwrap());
                    case.parts[part].bytes = whole.clone();
                    case.parts[part].bytes[at] ^= 0x15;
                    case.run(module).rows.iter().for_each(|row| declaration.check_row(row).unwrap());
                    case.parts[part].bytes = whole.clone();
                }
            }
        }
    });
}

#[test]
fn a_draft_is_a_profile_that_lists_what_is_not_mapped() {
    let module = registry::modules().into_iter().find(|m| m.declaration().id == "hydrastor/system_report");
    let module = module.unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hydrastor/fixtures/system_report");
    let cases = Case::all(&module.declaration(), &folder, Some(&split)).unwrap();
    let case = cases.iter().find(|case| case.name() == "20_a_label_never_seen_before").unwrap();
    let draft = case.with_delivery(|delivery| module.draft_profile(delivery)).unwrap();
    assert!(draft.contains("[head] \"Firmware bundle\" = \"2022.12-b\"  (line 6)"), "{draft}");
    assert!(draft.contains("[Nodes] \"Fans\""), "{draft}");
    assert!(!draft.contains("[head] \"Serial\""), "a mapped label is listed");
    let settings = [("profile_toml".to_owned(), draft)];
    let again = case.with_settings(settings).run(module);
    assert_eq!(again.rows, case.run(module).rows, "the draft is not the profile it began with");
}
