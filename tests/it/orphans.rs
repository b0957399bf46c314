//! No file is forgotten: a file that no `mod` line names is not compiled, and the tests in it say nothing.

use std::path::Path;

/// Crates whose folders hold nothing but their modules, by their roots.
const ROOTS: [&str; 15] = [
    "benches/src/main.rs",
    "modules/_template/src/lib.rs",
    "modules/api/src/lib.rs",
    "modules/host/src/lib.rs",
    "modules/hydrastor/src/lib.rs",
    "modules/reading/src/lib.rs",
    "modules/sniff/src/lib.rs",
    "postfix/mailhandler/src/main.rs",
    "postfix/mailhandler/tests/it/main.rs",
    "postfix/spool/src/lib.rs",
    "postfix/spool/tests/it/main.rs",
    "src/lib.rs",
    "tests/it/main.rs",
    "tests/postfix/src/lib.rs",
    "tests/replay/src/lib.rs",
];

/// Roots beside those: programs, in `src` or `src/bin`.
fn is_root(file: &Path) -> bool {
    let name = file.file_stem().unwrap().to_str().unwrap();
    matches!(name, "lib" | "main" | "main_hostile") || file.parent().unwrap().ends_with("bin")
}

#[test]
fn every_file_is_a_module_of_its_crate() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut forgotten = Vec::new();
    for root in ROOTS.map(|root| top.join(root)) {
        assert!(root.is_file(), "there is no {}", root.display());
        let files = crate::floors::rust_files(root.parent().unwrap()).unwrap();
        forgotten.extend(files.into_iter().filter(|file| !is_root(file) && !is_named(file)));
    }
    assert!(forgotten.is_empty(), "no mod line names {forgotten:?}");
}

/// Whether a `mod` line names the file: in the folder's root or `mod.rs`, or in the file of the folder's name.
fn is_named(file: &Path) -> bool {
    let folder = file.parent().unwrap();
    let (name, folder) = match file.file_stem().unwrap().to_str().unwrap() {
        "mod" => (folder.file_name().unwrap().to_str().unwrap(), folder.parent().unwrap()),
        name => (name, folder),
    };
    let parents = ["mod.rs", "lib.rs", "main.rs"].map(|parent| folder.join(parent));
    let line = format!("mod {name};");
    parents.into_iter().chain([folder.with_extension("rs")]).any(|parent| {
        let text = std::fs::read_to_string(parent).unwrap_or_default();
        text.lines().any(|written| written == line || written.ends_with(&format!(" {line}")))
    })
}
