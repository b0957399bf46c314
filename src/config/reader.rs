//! From nodes to typed settings. serde stops at the first mistake, so a wrong node is reported, put back to its default
//! and everything read again, until nothing wrong is left: every mistake is found, each with its place.
//!
//! What a setting is comes from the types alone: serde says which keys a section knows, and a [`Secret`] says that it
//! is one, which is when its `_file` and `_credential` ways are looked at.

use super::error::{Mistake, nearest};
use super::layer::{defaults, scalar, ways};
use super::tree::{Node, Origin, Table, Value};
use super::{Config, KeyPath, Secret};
use serde::Deserialize;
use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use std::cell::RefCell;
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
        let context = Context { credentials, used: RefCell::default() };
        let reader = Reader { node: &tree, path: KeyPath::default(), way: Way::Value, context: &context };
        let fault = match Config::deserialize(reader) {
            Ok(config) => {
                let used = context.used.into_inner();
                let secrets = used.into_iter().map(|secret| hide(&mut tree, secret)).collect();
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

/// A secret that was read, and by which key.
struct Used {
    section: KeyPath,
    name: String,
    way: String,
    value: Secret,
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

/// What all readers of one pass share.
struct Context<'a> {
    credentials: Option<&'a Path>,
    used: RefCell<Vec<Used>>,
}

/// How a setting is given.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Value,
    File,
    Credential,
    /// In two ways at once.
    Twice,
}

/// Why a node cannot be read, and which.
#[derive(Debug)]
struct Fault {
    message: String,
    suggestion: Option<String>,
    missing: Option<&'static str>,
    place: Option<(KeyPath, Origin)>,
}

impl Fault {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), suggestion: None, missing: None, place: None }
    }

    /// A word that is not known here.
    fn unknown(what: &str, word: &str, known: &[&str]) -> Self {
        let suggestion = nearest(word, known.iter().copied());
        let message = match suggestion {
            Some(_) => what.to_owned(),
            None => format!("{what}, known are {}", known.join(", ")),
        };
        Self { suggestion, ..Self::new(message) }
    }

    /// Remembers the innermost place.
    fn at(mut self, path: &KeyPath, origin: &Origin) -> Self {
        self.place.get_or_insert_with(|| (path.clone(), origin.clone()));
        self
    }
}

