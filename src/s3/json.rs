//! Reads JSON texts whose strings may hold any bytes.
//!
//! A key of an object store is bytes, and some senders write it into a JSON string as it stands. serde_json refuses such
//! a text as a whole, takes the last of two equal members without a word, and has a fixed limit of depth. This reader
//! keeps the bytes, shows every member, and is told its limit. Otherwise it takes what serde_json takes, which a test
//! compares.
//!
//! A text is checked once, without recursion. A value is then its own stretch of the text and is opened one level at a
//! time, so that nothing is made of the parts nobody asks for.

use std::borrow::Cow;
use std::fmt;

/// One value of a checked text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Json<'a>(&'a [u8]);

/// One member of an object: its name, decoded, and its value.
pub type Member<'a> = (Cow<'a, [u8]>, Json<'a>);

/// Why a text is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not as RFC 8259 has it, from this byte on.
    #[error("no JSON at byte {0}")]
    Syntax(usize),
    /// Deeper than the limit at this byte.
    #[error("too deep at byte {0}")]
    Depth(usize),
}

impl<'a> Json<'a> {
    /// Checks `text` as a whole: one value with blanks around it. A byte order mark in front is skipped.
    ///
    /// Never panics; takes time linear in `text` and one bit of memory per level.
    ///
    /// # Errors
    /// When it is no JSON, or has more than `depth` arrays and objects within each other.
    pub fn parse(text: &'a [u8], depth: usize) -> Result<Self, Broken> {
        let mut at = if text.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        at = blanks(text, at);
        let end = check(text, at, depth)?;
        match blanks(text, end) {
            rest if rest == text.len() => Ok(Self(&text[at..end])),
            rest => Err(Broken::Syntax(rest)),
        }
    }

    /// The value as it is written.
    #[must_use]
    pub const fn written(self) -> &'a [u8] {
        self.0
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0 == b"null"
    }

    /// `true` or `false`.
    #[must_use]
    pub fn flag(self) -> Option<bool> {
        match self.0 {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        }
    }

    /// A number as it is written: no digit is lost.
    #[must_use]
    pub fn number(self) -> Option<&'a str> {
        let number = matches!(self.0.first()?, b'-' | b'0'..=b'9');
        number.then(|| std::str::from_utf8(self.0).ok()).flatten()
    }

    /// The bytes of a string. Half of a surrogate pair becomes the three bytes it would have in UTF-8, which are none.
    #[must_use]
    pub fn string(self) -> Option<Cow<'a, [u8]>> {
        let inside = self.0.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        Some(if inside.contains(&b'\\') { Cow::Owned(unescape(inside)) } else { Cow::Borrowed(inside) })
    }

    /// The elements of an array.
    #[must_use]
    pub fn elements(self) -> Option<Vec<Self>> {
        let mut at = (self.0.first() == Some(&b'[')).then_some(1)?;
        let mut elements = Vec::new();
        loop {
            at = blanks(self.0, at);
            if self.0.get(at) == Some(&b']') {
                return Some(elements);
            }
            let end = end_of(self.0, at)?;
            elements.push(Self(&self.0[at..end]));
            at = behind_comma(self.0, end);
        }
    }

    /// The members of an object in their order, equal names included.
    #[must_use]
    pub fn members(self) -> Option<Vec<Member<'a>>> {
        let mut at = (self.0.first() == Some(&b'{')).then_some(1)?;
        let mut members = Vec::new();
        loop {
            at = blanks(self.0, at);
            if self.0.get(at) == Some(&b'}') {
                return Some(members);
            }
            let name_end = end_of(self.0, at)?;
            let name = Self(&self.0[at..name_end]).string()?;
            let from = blanks(self.0, blanks(self.0, name_end) + 1);
            let end = end_of(self.0, from)?;
            members.push((name, Self(&self.0[from..end])));
            at = behind_comma(self.0, end);
        }
    }
}

impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

fn blanks(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count()
}

fn behind_comma(text: &[u8], end: usize) -> usize {
    let next = blanks(text, end);
    if text.get(next) == Some(&b',') { next + 1 } else { next }
}

/// What is open while a text is checked: one bit per level, set for objects.
#[derive(Default)]
struct Levels {
    bits: Vec<u64>,
    count: usize,
}

impl Levels {
    fn open(&mut self, is_object: bool) {
        let (word, bit) = (self.count / 64, self.count % 64);
        if word == self.bits.len() {
            self.bits.push(0);
        }
        self.bits[word] = self.bits[word] & !(1 << bit) | u64::from(is_object) << bit;
        self.count += 1;
    }

