//! The floors of `src/`: a file imports lower floors only, never a neighbour on its own.
//!
//! Order that no machine checks does not survive. Where something low must cause something above it, `app.rs` passes the
//! function in.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Top-level modules by floor, lowest first. Each folder of `infra` counts as a module of its own.
const FLOORS: &[&[&str]] = &[
    &["ids"],
    &["config"],
    &["infra"],
    &["job", "load", "log", "web"],
    &["delivery", "rules"],
    &["mail", "s3", "upload", "jobs_api", "parse", "relay", "hub", "search", "ui"],
    &["router", "schedule"],
    &["app"],
    &["cli"],
];

/// Units of `infra` that the others there may import; themselves they import none of them.
const BENEATH_INFRA: &[&str] = &["infra/object_store"];

#[test]
fn every_file_imports_lower_floors_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&src).unwrap();
    assert!(files.len() > 20, "only {} files found below {}", files.len(), src.display());
    let mut wrong = Vec::new();
    for file in files {
        let name = file.strip_prefix(&src).unwrap().to_str().unwrap();
        wrong.extend(violations(name, &fs::read_to_string(&file).unwrap()));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn a_bad_import_is_found_however_it_is_written() {
    let up = "src/job/store.rs on floor 3 imports mail on floor 5";
    let neighbour = "src/job/store.rs on floor 3 imports log on floor 3";
    let cases: &[(&str, &str, &[&str])] = &[
        ("job/store.rs", "use crate::mail::intake;", &[up]),
        ("job/store.rs", "use crate::{ids::JobId, mail};", &[up]),
        ("job/store.rs", "fn f() -> crate::mail::Entry { vec![crate::mail::X] }", &[up]),
        ("job/store.rs", "fn f() { tokio::select! { _ = crate::mail::run() => {} } }", &[up]),
        ("job/store.rs", "use super::super::mail::intake;", &[up]),
        ("job/store.rs", "mod tests { use super::super::super::{mail::intake}; }", &[up]),
        ("job/store.rs", "use crate::log::append;", &[neighbour]),
        ("job/mod.rs", "use super::log;", &["src/job/mod.rs on floor 3 imports log on floor 3"]),
        (
            "infra/db/pg.rs",
            "use crate::infra::{db::Tx, volume::Volume};",
            &["src/infra/db/pg.rs on floor 2 imports infra/volume on floor 2"],
        ),
        (
            "infra/db/pg.rs",
            "use super::super::volume::Volume;",
            &["src/infra/db/pg.rs on floor 2 imports infra/volume on floor 2"],
        ),
        (
            "infra/object_store/mod.rs",
            "use crate::infra::volume::Volume;",
            &["src/infra/object_store/mod.rs on floor 2 imports infra/volume on floor 2"],
        ),
        (
            "config/mod.rs",
            "use crate::web::Limits;",
            &["src/config/mod.rs on floor 1 imports web on floor 3"],
        ),
        ("app.rs", "use crate::cli;", &["src/app.rs on floor 7 imports cli on floor 8"]),
        ("helpers.rs", "", &["src/helpers.rs is on no floor"]),
    ];
    for (file, source, expected) in cases {
        assert_eq!(violations(file, source), *expected, "{file}: {source}");
    }
}

#[test]
fn a_good_import_is_left_alone() {
    let cases = [
        ("job/store.rs", "use crate::infra::db::Tx; use crate::ids::{JobId, Digest};"),
        ("job/store.rs", "use super::Job; use crate::job::runner; mod tests { use super::super::state; }"),
        (
            "job/store.rs",
            "// use crate::mail;\nconst X: &str = \"crate::mail::x\"; /// [`crate::mail`]\nfn f() {}",
        ),
        ("job/store.rs", "fn mail(mail: &str) { other::mail::x(mail) }"),
        ("infra/volume/disk/put.rs", "use super::super::error::Fault; use crate::infra::volume::Volume;"),
        ("infra/volume/bucket/mod.rs", "use crate::infra::object_store::ObjectStore;"),
        ("main.rs", "fn main() { headworks::cli::run() }"),
        ("lib.rs", "pub mod anything;"),
    ];
    for (file, source) in cases {
        assert_eq!(violations(file, source), Vec::<String>::new(), "{file}: {source}");
    }
}

/// What is wrong with the imports of one file; `file` is its path below `src/`.
fn violations(file: &str, source: &str) -> Vec<String> {
    if file == "lib.rs" {
        return Vec::new();
    }
    let module = module_path(file);
    let own = unit(&module);
    let Some(floor) = floor(&own) else { return vec![format!("src/{file} is on no floor")] };
    let mut found = Vec::new();
    let tokens = source.parse().unwrap_or_else(|error| panic!("src/{file}: {error}"));
    imports(tokens, &module, &mut found);
    let mut wrong: Vec<String> = found
        .iter()
        .map(|path| unit(path))
        .filter(|target| *target != own)
        .filter_map(|target| {
            let is_beneath = own.starts_with("infra/") && BENEATH_INFRA.contains(&target.as_str());
            let above = self::floor(&target).filter(|&above| above >= floor && !is_beneath)?;
            Some(format!("src/{file} on floor {floor} imports {target} on floor {above}"))
        })
        .collect();
    wrong.sort();
    wrong.dedup();
    wrong
}

/// `job/store.rs` is `job::store`; `main.rs` is a crate of its own and counts as part of `cli`.
fn module_path(file: &str) -> Vec<String> {
    let stem = file.trim_end_matches(".rs");
    let stem = if stem == "main" { "cli" } else { stem.trim_end_matches("/mod") };
    stem.split('/').map(str::to_owned).collect()
}

/// What stands on a floor as one: the top-level module, or below `infra` the second one.
fn unit(path: &[String]) -> String {
    let parts = if path[0] == "infra" { 2 } else { 1 };
    path[..parts.min(path.len())].join("/")
}

fn floor(unit: &str) -> Option<usize> {
    let top = unit.split('/').next()?;
    FLOORS.iter().position(|modules| modules.contains(&top))
}

/// Collects every path in `tokens` that starts at the crate's root, seen from `module`.
fn imports(tokens: TokenStream, module: &[String], found: &mut Vec<Vec<String>>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(ident) if ident == "crate" || (ident == "headworks" && module == ["cli"]) => {
                rooted(&tokens[at + 1..], &[], found);
            }
            TokenTree::Ident(ident) if ident == "super" => {
                let up = (at..tokens.len()).step_by(3).take_while(|&i| is(&tokens[i], "super")).count();
                let root = &module[..module.len().saturating_sub(up)];
                rooted(&tokens[at + 3 * (up - 1) + 1..], root, found);
                at += 3 * (up - 1);
            }
            TokenTree::Ident(ident) if ident == "mod" && at + 2 < tokens.len() => {
                if let TokenTree::Group(body) = &tokens[at + 2] {
                    let inner = [module, &[tokens[at + 1].to_string()]].concat();
                    imports(body.stream(), &inner, found);
                    at += 2;
                }
            }
            TokenTree::Group(group) => imports(group.stream(), module, found),
            _ => {}
        }
        at += 1;
    }
}

