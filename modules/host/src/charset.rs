//! Which character set a text is in: what it says of itself, as long as that can be right.
//!
//! ```text
//!   byte-order mark ─▶ label of the mail ─▶ <meta>, XML declaration ─▶ what the bytes look like
//!                      each only if the bytes can be that; the rest is a guess, with a code
//! ```
//!
//! Only the label is decided here. Bytes are never converted: `Part::text` reads them by the label.

use crate::problem::add;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use module_api::Problem;
use module_api::charset::Charset;

/// Modules read no more of a text, so no more is looked at.
pub(crate) const LOOK_BYTES: usize = 8 << 20;
/// Statistics need no more than this.
const DETECT_BYTES: usize = 64 << 10;
/// Where HTML and XML say what they are (HTML Standard section 13.2.3.2, with room for long heads).
const DECLARED_WITHIN: usize = 4 << 10;
/// Longest label.
const LABEL_BYTES: usize = 64;

/// What was decided about a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Label to read it by, lower case; `None` where it is plain ASCII or nothing is known.
    pub label: Option<String>,
    /// Code and detail where it is not the declared one.
    pub problem: Option<(&'static str, String)>,
}

impl Decision {
    /// The label; the problem goes to the part's.
    pub(crate) fn told(self, problems: &mut Vec<Problem>) -> Option<String> {
        if let Some((code, detail)) = self.problem {
            add(problems, code, &detail);
        }
        self.label
    }
}

/// Decides how to read `bytes` of a text that was declared as `label` and is of `media_type`.
pub(crate) fn of(bytes: &[u8], label: Option<&str>, media_type: &str) -> Decision {
    let look = Look::at(bytes);
    let known = label.map(|label| (label, Charset::for_label(label)));
    match known {
        Some((label, Some(charset))) => look.declared(label, charset),
        Some((label, None)) => {
            let guess = look.inner(media_type).or_else(|| look.guess());
            let read = guess.unwrap_or_else(|| Charset::unlabelled(bytes, true));
            let problem = Some(("charset_unknown", format!("{label} declared, {} read", lower(read))));
            Decision { label: Some(lower(read)), problem }
        }
        None => match look.inner_label(media_type) {
            Some((label, charset)) => look.declared(&label, charset),
            None => look.guess().map_or_else(Decision::default, |guess| guessed("nothing", guess)),
        },
    }
}

/// Decides for a file or a member of an archive, where UTF-8 and byte-order marks need no label.
pub(crate) fn of_file(bytes: &[u8], label: Option<&str>, media_type: &str) -> Decision {
    let decision = of(bytes, label, media_type);
    let is_plain = label.is_none()
        && (Charset::of_mark(bytes).is_some()
            || decision.label.as_deref().is_none_or(|read| read == "utf-8"));
    Decision { problem: decision.problem.filter(|_| !is_plain), ..decision }
}

fn guessed(declared: &str, read: Charset) -> Decision {
    let problem = Some(("charset_guess", format!("{declared} declared, {} read", lower(read))));
    Decision { label: Some(lower(read)), problem }
}

fn lower(charset: Charset) -> String {
    charset.name().to_ascii_lowercase()
}

/// The start of a text, and what is plain about it.
struct Look<'a> {
    bytes: &'a [u8],
    /// There is nothing behind `bytes`.
    whole: bool,
    ascii: bool,
    utf8: Utf8,
}

/// Whether bytes are UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Utf8 {
    /// All of them; `long` where a character takes three bytes or more, which hardly happens by chance.
    Valid {
        long: bool,
    },
    /// More characters are than are not.
    Damaged,
    No,
}

impl<'a> Look<'a> {
    fn at(bytes: &'a [u8]) -> Self {
        let whole = bytes.len() <= LOOK_BYTES;
        let bytes = &bytes[..bytes.len().min(LOOK_BYTES)];
        let ascii = bytes.is_ascii();
        let utf8 = if ascii { Utf8::Valid { long: false } } else { utf8(bytes) };
        Self { bytes, whole, ascii, utf8 }
    }

    fn is_utf8(&self) -> bool {
        matches!(self.utf8, Utf8::Valid { .. })
    }

    /// Keeps the declared character set, unless the bytes cannot be that and can be another.
    fn declared(&self, label: &str, charset: Charset) -> Decision {
        if let Some((marked, _)) = Charset::of_mark(self.bytes) {
            let same = charset == marked || (charset.is_wide() && marked.is_wide());
            return if same { keep(label) } else { guessed(label, marked) };
        }
        if self.can_be(label, charset) {
            return keep(label);
        }
        match self.guess().filter(|guess| *guess != charset || is_ascii_label(label)) {
            Some(guess) => guessed(label, guess),
            None => keep(label),
        }
    }

    fn can_be(&self, label: &str, charset: Charset) -> bool {
        if Charset::wide(self.bytes).is_some() && !charset.is_wide() {
            return false;
        }
        if self.is_iso_2022_jp() {
            return charset == Charset::ISO_2022_JP || charset.name() == "ISO-2022-KR";
        }
        match () {
            () if charset.is_wide() => self.bytes.contains(&0) || !self.is_utf8(),
            () if self.ascii => true,
            () if is_ascii_label(label) => false,
            () if charset == Charset::UTF_8 => self.utf8 != Utf8::No,
            () if charset.is_single_byte() => !self.is_utf8(),
            () => match self.utf8 {
                // Hardly ever also text of another encoding.
                Utf8::Valid { long: true } => false,
                _ => charset.accepts(self.bytes, self.whole),
            },
        }
    }

