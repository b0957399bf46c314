//! Regular expressions and templates of rules, compiled when the configuration is loaded.

use super::text_setting;
use crate::ids::Slug;
use std::borrow::Cow;
use std::fmt;

/// A regular expression of crate `regex`. It is searched for anywhere in a field; write `^…$` to fix its ends and
/// `(?i)` to ignore case. Named groups, `(?<grid>\w+)`, are captures.
#[derive(Debug, Clone)]
pub struct Pattern(regex::Regex);

impl Pattern {
    /// Most memory of one compiled pattern; `\w{1000}` and the like are refused when loaded.
    const COMPILED_BYTES: usize = 1 << 20;

    /// The compiled expression.
    #[must_use]
    pub const fn get(&self) -> &regex::Regex {
        &self.0
    }

    /// Names of its captures.
    pub fn capture_names(&self) -> impl Iterator<Item = &str> {
        self.0.capture_names().flatten()
    }
}

impl std::str::FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let built = regex::RegexBuilder::new(text).size_limit(Self::COMPILED_BYTES).build();
        built.map(Self).map_err(|error| {
            let last_line = error.to_string().lines().last().unwrap_or_default().replace("error: ", "");
            format!("{text:?} is not a regular expression: {last_line}")
        })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// A coordinate to set: a slug as it stands, or text with captures in braces, `"{grid}"`, folded to a slug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

/// A stretch of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Capture(String),
}

impl Template {
    /// Names of the captures it uses.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Capture(name) => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
    }

    /// The slug made of it; `None` when a capture it uses is missing or empty.
    pub fn fill<'a>(&self, capture: impl Fn(&str) -> Option<&'a str>) -> Option<Slug> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Capture(name) => text.push_str(capture(name).filter(|found| !found.is_empty())?),
            }
        }
        Some(Slug::of(&text))
    }
}

impl std::str::FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let broken = || format!("{text:?} has an unpaired brace; a capture is written {{name}}");
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, opened)) = rest.split_once('{') {
            let (name, after) = opened.split_once('}').ok_or_else(broken)?;
            if name.is_empty() || literal.contains('}') || name.contains('{') {
                return Err(broken());
            }
            pieces.extend((!literal.is_empty()).then(|| Piece::Literal(literal.to_owned())));
            pieces.push(Piece::Capture(name.to_owned()));
            rest = after;
        }
        if rest.contains('}') {
            return Err(broken());
        }
        if pieces.is_empty() {
            Slug::try_from(rest.to_owned())?;
        }
        pieces.extend((!rest.is_empty()).then(|| Piece::Literal(rest.to_owned())));
        Ok(Self(pieces))
    }
}

text_setting!(Pattern, "a regular expression");
text_setting!(Template, "a slug, or text with captures such as \"{grid}\"");

impl schemars::JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "regex" })
    }
}

impl schemars::JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, Template};

    #[test]
    fn a_pattern_that_cannot_be_read_or_grows_too_large_is_refused() {
        assert!("(".parse::<Pattern>().unwrap_err().contains("not a regular expression: unclosed group"));
        assert!(r"\w{1000}{100}".parse::<Pattern>().unwrap_err().contains("size limit"));
    }

    #[test]
    fn a_template_is_filled_and_folded() {
        let template: Template = "grid-{grid}".parse().unwrap();
        assert_eq!(template.captures().collect::<Vec<_>>(), ["grid"]);
        assert_eq!(template.fill(|_| Some("a7")).unwrap().as_str(), "grid-a7");
        assert!(template.fill(|_| Some("A 7")).unwrap().as_str().starts_with("grid-a_7-"));
        assert!(template.fill(|_| Some("")).is_none());
        assert!(template.fill(|_| None).is_none());
    }

    #[test]
    fn a_template_without_captures_must_be_a_slug() {
        assert_eq!("alert".parse::<Template>().unwrap().fill(|_| None).unwrap().as_str(), "alert");
        for text in ["", "Alert", "two words", "{", "}", "{}", "a}{b}", "{a{b}", "{a}}"] {
            assert!(text.parse::<Template>().is_err(), "{text:?}");
        }
    }
}
