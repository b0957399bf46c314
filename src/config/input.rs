//! One node as serde's input.
//!
//! What a setting is comes from the types alone: serde says which keys a section knows, and a [`Secret`] says that it
//! is one, which is when its `_file` and `_credential` ways are looked at.

use super::fault::Fault;
use super::layer::{scalar, ways};
use super::tree::{Node, Origin, Table, Value};
use super::{KeyPath, Secret};
use serde::Deserialize;
use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use std::cell::RefCell;
use std::path::Path;

/// A secret that was read, where it is written, and how it is given.
pub(super) struct Used {
    pub path: KeyPath,
    pub way: Way,
    pub value: Secret,
}

/// What all inputs of one pass share.
pub(super) struct Context<'a> {
    credentials: Option<&'a Path>,
    used: RefCell<Vec<Used>>,
}

impl<'a> Context<'a> {
    /// `credentials` is systemd's directory of them.
    pub fn new(credentials: Option<&'a Path>) -> Self {
        Self { credentials, used: RefCell::default() }
    }

    /// Every secret of the pass.
    pub fn used(self) -> Vec<Used> {
        self.used.into_inner()
    }
}

/// How a setting is given.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Way {
    Value,
    /// Under a name the operator chose, which therefore says nothing about the way.
    Named,
    File,
    Credential,
    /// In two ways at once.
    Twice,
}

/// One node, where it stands, and how it is given.
pub(super) struct Input<'a> {
    node: &'a Node,
    path: KeyPath,
    way: Way,
    context: &'a Context<'a>,
}

impl<'a> Input<'a> {
    /// The whole tree.
    pub fn root(node: &'a Node, context: &'a Context<'a>) -> Self {
        Self { node, path: KeyPath::default(), way: Way::Value, context }
    }

    /// Runs `read` on the value; a mistake inside that has no place yet gets this one.
    fn with<T>(self, read: impl FnOnce(&Self, &'a Value) -> Result<T, Fault>) -> Result<T, Fault> {
        let result = match self.way {
            Way::Value | Way::Named => read(&self, &self.node.value),
            Way::Twice => Err(Fault::new(TWICE)),
            Way::File | Way::Credential => Err(Fault::new(NO_SECRET)),
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
            _ if self.way == Way::Twice => return Err(Fault::new(TWICE)),
            Value::Secret { value, .. } => return Ok(value.reveal().to_owned()),
            Value::Words(words) => words,
            Value::Scalar(toml::Value::String(text)) => text,
            _ => return Err(Fault::new("a secret must be text in quotes")),
        };
        match self.way {
            Way::File if Path::new(text).is_absolute() => secret_in(Path::new(text)),
            Way::File => Err(Fault::new("must be an absolute path, starting with /")),
            Way::Credential if text.contains('/') => {
                Err(Fault::new("must be the name of a credential, without /"))
            }
            Way::Credential => match self.context.credentials {
                Some(directory) => secret_in(&directory.join(text)),
                None => Err(Fault::new("systemd passed no credentials: $CREDENTIALS_DIRECTORY is not set")),
            },
            _ if self.node.origin == Origin::Flag => Err(Fault::new(
                "a secret cannot be given as a flag, because every user of this machine can read flags; use `_file` or `_credential`",
            )),
            _ => Ok(text.clone()),
        }
    }
}

const TWICE: &str = "is given in two ways by the same layer; keep one of them";
const NO_SECRET: &str = "unknown key: only secrets can be given by `_file` or `_credential`";

/// The secret a file holds, without the line end editors put there.
fn secret_in(file: &Path) -> Result<String, Fault> {
    let text =
        std::fs::read_to_string(file).map_err(|error| Fault::new(format!("{}: {error}", file.display())))?;
    Ok(text
        .strip_suffix('\n')
        .map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line))
        .to_owned())
}

