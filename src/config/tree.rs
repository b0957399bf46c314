//! Settings before they have types: what was written, and where.

use super::{KeyPath, Secret};
use std::path::PathBuf;
use std::sync::Arc;

/// Where a setting was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `config.default.toml`, line.
    Default(usize),
    /// A configuration file, line and column.
    File(Arc<PathBuf>, usize, usize),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default(line) => write!(f, "default:{line}"),
            Self::File(path, line, column) => write!(f, "{}:{line}:{column}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// A value and where it was written.
#[derive(Clone)]
pub(super) struct Node {
    pub value: Value,
    pub origin: Origin,
    /// Number of the layer it is from; a higher one wins.
    pub layer: usize,
}

/// What can be written.
#[derive(Clone)]
pub(super) enum Value {
    /// A boolean, number, date or string of a file.
    Scalar(toml::Value),
    /// Words from the environment or a flag; the setting they are for decides what they mean.
    Words(String),
    List(Vec<Node>),
    Table(Table),
    /// A secret that was read, and the file or credential that is written in its place. Shows only the latter.
    Secret {
        value: Secret,
        place: Option<String>,
    },
    /// Was wrong and has been reported. Keeps its place in a list, so that the others keep their number.
    Dropped,
}

/// Settings by name, in the order they were first written.
#[derive(Clone, Default)]
pub(super) struct Table(Vec<(String, Node)>);

impl Table {
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(key, node)| (key.as_str(), node))
    }

    pub fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.0.iter_mut().map(|(_, node)| node)
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// Sets `key`, keeping its place when it has one.
    pub fn put(&mut self, key: &str, node: Node) {
        match self.get_mut(key) {
            Some(old) => *old = node,
            None => self.0.push((key.to_owned(), node)),
        }
    }

    /// Takes out what only the defaults say.
    pub fn drop_defaults(&mut self) {
        self.0.retain(|(_, node)| node.layer > 0);
    }

    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }

    /// The settings of `later` on top of these. `path` is where this table stands.
    pub fn merge(&mut self, path: &KeyPath, later: Self) {
        for (key, node) in later.0 {
            let here = path.key(&key);
            match (self.get_mut(&key).map(|old| &mut old.value), node.value) {
                (Some(Value::Table(old)), Value::Table(new)) => old.merge(&here, new),
                (Some(Value::List(old)), Value::List(new)) if here.is_appended() => old.extend(new),
                (_, value) => self.put(&key, Node { value, ..node }),
            }
        }
    }
}

impl Node {
    /// The node at `path` below this one.
    pub fn at(&self, path: &KeyPath) -> Option<&Self> {
        path.steps().try_fold(self, |node, step| match &node.value {
            Value::Table(table) => table.get(step),
            Value::List(list) => list.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Puts `node` at `path` below this one, or takes out what is there. The section around it must exist.
    pub fn replace(&mut self, path: &KeyPath, node: Option<Self>) {
        let Some((section, name)) = path.split_last() else { return };
        if let Some(Value::Table(table)) = self.at_mut(&section).map(|node| &mut node.value) {
            match node {
                Some(node) => table.put(name, node),
                None => table.remove(name),
            }
        }
    }

    /// Every file and credential that a secret was read from, with the setting that names it.
    pub fn secret_places(&self, path: &KeyPath, found: &mut Vec<(String, String)>) {
        match &self.value {
            Value::Secret { place: Some(place), .. } => found.push((path.to_string(), place.clone())),
            Value::Table(table) => {
                table.iter().for_each(|(name, node)| node.secret_places(&path.key(name), found));
            }
            Value::List(list) => {
                let items = list.iter().enumerate();
                items.for_each(|(at, node)| node.secret_places(&path.key(&at.to_string()), found));
            }
            _ => {}
        }
    }

    /// The node at `path` below this one.
    pub fn at_mut(&mut self, path: &KeyPath) -> Option<&mut Self> {
        path.steps().try_fold(self, |node, step| match &mut node.value {
            Value::Table(table) => table.get_mut(step),
            Value::List(list) => list.get_mut(step.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

impl Value {
    /// Whether two values say the same, wherever they were written.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => a == b,
            (Self::Secret { value: a, place: at }, Self::Secret { value: b, place: there }) => {
                a == b && at == there
            }
            (Self::List(a), Self::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.value.same(&b.value))
            }
            (Self::Table(a), Self::Table(b)) => {
                let same = |(key, node): (&str, &Node)| {
                    b.get(key).is_some_and(|other| node.value.same(&other.value))
                };
                a.0.len() == b.0.len() && a.iter().all(same)
            }
            _ => self.to_string() == other.to_string(),
        }
    }
}

impl std::fmt::Display for Value {
    /// As TOML.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Scalar(scalar) => scalar.fmt(f),
            Self::Words(words) => match super::layer::scalar(words) {
                Some(scalar) => scalar.fmt(f),
                None => toml::Value::from(words.as_str()).fmt(f),
            },
            Self::List(list) => {
                let items: Vec<String> = list.iter().map(|node| node.value.to_string()).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Table(table) => {
                let items: Vec<String> = table
                    .iter()
                    .map(|(key, node)| format!("{} = {}", super::print::key(key), node.value))
                    .collect();
                write!(f, "{{ {} }}", items.join(", "))
            }
            Self::Secret { place: Some(place), .. } => toml::Value::from(place.as_str()).fmt(f),
            Self::Secret { value, .. } if !value.is_empty() => write!(f, "\"{}\"", Secret::MASK),
            Self::Secret { .. } | Self::Dropped => f.write_str("\"\""),
        }
    }
}
