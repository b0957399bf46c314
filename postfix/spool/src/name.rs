//! File names in `new/`.

use std::fmt;

use uuid::Uuid;

/// State of an entry in `new/`, part of its file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Accepted and acknowledged.
    Whole,
    /// Shorter than announced and deferred; kept to compare with the next try.
    Short,
    /// Set aside because its bytes no longer match its digest.
    Damaged,
}

/// The file name of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryName {
    pub receipt_id: Uuid,
    pub state: State,
}

impl EntryName {
    pub fn whole(receipt_id: Uuid) -> Self {
        Self { receipt_id, state: State::Whole }
    }

    pub fn short(receipt_id: Uuid) -> Self {
        Self { receipt_id, state: State::Short }
    }

    pub fn damaged(receipt_id: Uuid) -> Self {
        Self { receipt_id, state: State::Damaged }
    }

    /// Parses a file name; `None` for any name that we do not write.
    pub fn parse(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        let (stem, state) = match name.split_once('.') {
            None => (name, State::Whole),
            Some((stem, "short")) => (stem, State::Short),
            Some((stem, "damaged")) => (stem, State::Damaged),
            Some(_) => return None,
        };
        let parsed = Self { receipt_id: Uuid::try_parse(stem).ok()?, state };
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = match self.state {
            State::Whole => "",
            State::Short => ".short",
            State::Damaged => ".damaged",
        };
        write!(f, "{}{suffix}", self.receipt_id.hyphenated())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_itself() {
        let id = Uuid::from_u128(42);
        for name in [EntryName::whole(id), EntryName::short(id), EntryName::damaged(id)] {
            assert_eq!(EntryName::parse(name.to_string().as_bytes()), Some(name));
        }
    }

    #[test]
    fn other_spellings_of_a_receipt_are_not_entries() {
        let id = "0a000000-0000-4000-8000-000000000001";
        assert!(EntryName::parse(id.as_bytes()).is_some());
        for name in [
            id.to_uppercase(),
            id.replace('-', ""),
            format!("{{{id}}}"),
            format!("{id}.x"),
            format!("{id}.short.short"),
            String::new(),
        ] {
            assert_eq!(EntryName::parse(name.as_bytes()), None, "{name}");
        }
        assert_eq!(EntryName::parse(b"\xff"), None);
    }
}
