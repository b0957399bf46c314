//! Names of objects.

use percent_encoding::percent_decode;
use std::borrow::Cow;
use std::fmt;

/// How a sender writes keys into its messages (contract 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As forms are: `+` is a blank, then percent.
    Form,
    /// Percent only; `+` stays.
    Percent,
    /// As it is.
    Plain,
}

impl Encoding {
    /// Decodes once; an escape that is none stays as it is. The result may be no UTF-8.
    #[must_use]
    pub fn decode(self, sent: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => sent.to_vec(),
            Self::Percent => percent_decode(sent).collect(),
            Self::Form => {
                let blanks: Vec<u8> = sent.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
                percent_decode(&blanks).collect()
            }
        }
    }
}

/// The name of an object: bytes, nearly always UTF-8, decoded exactly once and never normalised: `a//b`, `a/./b` and
/// `../b` are objects of their own. Never make a file name of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    sent: Vec<u8>,
    bytes: Vec<u8>,
    encoding: Encoding,
    other: Option<Encoding>,
}

impl Key {
    /// The key that a sender wrote as `sent`.
    #[must_use]
    pub fn of(sent: Vec<u8>, encoding: Encoding) -> Self {
        Self { bytes: encoding.decode(&sent), sent, encoding, other: None }
    }

    /// The same, where it is not certain that the sender does not mean it in `other`.
    #[must_use]
    pub fn in_doubt(self, other: Encoding) -> Self {
        Self { other: Some(other), ..self }
    }

    /// The key itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key, if it is UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }

    /// As it was sent.
    #[must_use]
    pub fn sent(&self) -> &[u8] {
        &self.sent
    }

    /// How it was read.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// What the sender may have meant instead: only where it leaves doubt, and another key comes out.
    #[must_use]
    pub fn other_reading(&self) -> Option<Vec<u8>> {
        let other = self.other?.decode(&self.sent);
        (other != self.bytes).then_some(other)
    }

    /// The key as a person may see it: control characters and bytes that are no UTF-8 are escaped.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        match self.text() {
            Some(text) if !text.contains(char::is_control) => Cow::Borrowed(text),
            _ => Cow::Owned(escaped(&self.bytes)),
        }
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => shown.push_str("\\\\"),
                c if c.is_control() => shown.extend(c.escape_default()),
                c => shown.push(c),
            }
        }
        shown.extend(chunk.invalid().iter().map(|b| format!("\\x{b:02x}")));
    }
    shown
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:?}", self.encoding)?;
        if let Some(other) = self.other_reading() {
            write!(f, ", or {}", escaped(&other))?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_encoding_decodes_once() {
        for (encoding, sent, key) in [
            (Encoding::Form, "a%2Fb+c%2Bd%2520e", "a/b c+d%20e"),
            (Encoding::Percent, "a%2Fb+c%2Bd%2520e", "a/b+c+d%20e"),
            (Encoding::Plain, "a%2Fb+c", "a%2Fb+c"),
            (Encoding::Form, "50%", "50%"),
            (Encoding::Form, "%zz%4", "%zz%4"),
            (Encoding::Form, "..%2f..%2fx", "../../x"),
        ] {
            assert_eq!(Key::of(sent.into(), encoding).text(), Some(key), "{encoding:?} {sent}");
        }
    }

    #[test]
    fn a_hard_key_is_neither_normalised_nor_cut() {
        let long = "k".repeat(2000);
        for key in [
            "../../x",
            "/abs",
            "a/./b",
            "a//b",
            "C:\\x",
            "%252e",
            "nul\0",
            "line\nfeed",
            "dot.",
            "blank ",
            &long,
        ] {
            assert_eq!(Key::of(key.into(), Encoding::Plain).bytes(), key.as_bytes());
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_and_shown_escaped() {
        let key = Key::of(b"a%FF\n".to_vec(), Encoding::Form);
        assert_eq!((key.bytes(), key.text()), (b"a\xFF\n".as_slice(), None));
        assert_eq!(key.to_string(), "a\\xff\\n");
        assert_eq!(Key::of(b"tab\t\\".to_vec(), Encoding::Plain).to_string(), "tab\\t\\\\");
    }

    #[test]
    fn doubt_shows_only_where_it_makes_a_difference() {
        let doubtful = |sent: &str| Key::of(sent.into(), Encoding::Plain).in_doubt(Encoding::Form);
        assert_eq!(doubtful("a/b").other_reading(), None);
        assert_eq!(doubtful("a+b").other_reading(), Some(b"a b".to_vec()));
    }

    proptest! {
        #[test]
        fn what_was_sent_is_kept_for_any_bytes(sent in proptest::collection::vec(any::<u8>(), 0..40)) {
            for encoding in [Encoding::Form, Encoding::Percent, Encoding::Plain] {
                let key = Key::of(sent.clone(), encoding);
                prop_assert_eq!(key.sent(), &sent);
                prop_assert!(!key.to_string().contains(char::is_control));
            }
        }
    }
}
