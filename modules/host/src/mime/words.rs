//! Header values as text: unfolded, encoded words (RFC 2047) decoded.
//!
//! Mail programs break encoded words wherever their line ends, inside characters and inside base64 groups. So neighbours
//! of one character set are put together as bytes before they are read. A word may touch other text and hold blanks.

use super::transfer::sextet;
use crate::charset;
use crate::problem::add;
use module_api::Problem;
use module_api::charset::Charset;
use std::ops::Range;

/// Longest label of a character set, language included.
const LABEL_BYTES: usize = 64;

/// Reads header values of one block.
pub(super) struct Reader<'p> {
    /// What the body is said to be in: unlabelled bytes of a header are often in the same.
    pub body_charset: Option<Charset>,
    /// Whether `_` of a Q word is a blank, as RFC 2047 has it.
    pub underscore_is_blank: bool,
    /// Where guesses are told.
    pub problems: &'p mut Vec<Problem>,
}

/// A stretch of a value.
enum Piece<'v> {
    /// As written.
    Text(&'v [u8]),
    /// Encoded words that belong together.
    Words(String),
}

impl<'p> Reader<'p> {
    pub(super) fn new(problems: &'p mut Vec<Problem>) -> Self {
        Self { body_charset: None, underscore_is_blank: true, problems }
    }

    /// The value on one line, without NUL.
    pub(super) fn text(&mut self, value: &[u8]) -> String {
        let mut out = String::with_capacity(value.len());
        self.pieces(value, &mut |reader, piece| match piece {
            Piece::Text(bytes) => unfold(&reader.plain(bytes), &mut out),
            Piece::Words(text) => unfold(&text, &mut out),
        });
        let text = out.trim_matches([' ', '\t']);
        if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text.to_owned() }
    }

    /// The value on one line, its encoded words as quoted strings, for a reader of addresses.
    pub(super) fn quoted(&mut self, value: &[u8]) -> String {
        let mut out = String::with_capacity(value.len() + 2);
        let mut in_quotes = false;
        self.pieces(value, &mut |reader, piece| match piece {
            Piece::Text(bytes) => {
                let text = reader.plain(bytes);
                let mut escaped = false;
                for c in text.chars() {
                    in_quotes ^= c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                }
                unfold(&text, &mut out);
            }
            Piece::Words(text) => {
                let mark = if in_quotes { "" } else { "\"" };
                out.push_str(mark);
                for c in text.chars() {
                    if matches!(c, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(if c.is_control() { ' ' } else { c });
                }
                out.push_str(mark);
            }
        });
        out
    }

    /// Bytes of a header that are no encoded word: UTF-8 if they are, ISO-2022-JP by its escapes, what the body is in if
    /// they can be that, windows-1252 otherwise.
    pub(super) fn plain(&mut self, bytes: &[u8]) -> String {
        match std::str::from_utf8(bytes) {
            Ok(text) if !bytes.contains(&0x1B) => return text.to_owned(),
            Ok(_) => {
                let decision = charset::of(bytes, None, "");
                let japanese = decision.label.as_deref().and_then(Charset::for_label);
                return self.guessed(bytes, japanese.unwrap_or(Charset::UTF_8), decision.problem);
            }
            Err(_) => {}
        }
        let body = self.body_charset.filter(|charset| !charset.is_wide() && charset.accepts(bytes, true));
        let charset = body.unwrap_or(Charset::WINDOWS_1252);
        let detail = format!("a header says nothing, {} read", charset.name().to_ascii_lowercase());
        self.guessed(bytes, charset, Some(("charset_guess", detail)))
    }

    fn guessed(&mut self, bytes: &[u8], charset: Charset, problem: Option<(&str, String)>) -> String {
        if let Some((code, detail)) = problem {
            add(self.problems, code, &detail);
        }
        charset.decode(bytes).text.into_owned()
    }

    /// Cuts a value into text and words. Blanks between two words belong to neither (RFC 2047 section 6.2).
    fn pieces(&mut self, value: &[u8], each: &mut dyn FnMut(&mut Self, Piece<'_>)) {
        let mut words = Words { value, next_end: 0 };
        let mut run: Option<Run> = None;
        let (mut text_from, mut at) = (0, 0);
        while let Some(start) = find(value, at, b"=?") {
            let Some(word) = words.at(start) else {
                at = start + 2;
                continue;
            };
            let between = &value[text_from..start];
            let joins = run.is_some() && between.iter().all(u8::is_ascii_whitespace);
            if !joins {
                self.end(&mut run, each);
                each(self, Piece::Text(between));
            }
            if run.as_ref().is_some_and(|run| !run.takes(&word)) {
                self.end(&mut run, each);
            }
            let run = run.get_or_insert_with(|| Run::of(&word));
            run.push(&word, &value[word.payload.clone()], self.underscore_is_blank);
            text_from = word.end;
            at = word.end;
        }
        self.end(&mut run, each);
        each(self, Piece::Text(&value[text_from..]));
    }

    fn end(&mut self, run: &mut Option<Run>, each: &mut dyn FnMut(&mut Self, Piece<'_>)) {
        let Some(mut run) = run.take() else { return };
        run.flush();
        let decision = charset::of(&run.bytes, Some(&run.label), "");
        let charset = decision.label.as_deref().and_then(Charset::for_label).unwrap_or(Charset::UTF_8);
        let text = self.guessed(&run.bytes, charset, decision.problem);
        each(self, Piece::Words(text));
    }
}

/// One encoded word.
struct Word {
    label: String,
    is_base64: bool,
    payload: Range<usize>,
    end: usize,
}

/// Finds encoded words; the place of the next `?=` is remembered, so that all of them cost one pass.
struct Words<'v> {
    value: &'v [u8],
    next_end: usize,
}

impl Words<'_> {
    fn at(&mut self, start: usize) -> Option<Word> {
        let after = &self.value[start + 2..];
        let label_len = after.iter().take(LABEL_BYTES + 1).position(|&b| b == b'?')?;
        let label = after[..label_len].split(|&b| b == b'*').next().unwrap_or(b"");
        if label.is_empty() || !label.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let [encoding, b'?', ..] = after[label_len + 1..] else { return None };
        let is_base64 = match encoding {
            b'B' | b'b' => true,
            b'Q' | b'q' => false,
            _ => return None,
        };
        let from = start + 2 + label_len + 3;
        if self.next_end < from {
            self.next_end = find(self.value, from, b"?=").unwrap_or(usize::MAX);
        }
        let end = self.next_end;
        let payload = self.value.get(from..end)?;
        // A word that begins inside: this one was never closed.
        if find(payload, 0, b"=?").is_some() {
            return None;
        }
        let label = String::from_utf8_lossy(label).to_ascii_lowercase();
        Some(Word { label, is_base64, payload: from..end, end: end + 2 })
    }
}

