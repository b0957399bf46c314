//! Parameters of URLs as values. What is wrong with one is said in words of the API, with its name.
//!
//! A deserializer over names and texts: a plain struct takes parameters by name, as of a query; one value or a tuple takes
//! them in their order, as of a path.

use super::Problem;
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use std::fmt;

/// Reads parameters, names and texts, as a `T`.
///
/// # Errors
/// The first parameter that is wrong, missing or given twice, and what is allowed.
pub(super) fn read<T: DeserializeOwned>(given: &[(String, String)]) -> Result<T, Problem> {
    T::deserialize(Given(given)).map_err(|fault| match (fault.parameter, given) {
        (Some(name), _) => Problem::parameter(name, fault.detail),
        // What a value is made of can be wrong after its text was read.
        (None, [(name, _)]) => Problem::parameter(name, fault.detail),
        (None, _) => Problem::internal(format!("{}: {}", std::any::type_name::<T>(), fault.detail)),
    })
}

/// What is wrong, and with which parameter as soon as that is known.
#[derive(Debug)]
struct Fault {
    parameter: Option<String>,
    detail: String,
}

impl Fault {
    fn of(mut self, name: &str) -> Self {
        self.parameter.get_or_insert_with(|| name.to_owned());
        self
    }

    fn says(detail: impl fmt::Display) -> Self {
        Self { parameter: None, detail: detail.to_string() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::says(message)
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::says(format_args!("is not one of {}", known.join(", ")))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::says("is missing").of(name)
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::says("is given twice").of(name)
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::says(format_args!("is not {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::says(format_args!("is not {expected}"))
    }
}

/// All parameters.
#[derive(Clone, Copy)]
struct Given<'g>(&'g [(String, String)]);

/// The text of one.
#[derive(Clone, Copy)]
struct Value<'g>(&'g str);

impl<'g> Given<'g> {
    /// Reads the only parameter.
    fn only<T>(self, read: impl FnOnce(Value<'g>) -> Result<T, Fault>) -> Result<T, Fault> {
        match self.0 {
            [(_, text)] => read(Value(text)),
            other => Err(Fault::says(format_args!("one value of {} parameters", other.len()))),
        }
    }
}

macro_rules! of_the_only_one {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.only(|value| value.$method(visitor))
        })*
    };
}

impl<'de> Deserializer<'de> for Given<'_> {
    type Error = Fault;

    of_the_only_one! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_str deserialize_string deserialize_option
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.only(|value| value.deserialize_enum(name, variants, visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_map(ByName { rest: self.0.iter(), next: None })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(InOrder(self.0.iter()))
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple_struct map identifier ignored_any
    }
}

struct ByName<'g> {
    rest: std::slice::Iter<'g, (String, String)>,
    next: Option<&'g (String, String)>,
}

impl<'de> MapAccess<'de> for ByName<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.next = self.rest.next();
        self.next.map(|(name, _)| seed.deserialize(text(name))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (name, text) = self.next.ok_or_else(|| Fault::says("a value before its name"))?;
        seed.deserialize(Value(text)).map_err(|fault| fault.of(name))
    }
}

struct InOrder<'g>(std::slice::Iter<'g, (String, String)>);

impl<'de> SeqAccess<'de> for InOrder<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((name, text)) = self.0.next() else { return Ok(None) };
        seed.deserialize(Value(text)).map(Some).map_err(|fault| fault.of(name))
    }
}

fn text(text: &str) -> StrDeserializer<'_, Fault> {
    text.into_deserializer()
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $number:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let wrong = |_| Fault::says(format_args!("is not a whole number from {} to {}", $number::MIN, $number::MAX));
            visitor.$visit(self.0.parse::<$number>().map_err(wrong)?)
        })*
    };
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_bool(self.0.parse().map_err(|_| Fault::says("is not true or false"))?)
    }

    whole_numbers! {
        deserialize_i8 visit_i8 i8 deserialize_i16 visit_i16 i16 deserialize_i32 visit_i32 i32 deserialize_i64 visit_i64 i64
        deserialize_u8 visit_u8 u8 deserialize_u16 visit_u16 u16 deserialize_u32 visit_u32 u32 deserialize_u64 visit_u64 u64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(text(self.0))
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::ids::{DeliveryId, JobId, Slug};
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        Red,
        DarkBlue,
    }

    #[derive(Debug, Deserialize)]
    struct Filter {
        colour: Option<Colour>,
        held: Option<bool>,
        customer: Option<Slug>,
        delivery: Option<DeliveryId>,
        limit: u16,
    }

    type Pairs<'p> = &'p [(&'p str, &'p str)];

    fn given(pairs: Pairs<'_>) -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn parameters_are_read_by_name_and_those_of_a_path_in_order() {
        let filter: Filter =
            read(&given(&[("held", "true"), ("colour", "dark_blue"), ("limit", "3"), ("other", "x")]))
                .unwrap();
        assert_eq!((filter.colour, filter.held, filter.limit), (Some(Colour::DarkBlue), Some(true), 3));
        assert_eq!((filter.customer, filter.delivery), (None, None));
        assert_eq!(read::<JobId>(&given(&[("id", "17")])).unwrap(), JobId(17));
        assert_eq!(read::<String>(&given(&[("name", "a b")])).unwrap(), "a b");
        assert_eq!(read::<(String, u32)>(&given(&[("id", "x"), ("n", "2")])).unwrap(), ("x".to_owned(), 2));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_name_and_what_is_allowed() {
        let fault = |pairs: Pairs<'_>| format!("{:?}", read::<Filter>(&given(pairs)).unwrap_err());
        let cases: [(Pairs<'_>, &str, &str); 7] = [
            (&[("colour", "green")], "colour", "is not one of red, dark_blue"),
            (&[("held", "yes")], "held", "is not true or false"),
            (&[("customer", "A b")], "customer", "is not of the form [a-z0-9_-]{1,64}"),
            (&[("delivery", "7")], "delivery", "is not an id such as "),
            (&[("limit", "-1")], "limit", "is not a whole number from 0 to 65535"),
            (&[("held", "true"), ("held", "true")], "held", "is given twice"),
            (&[], "limit", "is missing"),
        ];
        for (pairs, name, says) in cases {
            let fault = fault(pairs);
            assert!(fault.contains(&format!("parameter: Some({name:?})")) && fault.contains(says), "{fault}");
        }
        let id = format!("{:?}", read::<JobId>(&given(&[("id", "one")])).unwrap_err());
        assert!(
            id.contains("Some(\"id\")") && id.contains("is not a whole number") && !id.contains("i64"),
            "{id}"
        );
    }
}