    /// What the bytes look like, where that is not plain ASCII.
    fn guess(&self) -> Option<Charset> {
        if let Some((marked, _)) = Charset::of_mark(self.bytes) {
            return Some(marked);
        }
        if let Some(wide) = Charset::wide(self.bytes) {
            return Some(wide);
        }
        if self.is_iso_2022_jp() {
            return Some(Charset::ISO_2022_JP);
        }
        if self.ascii {
            return None;
        }
        if self.is_utf8() {
            return Some(Charset::UTF_8);
        }
        let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
        let look = &self.bytes[..self.bytes.len().min(DETECT_BYTES)];
        detector.feed(look, look.len() == self.bytes.len() && self.whole);
        let charset = Charset::of_encoding(detector.guess(None, Utf8Detection::Deny));
        Some(if charset.accepts(self.bytes, self.whole) { charset } else { Charset::WINDOWS_1252 })
    }

    /// Whether there are escapes to Japanese, and nothing that contradicts them.
    fn is_iso_2022_jp(&self) -> bool {
        let escapes = |text: &[u8]| {
            matches!(text, [0x1B, b'$', b'@' | b'B'] | [0x1B, b'(', b'I' | b'J'] | [0x1B, b'$', b'('])
        };
        self.ascii
            && self.bytes.contains(&0x1B)
            && self.bytes.windows(3).any(escapes)
            && Charset::ISO_2022_JP.accepts(self.bytes, self.whole)
    }

    /// The character set that HTML or XML names in itself, if it can be that.
    fn inner(&self, media_type: &str) -> Option<Charset> {
        let (label, charset) = self.inner_label(media_type)?;
        self.can_be(&label, charset).then_some(charset)
    }

    fn inner_label(&self, media_type: &str) -> Option<(String, Charset)> {
        let head = self.bytes[..self.bytes.len().min(DECLARED_WITHIN)].to_ascii_lowercase();
        let start = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&head).trim_ascii_start();
        let label = if start.starts_with(b"<?xml") {
            let end = start.windows(2).position(|two| two == b"?>")?;
            value_after(&start[..end], b"encoding")
        } else if media_type.contains("html") || start.starts_with(b"<") {
            meta(start)
        } else {
            None
        }?;
        let charset = Charset::for_label(&label)?;
        // Who could read the declaration is not reading UTF-16.
        Some(if charset.is_wide() { ("utf-8".to_owned(), Charset::UTF_8) } else { (label, charset) })
    }
}

/// The label of the first `<meta>` that has one, in lower-case HTML.
fn meta(html: &[u8]) -> Option<String> {
    let mut rest = html;
    loop {
        let at = rest.windows(5).position(|five| five == b"<meta")?;
        rest = &rest[at + 5..];
        let end = rest.iter().position(|&b| b == b'>').unwrap_or(rest.len());
        if let Some(label) = value_after(&rest[..end], b"charset") {
            return Some(label);
        }
        rest = &rest[end..];
    }
}

/// The value of `name = "value"`, quoted or not.
fn value_after(text: &[u8], name: &[u8]) -> Option<String> {
    let at = text.windows(name.len()).position(|part| part == name)?;
    let value = text[at + name.len()..].trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let value = value.strip_prefix(b"\"").or_else(|| value.strip_prefix(b"'")).unwrap_or(value);
    let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b';' | b'>' | b'/' | b'?');
    let end = value.iter().position(ends).unwrap_or(value.len());
    (1..=LABEL_BYTES).contains(&end).then(|| String::from_utf8_lossy(&value[..end]).into_owned())
}

fn keep(label: &str) -> Decision {
    Decision { label: Some(label.to_owned()), problem: None }
}

/// Whether a label promises bytes below 128 only.
fn is_ascii_label(label: &str) -> bool {
    let plain: String =
        label.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    matches!(
        plain.as_str(),
        "usascii"
            | "ascii"
            | "csascii"
            | "ansix341968"
            | "ansix341986"
            | "iso646us"
            | "646"
            | "isoir6"
            | "cp367"
            | "cp20127"
    )
}

fn utf8(bytes: &[u8]) -> Utf8 {
    let (mut good, mut bad, mut long) = (0_usize, 0_usize, false);
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        let high = valid.bytes().filter(|b| *b >= 0xC0).count();
        good += high;
        long |= high > 0 && valid.bytes().any(|b| b >= 0xE0);
        bad += usize::from(!chunk.invalid().is_empty());
    }
    // A last character that a limit or a cut ended is no damage worth a guess.
    let cut = std::str::from_utf8(bytes).is_err_and(|e| e.error_len().is_none());
    match () {
        () if bad == 0 || (cut && bad == 1 && good > 0) => Utf8::Valid { long },
        () if good > bad => Utf8::Damaged,
        () => Utf8::No,
    }
}