impl de::Error for Fault {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown("unknown key", field, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown(&format!("{variant:?} is not known here"), variant, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new(format!("`{field}` is missing")) }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// One node as serde's input.
struct Reader<'a> {
    node: &'a Node,
    path: KeyPath,
    way: Way,
    context: &'a Context<'a>,
}

impl<'a> Reader<'a> {
    /// Runs `read` on the value; a mistake inside that has no place yet gets this one.
    fn with<T>(self, read: impl FnOnce(&Self, &'a Value) -> Result<T, Fault>) -> Result<T, Fault> {
        let result = match self.way {
            Way::Value => read(&self, &self.node.value),
            Way::Twice => Err(Fault::new("is given in two ways, and neither is later")),
            Way::File | Way::Credential => Err(Fault::new("unknown key: only a secret is given this way")),
        };
        result.map_err(|fault| fault.at(&self.path, &self.node.origin))
    }

    /// The text, when it is text or words.
    fn text(&self) -> Option<String> {
        match &self.node.value {
            Value::Words(words) => match scalar(words) {
                Some(toml::Value::String(quoted)) => Some(quoted),
                _ => Some(words.clone()),
            },
            Value::Scalar(toml::Value::String(text)) => Some(text.clone()),
            _ => None,
        }
    }

    fn secret(&self) -> Result<String, Fault> {
        let text = match &self.node.value {
            Value::Words(words) => words,
            Value::Scalar(toml::Value::String(text)) => text,
            _ => return Err(Fault::new("a secret is text, in quotes")),
        };
        match self.way {
            Way::Twice => Err(Fault::new("is given in two ways, and neither is later")),
            Way::Value if self.node.origin == Origin::Flag => Err(Fault::new(
                "a secret is never a flag, which every user of this machine can read; give it as `_file`, `_credential` or in the environment",
            )),
            Way::Value => Ok(text.clone()),
            Way::File if Path::new(text).is_absolute() => secret_in(Path::new(text)),
            Way::File => Err(Fault::new("the path of a secret's file begins with /")),
            Way::Credential if text.contains('/') => Err(Fault::new("the name of a credential has no /")),
            Way::Credential => match self.context.credentials {
                Some(directory) => secret_in(&directory.join(text)),
                None => {
                    Err(Fault::new("there are no systemd credentials: $CREDENTIALS_DIRECTORY is not set"))
                }
            },
        }
    }
}

/// The secret a file holds, without the line end editors put there.
fn secret_in(file: &Path) -> Result<String, Fault> {
    let text =
        std::fs::read_to_string(file).map_err(|error| Fault::new(format!("{}: {error}", file.display())))?;
    Ok(text
        .strip_suffix('\n')
        .map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line))
        .to_owned())
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.with(|reader, value| match value {
            Value::Words(words) => match scalar(words) {
                Some(scalar) => visit_scalar(&scalar, visitor),
                None => visitor.visit_str(words),
            },
            Value::Scalar(scalar) => visit_scalar(scalar, visitor),
            Value::List(list) => visitor.visit_seq(Items { reader, list, next: 0 }),
            Value::Table(table) => visitor.visit_map(Entries::of_map(reader, table)),
            Value::Hidden(_) | Value::Dropped => Err(Fault::new("no value")),
        })
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_string(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.text() {
            Some(text) => self.with(|_, _| visitor.visit_string(text)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if name != Secret::TYPE {
            return visitor.visit_newtype_struct(self);
        }
        let secret = self.secret().map_err(|fault| fault.at(&self.path, &self.node.origin))?;
        if let Some((section, way)) = self.path.split_last() {
            let ends = Secret::SUFFIXES
                .iter()
                .find_map(|end| way.strip_suffix(end))
                .filter(|_| self.way != Way::Value);
            let (name, way) = (ends.unwrap_or(way).to_owned(), way.to_owned());
            self.context.used.borrow_mut().push(Used {
                section,
                name,
                way,
                value: Secret::from(secret.clone()),
            });
        }
        visitor.visit_string(secret)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Table(table) => {
                self.with(|reader, _| visitor.visit_map(Entries::of_section(reader, table, fields)))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let word = String::deserialize(Reader { context: self.context, path: self.path.clone(), ..self })?;
        let deserializer: StringDeserializer<Fault> = word.into_deserializer();
        let place = (&self.path, &self.node.origin);
        deserializer.deserialize_enum(name, variants, visitor).map_err(|fault| fault.at(place.0, place.1))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 bytes byte_buf unit unit_struct seq tuple tuple_struct map
        identifier ignored_any
    }
}

fn visit_scalar<'de, V: Visitor<'de>>(scalar: &toml::Value, visitor: V) -> Result<V::Value, Fault> {
    match scalar {
        toml::Value::Boolean(value) => visitor.visit_bool(*value),
        toml::Value::Integer(value) => visitor.visit_i64(*value),
        toml::Value::Float(value) => visitor.visit_f64(*value),
        toml::Value::String(value) => visitor.visit_str(value),
        other => visitor.visit_string(other.to_string()),
    }
}

/// The items of a list; one that was wrong keeps its number and is left out.
struct Items<'a, 'r> {
    reader: &'r Reader<'a>,
    list: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        while let Some(node) = self.list.get(self.next) {
            let path = self.reader.path.key(&self.next.to_string());
            self.next += 1;
            if !matches!(node.value, Value::Dropped) {
                let reader = Reader { node, path, way: Way::Value, context: self.reader.context };
                return seed.deserialize(reader).map(Some);
            }
        }
        Ok(None)
    }
}

/// The entries of a table: the name its section knows, the key it was written under, how it is given.
struct Entries<'a, 'r> {
    reader: &'r Reader<'a>,
    waiting: std::vec::IntoIter<(String, String, Way, &'a Node)>,
    value: Option<Reader<'a>>,
}

impl<'a, 'r> Entries<'a, 'r> {
    fn new(reader: &'r Reader<'a>, entries: Vec<(String, String, Way, &'a Node)>) -> Self {
        Self { reader, waiting: entries.into_iter(), value: None }
    }

    /// Names are free.
    fn of_map(reader: &'r Reader<'a>, table: &'a Table) -> Self {
        let direct = |(key, node): (&str, &'a Node)| (key.to_owned(), key.to_owned(), Way::Value, node);
        Self::new(reader, table.iter().map(direct).collect())
    }

    /// Names are `fields`; what is none of them, nor a way to give one, is handed on for serde to refuse.
    fn of_section(reader: &'r Reader<'a>, table: &'a Table, fields: &[&str]) -> Self {
        let mut entries = Vec::new();
        for field in fields {
            let ways = ways(table, field);
            let twice = ways.len() > 1;
            for (key, node) in ways.into_iter().take(1) {
                let way = match key.strip_prefix(field).unwrap_or_default() {
                    _ if twice => Way::Twice,
                    "" => Way::Value,
                    "_file" => Way::File,
                    _ => Way::Credential,
                };
                entries.push(((*field).to_owned(), key, way, node));
            }
        }
        let known = |key: &str| {
            let stem = Secret::SUFFIXES.iter().find_map(|end| key.strip_suffix(end));
            fields.contains(&key) || stem.is_some_and(|stem| fields.contains(&stem))
        };
        let strange = table.iter().filter(|(key, _)| !known(key));
        entries.extend(strange.map(|(key, node)| (key.to_owned(), key.to_owned(), Way::Value, node)));
        Self::new(reader, entries)
    }
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((name, key, way, node)) = self.waiting.next() else { return Ok(None) };
        let path = self.reader.path.key(&key);
        let name: StrDeserializer<'_, Fault> = name.as_str().into_deserializer();
        let read = seed.deserialize(name).map_err(|fault| fault.at(&path, &node.origin))?;
        self.value = Some(Reader { node, path, way, context: self.reader.context });
        Ok(Some(read))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let reader = self.value.take().ok_or_else(|| Fault::new("a value is read after its key"))?;
        let place = (reader.path.clone(), &reader.node.origin);
        seed.deserialize(reader).map_err(|fault| fault.at(&place.0, place.1))
    }
}