impl<'de> Deserializer<'de> for Input<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.with(|input, value| match value {
            Value::Words(words) => match scalar(words) {
                Some(scalar) => visit_scalar(&scalar, visitor),
                None => visitor.visit_str(words),
            },
            Value::Scalar(scalar) => visit_scalar(scalar, visitor),
            Value::List(list) => visitor.visit_seq(Items { input, list, way: Way::Value, next: 0 }),
            Value::Table(table) => visitor.visit_map(Entries::of_map(input, table)),
            Value::Secret { .. } | Value::Dropped => Err(Fault::new("has no value")),
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
        let value = Secret::from(secret.clone());
        self.context.used.borrow_mut().push(Used { path: self.path, way: self.way, value });
        visitor.visit_string(secret)
    }

    // What is not of the expected form is never quoted here: it may be a secret that was put one level too high.

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.with(|input, value| match value {
            Value::Table(table) => visitor.visit_map(Entries::of_map(input, table)),
            _ => Err(Fault::new("must be a section with entries of its own, not a value")),
        })
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        let indirect = matches!(self.way, Way::File | Way::Credential);
        let item = self.way;
        if indirect && matches!(&self.node.value, Value::List(list) if !list.is_empty()) {
            self.way = Way::Value; // Whether its items are secrets, they know themselves.
        }
        self.with(|input, value| match value {
            Value::List(list) => visitor.visit_seq(Items { input, list, way: item, next: 0 }),
            _ => Err(Fault::new("must be a list")),
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.with(|input, value| match value {
            Value::Table(table) => visitor.visit_map(Entries::of_section(input, table, fields)),
            _ => Err(Fault::new("must be a section with settings of its own, not a value")),
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let word = String::deserialize(Input { context: self.context, path: self.path.clone(), ..self })?;
        let deserializer: StringDeserializer<Fault> = word.into_deserializer();
        let place = (&self.path, &self.node.origin);
        deserializer.deserialize_enum(name, variants, visitor).map_err(|fault| fault.at(place.0, place.1))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 bytes byte_buf unit unit_struct tuple tuple_struct
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
    input: &'r Input<'a>,
    list: &'a [Node],
    way: Way,
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        while let Some(node) = self.list.get(self.next) {
            let path = self.input.path.key(&self.next.to_string());
            self.next += 1;
            if !matches!(node.value, Value::Dropped) {
                let input = Input { node, path, way: self.way, context: self.input.context };
                return seed.deserialize(input).map(Some);
            }
        }
        Ok(None)
    }
}

/// The entries of a table: the name its section knows, the key it was written under, how it is given.
struct Entries<'a, 'r> {
    input: &'r Input<'a>,
    waiting: std::vec::IntoIter<(String, String, Way, &'a Node)>,
    value: Option<Input<'a>>,
}

impl<'a, 'r> Entries<'a, 'r> {
    fn new(input: &'r Input<'a>, entries: Vec<(String, String, Way, &'a Node)>) -> Self {
        Self { input, waiting: entries.into_iter(), value: None }
    }

    /// Names are free.
    fn of_map(input: &'r Input<'a>, table: &'a Table) -> Self {
        let direct = |(key, node): (&str, &'a Node)| (key.to_owned(), key.to_owned(), Way::Named, node);
        Self::new(input, table.iter().map(direct).collect())
    }

    /// Names are `fields`; what is none of them, nor a way to give one, is handed on for serde to refuse.
    fn of_section(input: &'r Input<'a>, table: &'a Table, fields: &[&str]) -> Self {
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
        Self::new(input, entries)
    }
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((name, key, way, node)) = self.waiting.next() else { return Ok(None) };
        let path = self.input.path.key(&key);
        let name: StrDeserializer<'_, Fault> = name.as_str().into_deserializer();
        let read = seed.deserialize(name).map_err(|fault| fault.at(&path, &node.origin))?;
        self.value = Some(Input { node, path, way, context: self.input.context });
        Ok(Some(read))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let input = self.value.take().ok_or_else(|| Fault::new("a value is read after its key"))?;
        let place = (input.path.clone(), &input.node.origin);
        seed.deserialize(input).map_err(|fault| fault.at(&place.0, place.1))
    }
}
