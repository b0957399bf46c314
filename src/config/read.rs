//! From nodes to typed settings. serde stops at the first mistake, so a wrong node is reported, put back to its default
//! and everything read again, until nothing wrong is left: every mistake is found, each with its place.

use super::error::Mistake;
use super::input::{Context, Input, Used, Way};
use super::tree::{Node, Origin, Table, Value};
use super::{KeyPath, Secret};
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::path::Path;

/// Mistakes beyond this many are not looked for.
const MOST_MISTAKES: usize = 100;

/// The tree of a whole configuration.
pub(super) fn root(table: Table) -> Node {
    Node { value: Value::Table(table), origin: Origin::Default(1), layer: 0 }
}

/// Reads `tree`, and masks every secret in it; `None` when there were mistakes, which are then in `mistakes`. What is
/// wrong is replaced by what `defaults` say, to look for more.
pub(super) fn read<T: DeserializeOwned>(
    tree: &mut Node,
    defaults: Table,
    credentials: Option<&Path>,
    mistakes: &mut Vec<Mistake>,
) -> Option<T> {
    let defaults = root(defaults);
    let mut put_back = HashSet::new();
    while mistakes.len() < MOST_MISTAKES {
        let context = Context::new(credentials);
        let fault = match T::deserialize(Input::root(tree, &context)) {
            Ok(settings) => {
                context.used().into_iter().for_each(|secret| mask(tree, secret));
                return mistakes.is_empty().then_some(settings);
            }
            Err(fault) => fault,
        };
        let (path, origin) = fault.place.unwrap_or((KeyPath::default(), Origin::Default(1)));
        let follows = fault.missing.is_some_and(|field| put_back.contains(&path.key(field)));
        if !follows {
            let mut mistake = Mistake::at(Some(&origin), path.clone(), fault.message);
            mistake.suggestion = fault.suggestion;
            mistakes.push(mistake);
        }
        if !restore(tree, &defaults, &path) {
            return None;
        }
        if let Some((section, name)) = path.split_last() {
            let stem = Secret::SUFFIXES.iter().find_map(|end| name.strip_suffix(end));
            put_back.extend(stem.map(|stem| section.key(stem)));
        }
        put_back.insert(path);
    }
    None
}

/// Puts the node at `path` back to its default, or takes it out; `false` when it is the default.
fn restore(tree: &mut Node, defaults: &Node, path: &KeyPath) -> bool {
    let Some((section, name)) = path.split_last() else { return false };
    if tree.at(path).is_none_or(|node| matches!(node.origin, Origin::Default(_))) {
        return false;
    }
    match tree.at_mut(&section).map(|node| &mut node.value) {
        Some(Value::Table(table)) => match defaults.at(path) {
            Some(default) => table.put(name, default.clone()),
            None => table.remove(name),
        },
        Some(Value::List(list)) => {
            if let Some(item) = name.parse().ok().and_then(|position: usize| list.get_mut(position)) {
                item.value = Value::Dropped;
            }
        }
        _ => return false,
    }
    true
}

/// Puts a masked value in place of a secret's text, and takes out the ways that lost against the one used.
fn mask(tree: &mut Node, used: Used) {
    let Used { path, way, value } = used;
    if let Some(node) = tree.at_mut(&path) {
        let place = match (&node.value, way) {
            (Value::Secret { place, .. }, _) => place.clone(),
            (Value::Words(text) | Value::Scalar(toml::Value::String(text)), Way::File | Way::Credential) => {
                Some(text.clone())
            }
            _ => None,
        };
        node.value = Value::Secret { value, place };
    }
    let mut field = path;
    while let Some((section, name)) = field.split_last() {
        match tree.at_mut(&section).map(|node| &mut node.value) {
            Some(Value::List(_)) => field = section,
            Some(Value::Table(table)) if way != Way::Named => {
                let stem = Secret::SUFFIXES.iter().find_map(|end| name.strip_suffix(end));
                let stem = stem.filter(|_| way != Way::Value).unwrap_or(name);
                let ways = Secret::SUFFIXES.map(|end| format!("{stem}{end}")).into_iter();
                ways.chain([stem.to_owned()])
                    .filter(|other| other != name)
                    .for_each(|other| table.remove(&other));
                return;
            }
            _ => return,
        }
    }
}
