//! The sample feature of CONTRIBUTING: its diff applies to this tree, touches what is said there and no more, and works.

use crate::programs::programs;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const CONTRIBUTING: &str = include_str!("../../CONTRIBUTING.md");

/// Files outside the folder, the migrations and the test of a feature that a new one may touch, and the lines it adds there.
const OUTSIDE: [(&str, usize); 8] = [
    ("config.default.toml", 9),
    ("src/app.rs", 3),
    ("src/config/http.rs", 2),
    ("src/ids/kind.rs", 4),
    ("src/ids/volume.rs", 1),
    ("src/lib.rs", 1),
    ("tests/it/floors.rs", 1),
    ("tests/it/main.rs", 1),
];

#[test]
fn the_sample_feature_of_contributing_is_a_folder_and_a_few_lines_and_works() {
    let (_, rest) = CONTRIBUTING.split_once("```diff\n").expect("CONTRIBUTING has no diff");
    let (diff, _) = rest.split_once("\n```\n").expect("the diff of CONTRIBUTING does not end");
    let diff = format!("{diff}\n");
    let touched = touched(&diff);
    let own = |path: &str| {
        path.starts_with("src/sample/") || path.ends_with("_sample.sql") || path == "tests/it/sample.rs"
    };
    let outside: Vec<_> =
        touched.iter().filter(|(path, _)| !own(path)).map(|(path, lines)| (path.as_str(), *lines)).collect();
    assert_eq!(outside, OUTSIDE);

    let copy = tempfile::tempdir().unwrap();
    copy_tree(Path::new(env!("CARGO_MANIFEST_DIR")), copy.path());
    let patch = copy.path().join("sample.diff");
    fs::write(&patch, &diff).unwrap();
    run(Command::new("git").args(["apply", "--whitespace=error-all"]).arg(&patch).current_dir(copy.path()));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sample_feature");
    let test = |arguments: &[&str]| {
        // It builds while other tests run, which have time limits.
        let mut cargo = Command::new("nice");
        cargo
            .args(["-n", "19", env!("CARGO"), "test", "--locked", "--quiet", "-p", "headworks"])
            .args(arguments)
            .current_dir(copy.path());
        run(cargo.env("CARGO_TARGET_DIR", &target).env("HEADWORKS_DIST", programs()));
    };
    test(&["--lib", "--", "config::tests::complete", "ids::"]);
    test(&["--test", "it", "--", "sample::", "floors::", "orphans::", "catalogue::"]);
}

/// Paths of a diff, in order, with the number of lines it adds to each.
fn touched(diff: &str) -> Vec<(String, usize)> {
    let mut touched: Vec<(String, usize)> = Vec::new();
    for line in diff.lines() {
        if let Some(path) = line.strip_prefix("+++ b/") {
            touched.push((path.to_owned(), 0));
        } else if line.starts_with('+')
            && let Some((_, lines)) = touched.last_mut()
        {
            *lines += 1;
        }
    }
    touched
}

/// Copies what git tracks.
fn copy_tree(from: &Path, to: &Path) {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(from).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    for name in String::from_utf8(listed.stdout).unwrap().split_terminator('\0') {
        let file = to.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(from.join(name), file).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

fn run(command: &mut Command) {
    let ended = command.stdin(Stdio::null()).output().unwrap();
    let (said, talk) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{command:?}\n{said}\n{talk}");
}