    fn in_object(&self) -> bool {
        let top = self.count.saturating_sub(1);
        self.bits.get(top / 64).is_some_and(|word| word >> (top % 64) & 1 == 1)
    }
}

/// Checks the value that begins at `at`; gives the place behind it.
fn check(text: &[u8], mut at: usize, depth: usize) -> Result<usize, Broken> {
    let mut levels = Levels::default();
    loop {
        at = match text.get(at) {
            Some(open @ (b'{' | b'[')) => {
                if levels.count == depth {
                    return Err(Broken::Depth(at));
                }
                let inside = blanks(text, at + 1);
                let close = if *open == b'{' { b'}' } else { b']' };
                if text.get(inside) == Some(&close) {
                    inside + 1
                } else {
                    levels.open(*open == b'{');
                    at = if levels.in_object() { name(text, inside)? } else { inside };
                    continue;
                }
            }
            _ => scalar(text, at)?,
        };
        // Behind a value: close what ends here, go on with what follows a comma.
        loop {
            if levels.count == 0 {
                return Ok(at);
            }
            at = blanks(text, at);
            match (text.get(at), levels.in_object()) {
                (Some(b'}'), true) | (Some(b']'), false) => levels.count -= 1,
                (Some(b','), true) => {
                    at = name(text, blanks(text, at + 1))?;
                    break;
                }
                (Some(b','), false) => {
                    at = blanks(text, at + 1);
                    break;
                }
                _ => return Err(Broken::Syntax(at)),
            }
            at += 1;
        }
    }
}

/// Checks a member's name and its colon; gives the place of the value.
fn name(text: &[u8], at: usize) -> Result<usize, Broken> {
    let colon = blanks(text, string(text, at)?);
    if text.get(colon) == Some(&b':') { Ok(blanks(text, colon + 1)) } else { Err(Broken::Syntax(colon)) }
}

fn scalar(text: &[u8], at: usize) -> Result<usize, Broken> {
    match text.get(at) {
        Some(b'"') => string(text, at),
        Some(b'-' | b'0'..=b'9') => number(text, at),
        _ => {
            let rest = text.get(at..).unwrap_or_default();
            let words: [&[u8]; 3] = [b"null", b"true", b"false"];
            let word = words.into_iter().find(|word| rest.starts_with(word));
            word.map(|word| at + word.len()).ok_or(Broken::Syntax(at))
        }
    }
}

fn string(text: &[u8], at: usize) -> Result<usize, Broken> {
    if text.get(at) != Some(&b'"') {
        return Err(Broken::Syntax(at));
    }
    let mut i = at + 1;
    loop {
        match text.get(i) {
            Some(b'"') => return Ok(i + 1),
            Some(b'\\') => match text.get(i + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => i += 2,
                Some(b'u') if unit(text, i + 2).is_some() => i += 6,
                _ => return Err(Broken::Syntax(i)),
            },
            Some(0x20..) => i += 1,
            _ => return Err(Broken::Syntax(i)),
        }
    }
}

