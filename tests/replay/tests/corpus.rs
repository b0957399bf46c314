//! The corpora of the fuzz targets, on stable.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use replay::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn listed(folder: &Path) -> BTreeSet<PathBuf> {
    let paths =
        fs::read_dir(folder).and_then(|entries| entries.map(|e| Ok(e?.path())).collect::<io::Result<_>>());
    paths.unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
}

#[test]
fn every_promise_holds_for_every_file_of_the_corpora() {
    for (name, target) in TARGETS {
        let corpus = fuzz().join("corpus").join(name);
        let files = listed(&corpus);
        assert!(!files.is_empty(), "{} is empty", corpus.display());
        for file in files {
            eprintln!("{}", file.display()); // the last one shown is the one that failed
            target(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_promise_holds_for_files_cut_anywhere() {
    for (name, target) in TARGETS {
        for file in listed(&fuzz().join("corpus").join(name)) {
            let whole = fs::read(&file).unwrap();
            for end in (0..whole.len()).step_by(whole.len() / 32 + 1) {
                eprintln!("{} cut at {end}", file.display());
                target(&whole[..end]);
            }
        }
    }
}

#[test]
fn targets_programs_and_corpora_have_the_same_names() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let names = |folder: &str| -> BTreeSet<String> {
        let stem = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        listed(&fuzz().join(folder)).iter().map(stem).collect()
    };
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in targets {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not built");
    }
}
