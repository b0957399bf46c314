//! The layers a configuration is made of: defaults, files, environment, flags. Each becomes a [`Table`] of nodes that
//! remember where they were written; later ones are merged on top.

use super::error::Mistake;
use super::tree::{Node, Origin, Table, Value};
use super::{KeyPath, Secret};
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The text of the defaults.
pub(super) const DEFAULTS: &str = include_str!("../../config.default.toml");

const PREFIX: &str = "HEADWORKS__";

/// Where to look for settings, later ones winning: file, `conf.d/*.toml` beside it, environment, flags.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// The configuration file; when given it must exist.
    pub file: Option<PathBuf>,
    /// Environment variables; only `HEADWORKS__…` count.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags of the form `jobs.lease=1m`.
    pub flags: Vec<String>,
    /// systemd's `$CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
}

impl Layers {
    /// What this process was started with.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<String>) -> Self {
        Self {
            file,
            environment: std::env::vars_os().collect(),
            flags,
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        }
    }
}

/// All layers merged, and what could not be read of them.
pub(super) fn merged(given: &Layers) -> (Table, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    let mut merged = defaults();
    let mut layers: Vec<Table> = Vec::new();
    for path in files(given, &mut mistakes) {
        match std::fs::read_to_string(&path) {
            Ok(text) => layers.push(parse(&text, &Place::file(path, layers.len() + 1), &mut mistakes)),
            Err(error) => mistakes.push(Mistake::new(path.display(), KeyPath::default(), error.to_string())),
        }
    }
    layers.push(environment(&given.environment, layers.len() + 1, &mut mistakes));
    layers.push(flags(&given.flags, layers.len() + 1, &mut mistakes));
    layers.into_iter().for_each(|layer| merged.merge(&KeyPath::default(), layer));
    super::source::inherit(&mut merged, &defaults());
    super::volume::drop_defaults_of_other_kinds(&mut merged);
    (merged, mistakes)
}

/// The layer of defaults.
pub(super) fn defaults() -> Table {
    let mut mistakes = Vec::new();
    let table = parse(DEFAULTS, &Place { file: None, layer: 0 }, &mut mistakes);
    debug_assert!(mistakes.is_empty(), "{mistakes:?}");
    table
}