fn number(text: &[u8], at: usize) -> Result<usize, Broken> {
    let digits = |from: usize| {
        let count = text.get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 { Err(Broken::Syntax(from)) } else { Ok(from + count) }
    };
    let mut i = at + usize::from(text[at] == b'-');
    i = if text.get(i) == Some(&b'0') { i + 1 } else { digits(i)? };
    if text.get(i) == Some(&b'.') {
        i = digits(i + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(i) {
        i = digits(i + 1 + usize::from(matches!(text.get(i + 1), Some(b'+' | b'-'))))?;
    }
    Ok(i)
}

/// The end of a value of a checked text.
fn end_of(text: &[u8], at: usize) -> Option<usize> {
    check(text, at, usize::MAX).ok()
}

/// The four digits of an escape.
fn unit(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    digits.iter().try_fold(0, |unit, &b| Some(unit << 4 | char::from(b).to_digit(16)?))
}

fn unescape(inside: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(inside.len());
    let mut i = 0;
    while i < inside.len() {
        if inside[i] != b'\\' {
            bytes.push(inside[i]);
            i += 1;
            continue;
        }
        let escape = inside.get(i + 1).copied().unwrap_or(b'\\');
        i += 2;
        match escape {
            b'u' => i = push_unit(inside, i, &mut bytes),
            b'b' => bytes.push(0x08),
            b'f' => bytes.push(0x0C),
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            other => bytes.push(other),
        }
    }
    bytes
}

/// Appends the character of the escape whose digits begin at `at`; gives the place behind it.
fn push_unit(inside: &[u8], at: usize, bytes: &mut Vec<u8>) -> usize {
    let first = unit(inside, at).unwrap_or(0xFFFD);
    let second = (inside.get(at + 4..at + 6) == Some(b"\\u")).then(|| unit(inside, at + 6)).flatten();
    let (code, end) = match (first, second) {
        (0xD800..0xDC00, Some(low @ 0xDC00..0xE000)) => {
            (0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00), at + 10)
        }
        _ => (first, at + 4),
    };
    match char::from_u32(code) {
        Some(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            bytes.extend([0xE0 | code >> 12, 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F].map(|b| b as u8))
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// Levels that serde_json takes.
    const DEPTH: usize = 127;

    fn value(json: Json<'_>) -> Value {
        if let Some(members) = json.members() {
            let text = |name: Cow<'_, [u8]>| String::from_utf8(name.into_owned()).unwrap();
            return members.into_iter().map(|(name, json)| (text(name), value(json))).collect();
        }
        if let Some(elements) = json.elements() {
            return elements.into_iter().map(value).collect();
        }
        if let Some(string) = json.string() {
            return Value::String(String::from_utf8(string.into_owned()).unwrap());
        }
        json.number().map_or_else(
            || json.flag().map_or(Value::Null, Value::Bool),
            |number| serde_json::from_str(number).unwrap_or(Value::Null),
        )
    }

    /// Both readers say the same, except where this one is meant to take more.
    fn compare(text: &[u8]) {
        let ours = Json::parse(text, DEPTH);
        match serde_json::from_slice::<Value>(text) {
            Ok(theirs) => assert_eq!(value(ours.unwrap()), theirs, "{}", text.escape_ascii()),
            Err(error) => {
                let meant = ["surrogate", "unicode", "hex escape", "number out of range"];
                let is_meant = meant.iter().any(|words| error.to_string().contains(words));
                assert!(is_meant || ours.is_err(), "{error}: {}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn it_takes_what_serde_json_takes() {
        for text in [
            "{}",
            "[]",
            " [ ] ",
            "null",
            "true",
            "false",
            "nul",
            "\"\"",
            "\"a\\u00e9\\ud83d\\ude00\\n\\/\"",
            "0",
            "-0",
            "01",
            "1.",
            "1.5e-3",
            "-",
            "1e",
            "1e400",
            "[1,]",
            "[,1]",
            "{\"a\":1,}",
            "{\"a\" : [ {} , 2 ] , \"b\":{\"c\":null}}",
            "{\"a\"}",
            "{a:1}",
            "[1 2]",
            "[}",
            "{]",
            "\"\u{1}\"",
            "\"\\x\"",
            "\"\\u12\"",
            "",
            " ",
            "1 2",
            "[[[[]]]]",
            "\"",
            "[",
            "{\"a\":",
        ] {
            compare(text.as_bytes());
        }
    }

    #[test]
    fn bytes_of_strings_are_kept() {
        let text = b"\xEF\xBB\xBF{\"k\xFF\":\"a\xC3\\u00e4\\ud83d!\"}";
        let members = Json::parse(text, 1).unwrap().members().unwrap();
        assert_eq!(members[0].0.as_ref(), b"k\xFF");
        assert_eq!(members[0].1.string().unwrap().as_ref(), b"a\xC3\xC3\xA4\xED\xA0\xBD!");
    }

    #[test]
    fn equal_members_are_both_shown_and_long_numbers_keep_their_digits() {
        let json = Json::parse(br#"{"a":1,"a":80412345678901234567}"#, 1).unwrap();
        let numbers: Vec<_> =
            json.members().unwrap().iter().map(|(_, json)| json.number().unwrap()).collect();
        assert_eq!(numbers, ["1", "80412345678901234567"]);
    }

    #[test]
    fn depth_is_the_callers_limit() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(Json::parse(nested(64).as_bytes(), 64).is_ok());
        assert_eq!(Json::parse(nested(65).as_bytes(), 64), Err(Broken::Depth(64)));
        let mixed = "{\"a\":[".repeat(100) + &"]}".repeat(100);
        assert!(Json::parse(mixed.as_bytes(), 200).is_ok());
        assert_eq!(Json::parse("[".repeat(1 << 20).as_bytes(), usize::MAX), Err(Broken::Syntax(1 << 20)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_serde_json_reads_it(
            text in "([\\[\\]{},: ]|\"a\"|\"\\\\u00e9\"|\"\\\\n\"|null|true|-?[0-9]{1,3}(\\.[0-9])?|e|\\PC|\"k\":){0,24}"
        ) {
            compare(text.as_bytes());
        }

        #[test]
        fn no_bytes_make_it_panic(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(json) = Json::parse(&text, 8) {
                let _seen = (json.members(), json.elements(), json.string(), json.number());
            }
        }
    }
}