/// Neighbouring words of one character set, as bytes.
struct Run {
    label: String,
    bytes: Vec<u8>,
    /// Base64 of the words so far that did not fill a group of four.
    bits: u32,
    count: u8,
}

impl Run {
    fn of(word: &Word) -> Self {
        Self { label: word.label.clone(), bytes: Vec::new(), bits: 0, count: 0 }
    }

    fn takes(&self, word: &Word) -> bool {
        self.label == word.label
    }

    fn push(&mut self, word: &Word, payload: &[u8], underscore_is_blank: bool) {
        if !word.is_base64 {
            self.flush();
            return q(payload, underscore_is_blank, &mut self.bytes);
        }
        // Bits left over are the end of a word whose padding was left out, if they are zero; else it goes on in this one.
        if self.left_over() == 0 {
            self.flush();
        }
        for &byte in payload {
            if let Some(value) = sextet(byte) {
                self.bits = self.bits << 6 | u32::from(value);
                self.count += 1;
                if self.count == 4 {
                    self.bytes.extend_from_slice(&self.bits.to_be_bytes()[1..]);
                    (self.bits, self.count) = (0, 0);
                }
            } else if byte == b'=' {
                self.flush();
            }
        }
    }

    const fn left_over(&self) -> u32 {
        match self.count {
            2 => self.bits & 0xF,
            3 => self.bits & 0x3,
            count => count as u32,
        }
    }

    fn flush(&mut self) {
        super::transfer::flush(&mut self.bytes, self.bits, self.count);
        (self.bits, self.count) = (0, 0);
    }
}

/// Decodes the payload of a Q word; what is no escape stays as it is.
fn q(payload: &[u8], underscore_is_blank: bool, out: &mut Vec<u8>) {
    let mut i = 0;
    while i < payload.len() {
        let digit = |n: usize| payload.get(i + n).and_then(|&b| char::from(b).to_digit(16));
        match (payload[i], digit(1), digit(2)) {
            (b'=', Some(high), Some(low)) => {
                out.extend(u8::try_from(high * 16 + low));
                i += 3;
                continue;
            }
            (b'_', ..) if underscore_is_blank => out.push(b' '),
            (b'\r' | b'\n', ..) => {}
            (byte, ..) => out.push(byte),
        }
        i += 1;
    }
}

fn find(text: &[u8], from: usize, what: &[u8; 2]) -> Option<usize> {
    text.get(from..)?.windows(2).position(|two| two == what).map(|n| from + n)
}

