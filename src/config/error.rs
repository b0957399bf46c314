//! What is wrong with a configuration: every mistake with its place, not only the first.

use super::Origin;
use std::fmt;

/// The place of a setting: `jobs.lease`, `customer[2].name`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyPath(Vec<String>);

impl KeyPath {
    /// The setting with these names, outermost first; numbers count in lists from 0.
    pub(super) fn of<const N: usize>(steps: [&str; N]) -> Self {
        Self(steps.iter().map(|step| (*step).to_owned()).collect())
    }

    /// The setting `name` of this section.
    pub(super) fn key(&self, name: &str) -> Self {
        Self(self.0.iter().map(String::as_str).chain([name]).map(str::to_owned).collect())
    }

    /// Names and numbers, outermost first.
    pub(super) fn steps(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The section this stands in, and its name there.
    pub(super) fn split_last(&self) -> Option<(Self, &str)> {
        let (name, section) = self.0.split_last()?;
        Some((Self(section.to_vec()), name))
    }

    /// Whether it is `steps`, or below.
    pub(super) fn starts_with(&self, steps: &[&str]) -> bool {
        self.0.len() >= steps.len() && self.0.iter().zip(steps).all(|(mine, theirs)| mine == theirs)
    }

    /// Whether it is the whole configuration.
    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Lists to which later layers add, instead of replacing them.
    pub(super) fn is_appended(&self) -> bool {
        matches!(self.0.as_slice(), [list] if list == "customer" || list == "rule")
    }
}

impl FromIterator<String> for KeyPath {
    fn from_iter<I: IntoIterator<Item = String>>(steps: I) -> Self {
        Self(steps.into_iter().collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            if position > 0 && step.bytes().all(|b| b.is_ascii_digit()) {
                write!(f, "[{step}]")?;
            } else {
                write!(f, "{}{}", if position > 0 { "." } else { "" }, super::print::key(step))?;
            }
        }
        Ok(())
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where it was written: file, line and column; a variable; a flag.
    pub place: String,
    /// Which setting; empty when the text could not be read at all.
    pub key: KeyPath,
    /// What is wrong. Never contains a secret.
    pub message: String,
    /// What may have been meant.
    pub suggestion: Option<String>,
}

impl Mistake {
    pub(super) fn new(place: impl fmt::Display, key: KeyPath, message: impl Into<String>) -> Self {
        Self { place: place.to_string(), key, message: message.into(), suggestion: None }
    }

    /// A mistake at `key`, written at `origin`, or nowhere: a default that does not fit another setting.
    pub(super) fn at(origin: Option<&Origin>, key: KeyPath, message: impl Into<String>) -> Self {
        Self::new(origin.map_or_else(|| "default".to_owned(), Origin::to_string), key, message)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_root() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        self.suggestion.iter().try_for_each(|meant| write!(f, ", did you mean `{meant}`?"))
    }
}

/// Every mistake that was found, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(pub Vec<Mistake>);

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, mistake) in self.0.iter().enumerate() {
            write!(f, "{}{mistake}", if position > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// The known word nearest to `word`, when it is near enough to have been meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}