/// The configuration file and its `conf.d/*.toml`, in the order they are read.
fn files(given: &Layers, mistakes: &mut Vec<Mistake>) -> Vec<PathBuf> {
    let Some(file) = &given.file else { return Vec::new() };
    let directory = file.parent().unwrap_or(Path::new("")).join("conf.d");
    let mut found = Vec::new();
    match std::fs::read_dir(&directory) {
        Ok(entries) => {
            for entry in entries {
                match entry {
                    Ok(entry) => found.push(entry.path()),
                    Err(error) => mistakes.push(Mistake::new(
                        directory.display(),
                        KeyPath::default(),
                        error.to_string(),
                    )),
                }
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => mistakes.push(Mistake::new(directory.display(), KeyPath::default(), error.to_string())),
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    found.sort();
    found.insert(0, file.clone());
    found
}

/// A text that is being read: which file (none: the defaults), which layer.
struct Place {
    file: Option<Arc<PathBuf>>,
    layer: usize,
}

impl Place {
    fn file(path: PathBuf, layer: usize) -> Self {
        Self { file: Some(Arc::new(path)), layer }
    }

    fn origin(&self, text: &str, at: usize) -> Origin {
        let before = text.get(..at).unwrap_or(text);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        self.file.as_ref().map_or(Origin::Default(line), |path| Origin::File(Arc::clone(path), line, column))
    }

    fn node(&self, text: &str, at: usize, value: Value) -> Node {
        Node { value, origin: self.origin(text, at), layer: self.layer }
    }
}

/// The settings of a TOML text; none when it is not TOML, since what is left of it would only bring mistakes that are
/// none. Only the parser's message goes into a mistake, never the line: it may hold a secret.
fn parse(text: &str, place: &Place, mistakes: &mut Vec<Mistake>) -> Table {
    let (table, errors) = DeTable::parse_recoverable(text);
    mistakes.extend(errors.iter().map(|error| {
        let origin = place.origin(text, error.span().map_or(0, |span| span.start));
        Mistake::new(origin, KeyPath::default(), error.message().replace('\n', ", "))
    }));
    if errors.is_empty() { table_node(text, table.get_ref(), place) } else { Table::default() }
}

fn table_node(text: &str, table: &DeTable<'_>, place: &Place) -> Table {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut nodes = Table::default();
    for (key, value) in entries {
        nodes.put(key.get_ref(), value_node(text, value, key.span(), place));
    }
    nodes
}

fn value_node(text: &str, value: &Spanned<DeValue<'_>>, at: Range<usize>, place: &Place) -> Node {
    let value = match value.get_ref() {
        DeValue::Table(table) => Value::Table(table_node(text, table, place)),
        DeValue::Array(list) => {
            Value::List(list.iter().map(|item| value_node(text, item, item.span(), place)).collect())
        }
        scalar => Value::Scalar(plain(scalar)),
    };
    place.node(text, at.start, value)
}

/// A scalar without its text; a number no 64 bits hold stays words, and its setting will say what it wants.
fn plain(scalar: &DeValue<'_>) -> toml::Value {
    match scalar {
        DeValue::Boolean(value) => toml::Value::Boolean(*value),
        DeValue::Datetime(value) => toml::Value::Datetime(*value),
        DeValue::Integer(value) => i64::from_str_radix(value.as_str(), value.radix())
            .map_or_else(|_| toml::Value::String(value.as_str().to_owned()), toml::Value::Integer),
        DeValue::Float(value) => value
            .as_str()
            .parse()
            .map_or_else(|_| toml::Value::String(value.as_str().to_owned()), toml::Value::Float),
        DeValue::String(value) => toml::Value::String(value.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => toml::Value::Boolean(false),
    }
}

/// `HEADWORKS__JOBS__LEASE=1m` sets `jobs.lease`.
fn environment(variables: &[(OsString, OsString)], layer: usize, mistakes: &mut Vec<Mistake>) -> Table {
    let mut settings = Table::default();
    let mut named: Vec<_> = variables
        .iter()
        .filter_map(|(name, value)| Some((name.to_str()?, name.to_str()?.strip_prefix(PREFIX)?, value)))
        .collect();
    named.sort();
    for (name, key, value) in named {
        let origin = Origin::Environment(name.to_owned());
        let key = KeyPath::from_iter(key.split("__").map(str::to_ascii_lowercase));
        match value.to_str() {
            Some(value) => set(&mut settings, &key, value, &origin, layer),
            None => mistakes.push(Mistake::new(origin, key, "is not UTF-8")),
        }
    }
    settings
}

/// `jobs.lease=1m` sets `jobs.lease`.
fn flags(flags: &[String], layer: usize, mistakes: &mut Vec<Mistake>) -> Table {
    let mut settings = Table::default();
    for flag in flags {
        match flag.split_once('=') {
            Some((key, value)) => {
                let key = KeyPath::from_iter(key.split('.').map(|step| step.trim().to_owned()));
                set(&mut settings, &key, value.trim(), &Origin::Flag, layer);
            }
            None => mistakes.push(Mistake::new(
                Origin::Flag,
                KeyPath::default(),
                "must have the form section.key=value",
            )),
        }
    }
    settings
}

/// Sets one key from words, making the sections on its way.
fn set(settings: &mut Table, key: &KeyPath, words: &str, origin: &Origin, layer: usize) {
    let mut value = structured(words, origin, layer).unwrap_or_else(|| Value::Words(words.to_owned()));
    let steps: Vec<&str> = key.steps().collect();
    let Some((first, below)) = steps.split_first() else { return };
    for step in below.iter().rev() {
        let mut section = Table::default();
        section.put(step, Node { value, origin: origin.clone(), layer });
        value = Value::Table(section);
    }
    let mut one = Table::default();
    one.put(first, Node { value, origin: origin.clone(), layer });
    settings.merge(&KeyPath::default(), one);
}

/// The list or table `words` are, when they are one.
fn structured(words: &str, origin: &Origin, layer: usize) -> Option<Value> {
    fn relabel(node: &mut Node, origin: &Origin) {
        node.origin = origin.clone();
        match &mut node.value {
            Value::List(list) => list.iter_mut().for_each(|item| relabel(item, origin)),
            Value::Table(table) => table.nodes_mut().for_each(|item| relabel(item, origin)),
            _ => {}
        }
    }
    if !words.trim_start().starts_with(['[', '{']) {
        return None;
    }
    let parsed = DeValue::parse(words).ok()?;
    let mut node = value_node(words, &parsed, parsed.span(), &Place { file: None, layer });
    relabel(&mut node, origin);
    matches!(node.value, Value::List(_) | Value::Table(_)).then_some(node.value)
}

/// The scalar `words` are as TOML, when they are one.
pub(super) fn scalar(words: &str) -> Option<toml::Value> {
    let parsed = DeValue::parse(words).ok()?;
    (!parsed.get_ref().is_array() && !parsed.get_ref().is_table()).then(|| plain(parsed.get_ref()))
}

/// `url`, `url_file` and `url_credential` are three ways to give one setting: the one of the latest layer stands, or
/// both of one layer, which is refused when read.
pub(super) fn ways<'a>(table: &'a Table, name: &str) -> Vec<(String, &'a Node)> {
    let names =
        std::iter::once(name.to_owned()).chain(Secret::SUFFIXES.map(|suffix| format!("{name}{suffix}")));
    let mut found: Vec<(String, &Node)> =
        names.filter_map(|way| table.get(&way).map(|node| (way, node))).collect();
    let latest = found.iter().map(|(_, node)| node.layer).max();
    found.retain(|(_, node)| Some(node.layer) == latest);
    found
}