/// Adds the paths of the `::`-tree that `tokens` begin with, each after `root`; none where there is no `::`.
fn rooted(tokens: &[TokenTree], root: &[String], found: &mut Vec<Vec<String>>) {
    match tokens {
        [colon, _, TokenTree::Ident(name), rest @ ..] if is(colon, ":") => {
            let path = [root, &[name.to_string()]].concat();
            if path.len() < 2 && rest.first().is_some_and(|token| is(token, ":")) {
                rooted(rest, &path, found);
            } else {
                found.push(path);
            }
        }
        [colon, _, TokenTree::Group(group), ..]
            if is(colon, ":") && group.delimiter() == Delimiter::Brace =>
        {
            let inside: Vec<TokenTree> = group.stream().into_iter().collect();
            for tree in inside.split(|token| is(token, ",")) {
                let colons: Vec<TokenTree> = tokens[..2].to_vec();
                rooted(&[colons, tree.to_vec()].concat(), root, found);
            }
        }
        _ => {}
    }
}

fn is(token: &TokenTree, text: &str) -> bool {
    match token {
        TokenTree::Ident(ident) => ident == text,
        TokenTree::Punct(punct) => text.len() == 1 && text.starts_with(punct.as_char()),
        TokenTree::Group(_) | TokenTree::Literal(_) => false,
    }
}

/// Files of a folder and those below it, in order.
pub fn rust_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
