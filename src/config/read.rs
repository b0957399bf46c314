//! From nodes to typed settings. serde stops at the first mistake, so a wrong node is reported, put back to its default
//! and everything read again, until nothing wrong is left: every mistake is found, each with its place.

use super::error::Mistake;
use super::input::{Context, Input, Used};
use super::layer::defaults;
use super::tree::{Node, Origin, Table, Value};
use super::{Config, KeyPath, Secret};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// Mistakes beyond this many are not looked for.
const MOST_MISTAKES: usize = 100;

/// Typed settings, and the tree they were read from with every secret taken out.
pub(super) struct Read {
    pub config: Config,
    pub tree: Node,
    pub secrets: BTreeMap<KeyPath, Secret>,
}

/// Reads `table`; `None` when there were mistakes, which are then in `mistakes`.
pub(super) fn read(table: Table, credentials: Option<&Path>, mistakes: &mut Vec<Mistake>) -> Option<Read> {
    let root = |table| Node { value: Value::Table(table), origin: Origin::Default(1), layer: 0 };
    let (mut tree, defaults) = (root(table), root(defaults()));
    let mut put_back = HashSet::new();
    while mistakes.len() < MOST_MISTAKES {
        let context = Context::new(credentials);
        let fault = match Config::deserialize(Input::root(&tree, &context)) {
            Ok(config) => {
                let secrets = context.used().into_iter().map(|secret| hide(&mut tree, secret)).collect();
                return mistakes.is_empty().then_some(Read { config, tree, secrets });
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
        if !restore(&mut tree, &defaults, &path) {
            return None;
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

/// Takes a secret's text, and the ways that lost against the one used, out of the tree.
fn hide(tree: &mut Node, used: Used) -> (KeyPath, Secret) {
    if let Some(Value::Table(table)) = tree.at_mut(&used.section).map(|node| &mut node.value) {
        let ways =
            std::iter::once(used.name.clone()).chain(Secret::SUFFIXES.map(|end| used.name.clone() + end));
        ways.filter(|way| *way != used.way).for_each(|way| table.remove(&way));
        if let Some(node) = table.get_mut(&used.name) {
            node.value = Value::Hidden(!used.value.is_empty());
        }
    }
    (used.section.key(&used.name), used.value)
}
