//! Real mails in, expected rows out: every fixture of every module, taken apart as in production.
//!
//! A module crate's own tests run the cases that are plain files; the ones that are mails need the host's splitter and
//! so run here. `BLESS=1` rewrites what is expected.

use headworks_modules::{archive, mime, registry, spill::Spill};
use module_api::Module;
use module_api::fixture::{self, Case, Message, OwnedPart};
use module_api::frame::{ArchiveLimits, MimeLimits, PartRecord, Stored};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

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

/// Takes a mail apart with the limits of production.
fn split(mail: &[u8]) -> Result<Message, String> {
    let input = tempfile::tempfile().map_err(|e| e.to_string())?;
    input.write_all_at(mail, 0).map_err(|e| e.to_string())?;
    let mut spill = Spill::new(tempfile::tempfile().map_err(|e| e.to_string())?);
    let split = mime::split(mail, &MimeLimits::default(), &mut spill).map_err(|e| e.to_string())?;
    let records = archive::expand(split.parts, &input, &mut spill, &ArchiveLimits::default());
    let owned = |record: PartRecord| owned(record, &input, spill.file());
    Ok(Message {
        subject: split.head.subject.unwrap_or_default(),
        headers: split.head.fields.into_iter().map(|field| (field.name, field.value)).collect(),
        parts: records.map_err(|e| e.to_string())?.into_iter().map(owned).collect(),
    })
}

fn owned(record: PartRecord, input: &File, spill: &File) -> OwnedPart {
    let file = if matches!(record.stored, Stored::Input(_)) { input } else { spill };
    let range = record.stored.range();
    let mut bytes = vec![0; usize::try_from(range.len).expect("a part of a fixture fits memory")];
    file.read_exact_at(&mut bytes, range.offset).expect("a part lies within its file");
    OwnedPart {
        kind: record.kind,
        path: record.path,
        parent: record.parent,
        media_type: record.media_type,
        sniffed_type: record.sniffed_type,
        charset: record.charset,
        name: record.name,
        problems: record.problems,
        bytes,
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