/// Appends a text with each line break and the blanks around it as one blank.
fn unfold(text: &str, out: &mut String) {
    if !text.contains(['\r', '\n']) {
        return out.push_str(text);
    }
    let mut lines = text.split(['\r', '\n']).peekable();
    while let Some(line) = lines.next() {
        let line = if out.ends_with(' ') { line.trim_start_matches([' ', '\t']) } else { line };
        if lines.peek().is_none() {
            out.push_str(line);
            continue;
        }
        let kept = line.trim_end_matches([' ', '\t']);
        out.push_str(kept);
        if !out.ends_with(' ') {
            out.push(' ');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Text and problem codes of a value.
    fn read(value: &[u8]) -> (String, String) {
        let mut problems = Vec::new();
        let text = Reader::new(&mut problems).text(value);
        let codes: Vec<_> = problems.iter().map(|p| p.code.as_ref()).collect();
        (text, codes.join(" "))
    }

    #[test]
    fn encoded_words_are_read_however_they_are_broken() {
        for (value, text, codes) in [
            ("plain", "plain", ""),
            ("=?utf-8?q?caf=C3?=\r\n =?utf-8?q?=A9?=", "café", ""),
            ("=?utf-8?B?5L?=\n =?utf-8?B?qk5o+b?=", "交換", ""),
            ("=?utf-8?B?5Lqk?= =?utf-8?B?5o+b?= x", "交換 x", ""),
            ("=?utf-8?B?YQ?= =?utf-8?B?Yg?=", "ab", ""),
            ("=?UTF-8?Q?a?= =?utf-8?B?5Lqk?=", "a交", ""),
            ("=?iso-8859-1?Q?=E4?= =?utf-8?Q?=C3=A4?=", "ää", ""),
            ("=?cp932?B?jPCKtw==?=", "交換", ""),
            ("=?ISO-2022-JP?B?GyRCOHI=?= =?ISO-2022-JP?B?NDkbKEI=?=", "交換", ""),
            ("=?utf-7?Q?+TqRj2w-?=", "交換", ""),
            ("=?us-ascii?Q?caf=C3=A9?=", "café", "charset_guess"),
            ("=?x-unknown?Q?caf=C3=A9?=", "café", "charset_unknown"),
            ("=?utf-8*en?Q?a_b?= c", "a b c", ""),
            ("x=?utf-8?Q?y?=z", "xyz", ""),
            ("=?utf-8?Q?with blanks and =3F?=", "with blanks and ?", ""),
            ("=?utf-8?Q?never closed", "=?utf-8?Q?never closed", ""),
            ("=?utf-8?Q?open =?utf-8?Q?whole?=", "=?utf-8?Q?open whole", ""),
            ("=?utf-8?X?abc?=", "=?utf-8?X?abc?=", ""),
            ("=??Q?abc?=", "=??Q?abc?=", ""),
            (" folded\r\n\ttext \n  here ", "folded text here", ""),
            ("a\0b", "a\u{FFFD}b", ""),
        ] {
            assert_eq!(read(value.as_bytes()), (text.into(), codes.into()), "{value:?}");
        }
    }

    #[test]
    fn bytes_without_a_word_are_utf_8_japanese_what_the_body_is_in_or_windows_1252() {
        assert_eq!(read("交換".as_bytes()), ("交換".into(), String::new()));
        assert_eq!(read(b"\x1B$B8r49\x1B(B"), ("交換".into(), "charset_guess".into()));
        assert_eq!(read(b"caf\xE9"), ("café".into(), "charset_guess".into()));
        let mut problems = Vec::new();
        let mut reader = Reader::new(&mut problems);
        reader.body_charset = Charset::for_label("shift_jis");
        assert_eq!(reader.text(b"\x8C\xF0\x8A\xB7"), "交換");
    }

    #[test]
    fn words_become_quoted_strings_for_a_reader_of_addresses() {
        let mut problems = Vec::new();
        let mut reader = Reader::new(&mut problems);
        let value =
            b"=?utf-8?Q?A=22,_B?= =?utf-8?Q?=C3?= =?utf-8?Q?=A4?= <a@b>, \"x =?utf-8?Q?y=22?=\" <c@d>";
        assert_eq!(reader.quoted(value), "\"A\\\", Bä\" <a@b>, \"x y\\\"\" <c@d>");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(value in "(=\\?|\\?=|utf-8|\\?Q\\?|\\?B\\?|=C3|=A9|YWI|[ \n_a-z]|\\PC){0,40}") {
            read(value.as_bytes());
        }
    }
}
