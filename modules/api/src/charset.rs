//! Character sets by the labels that mails and files carry.
//!
//! `encoding_rs` has the labels and encodings of the WHATWG, which is what browsers may read. Mail uses more: vendors'
//! names of the same encodings (`cp932`, `x-ms-cp932`), and UTF-7, UTF-32, ISO-2022-KR and HZ.

mod label;
mod rare;

use encoding_rs::{DecoderResult, Encoding};
use label::{bare_label, squeezed, web};
use rare::{shifted, tildes, utf7, utf32, without_idle_escapes};
use std::borrow::Cow;

/// Statistics need no more than this.
const DETECT_BYTES: usize = 64 << 10;

/// A way to read bytes as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Web(&'static Encoding),
    Utf7,
    /// The byte order is that of the mark, or else of the zero bytes.
    Utf16,
    Utf32,
    Utf32Le,
    Utf32Be,
    Iso2022Kr,
    Hz,
}

/// Text made of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// Without its byte-order mark.
    pub text: Cow<'a, str>,
    /// Characters that could not be decoded and became U+FFFD.
    pub replaced: usize,
    /// What was used: a byte-order mark goes before everything else.
    pub charset: Charset,
}

impl Charset {
    /// UTF-8.
    pub const UTF_8: Self = Self(Kind::Web(encoding_rs::UTF_8));
    /// windows-1252, which is also how latin-1 and US-ASCII are read.
    pub const WINDOWS_1252: Self = Self(Kind::Web(encoding_rs::WINDOWS_1252));
    /// ISO-2022-JP.
    pub const ISO_2022_JP: Self = Self(Kind::Web(encoding_rs::ISO_2022_JP));
    /// UTF-16 in little-endian order.
    pub const UTF_16LE: Self = Self(Kind::Web(encoding_rs::UTF_16LE));
    /// UTF-16 in big-endian order.
    pub const UTF_16BE: Self = Self(Kind::Web(encoding_rs::UTF_16BE));
    /// UTF-32 in little-endian order.
    pub const UTF_32LE: Self = Self(Kind::Utf32Le);
    /// UTF-32 in big-endian order.
    pub const UTF_32BE: Self = Self(Kind::Utf32Be);

    /// The character set of a label as written: case, quotes, comments and punctuation do not matter.
    #[must_use]
    pub fn for_label(label: &str) -> Option<Self> {
        let label = bare_label(label);
        let squeezed = squeezed(label);
        let kind = match squeezed.as_str() {
            "utf7" | "xutf7" | "csutf7" | "unicode11utf7" | "csunicode11utf7" | "unicode20utf7"
            | "cp65000" => Kind::Utf7,
            "utf16" | "csutf16" | "ucs2" | "iso10646ucs2" | "unicode" | "csunicode" | "cp1200" => Kind::Utf16,
            "utf32" | "csutf32" | "ucs4" | "csucs4" | "iso10646ucs4" => Kind::Utf32,
            "utf32le" | "csutf32le" | "ucs4le" | "cp12000" => Kind::Utf32Le,
            "utf32be" | "csutf32be" | "ucs4be" | "cp12001" => Kind::Utf32Be,
            "iso2022kr" | "csiso2022kr" | "cp50225" => Kind::Iso2022Kr,
            "hz" | "hzgb2312" | "hzgb" | "cp52936" => Kind::Hz,
            squeezed => Kind::Web(web(label, squeezed)?),
        };
        Some(Self(kind))
    }

    /// A detected encoding.
    #[must_use]
    pub const fn of_encoding(encoding: &'static Encoding) -> Self {
        Self(Kind::Web(encoding))
    }

    /// The character set of bytes that nobody labelled: UTF-8 where they are, else windows-1252. Unless they are the
    /// `whole` text, a cut last character does not count.
    #[must_use]
    pub fn unlabelled(bytes: &[u8], whole: bool) -> Self {
        let is_utf8 = match std::str::from_utf8(bytes) {
            Ok(_) => true,
            Err(e) => !whole && e.error_len().is_none(),
        };
        if is_utf8 { Self::UTF_8 } else { Self::WINDOWS_1252 }
    }

    /// What a byte-order mark says, and its length.
    #[must_use]
    pub fn of_mark(bytes: &[u8]) -> Option<(Self, usize)> {
        match bytes {
            [0xFF, 0xFE, 0, 0, ..] => Some((Self::UTF_32LE, 4)),
            [0, 0, 0xFE, 0xFF, ..] => Some((Self::UTF_32BE, 4)),
            [0xFF, 0xFE, ..] => Some((Self::UTF_16LE, 2)),
            [0xFE, 0xFF, ..] => Some((Self::UTF_16BE, 2)),
            [0xEF, 0xBB, 0xBF, ..] => Some((Self::UTF_8, 3)),
            _ => None,
        }
    }

    /// UTF-16 or UTF-32 without a mark: ASCII characters have zeros beside them, always on the same side.
    #[must_use]
    pub fn wide(bytes: &[u8]) -> Option<Self> {
        let look = &bytes[..bytes.len().min(DETECT_BYTES)];
        let zeros = look.iter().filter(|&&b| b == 0).count();
        if zeros < 4 || zeros * 8 < look.len() {
            return None;
        }
        let at = |offset: usize| look.iter().skip(offset).step_by(4).filter(|&&b| b == 0).count();
        let at = [at(0), at(1), at(2), at(3)];
        let quads = look.len() / 4;
        let (even, odd) = (at[0] + at[2], at[1] + at[3]);
        match () {
            () if look.len().is_multiple_of(4) && at[0] >= quads && at[1] * 10 >= quads * 9 => {
                Some(Self::UTF_32BE)
            }
            () if look.len().is_multiple_of(4) && at[3] >= quads && at[2] * 10 >= quads * 9 => {
                Some(Self::UTF_32LE)
            }
            () if odd > even * 8 => Some(Self::UTF_16LE),
            () if even > odd * 8 => Some(Self::UTF_16BE),
            () => None,
        }
    }

    /// Its usual name, which is a label of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Web(encoding) => encoding.name(),
            Kind::Utf7 => "UTF-7",
            Kind::Utf16 => "UTF-16",
            Kind::Utf32 => "UTF-32",
            Kind::Utf32Le => "UTF-32LE",
            Kind::Utf32Be => "UTF-32BE",
            Kind::Iso2022Kr => "ISO-2022-KR",
            Kind::Hz => "HZ-GB-2312",
        }
    }

    /// Whether a character takes two bytes or more, zeros included.
    #[must_use]
    pub fn is_wide(self) -> bool {
        match self.0 {
            Kind::Utf16 | Kind::Utf32 | Kind::Utf32Le | Kind::Utf32Be => true,
            Kind::Web(encoding) => [encoding_rs::UTF_16LE, encoding_rs::UTF_16BE].contains(&encoding),
            _ => false,
        }
    }

    /// Whether each byte is a character.
    #[must_use]
    pub fn is_single_byte(self) -> bool {
        matches!(self.0, Kind::Web(encoding) if encoding.is_single_byte())
    }

    /// Reads bytes. Never fails: what cannot be decoded is counted.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> Decoded<'_> {
        let (charset, bytes) = match Self::of_mark(bytes) {
            Some((marked, len)) => (marked, &bytes[len..]),
            None => (self.ordered(bytes), bytes),
        };
        let (text, replaced) = match charset.0 {
            Kind::Web(encoding) => match without_idle_escapes(encoding, bytes) {
                Cow::Borrowed(bytes) => web_text(encoding, bytes),
                Cow::Owned(bytes) => owned(eight_bit(encoding, &bytes)),
            },
            Kind::Utf7 => owned(utf7(bytes)),
            Kind::Utf16 | Kind::Utf32 | Kind::Utf32Be => owned(utf32(bytes, u32::from_be_bytes)),
            Kind::Utf32Le => owned(utf32(bytes, u32::from_le_bytes)),
            Kind::Iso2022Kr => owned(eight_bit(encoding_rs::EUC_KR, &shifted(bytes))),
            Kind::Hz => owned(eight_bit(encoding_rs::GBK, &tildes(bytes))),
        };
        Decoded { text, replaced, charset }
    }

    /// Whether every character of `bytes` can be decoded; a cut last one does not count unless they are the `whole`
    /// text. Needs no memory worth speaking of for the encodings of the WHATWG.
    #[must_use]
    pub fn accepts(self, bytes: &[u8], whole: bool) -> bool {
        let Kind::Web(encoding) = self.0 else { return self.decode(bytes).replaced == 0 };
        let mut decoder = encoding.new_decoder_without_bom_handling();
        let mut out = [0; 4096];
        let bytes = without_idle_escapes(encoding, bytes);
        let mut rest = bytes.as_ref();
        loop {
            let (result, read, _) = decoder.decode_to_utf8_without_replacement(rest, &mut out, whole);
            rest = &rest[read..];
            match result {
                DecoderResult::InputEmpty => return true,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => return false,
            }
        }
    }

    /// With the byte order settled: ASCII characters have their zeros before or behind them.
    fn ordered(self, bytes: &[u8]) -> Self {
        let look = &bytes[..bytes.len().min(4096)];
        let zeros = |at: usize, step: usize| look.iter().skip(at).step_by(step).filter(|&&b| b == 0).count();
        match self.0 {
            Kind::Utf16 if zeros(0, 2) > zeros(1, 2) => Self::UTF_16BE,
            Kind::Utf16 => Self::UTF_16LE,
            Kind::Utf32 if zeros(0, 4) < zeros(3, 4) => Self::UTF_32LE,
            Kind::Utf32 => Self::UTF_32BE,
            _ => self,
        }
    }
}

fn web_text<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> (Cow<'a, str>, usize) {
    let (text, lossy) = encoding.decode_without_bom_handling(bytes);
    let replaced = if lossy { text.matches('\u{FFFD}').count() } else { 0 };
    (text, replaced)
}

fn eight_bit(encoding: &'static Encoding, bytes: &[u8]) -> (String, usize) {
    let (text, replaced) = web_text(encoding, bytes);
    (text.into_owned(), replaced)
}

fn owned((text, replaced): (String, usize)) -> (Cow<'static, str>, usize) {
    (Cow::Owned(text), replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_known_however_they_are_written() {
        for (labels, name) in [
            (
                "cp932 ms932 MS932 windows-31j x-ms-cp932 cp-932 ibm943 Shift-JIS shift_jis_2004 sjis-win",
                "Shift_JIS",
            ),
            (
                "latin-1 latin1 iso8859_1 ISO_8859-1 cp1252 us-ascii ANSI_X3.4-1968 646 8859-1 windows1252",
                "windows-1252",
            ),
            ("iso-2022-jp iso-2022-jp-ms cp50220 csISO2022JP JIS iso2022jp", "ISO-2022-JP"),
            ("eucjp EUC_JP ujis cp51932 x-euc-jp", "EUC-JP"),
            (
                "utf8 UTF_8 utf-8' 'utf-8' \"utf-8\" utf8mb4 cp65001 unicode-1-1-utf-8 charset=utf-8 utf-8;",
                "UTF-8",
            ),
            ("utf-7 unicode-1-1-utf-7 UTF7", "UTF-7"),
            ("utf-16 ucs-2 unicode", "UTF-16"),
            ("utf-16le UTF-16LE", "UTF-16LE"),
            ("utf-32 ucs-4", "UTF-32"),
            ("utf-32le", "UTF-32LE"),
            ("gb2312 gbk euc-cn cp936 GB_2312-80 ms936", "GBK"),
            ("big5 cp950 big5-hkscs cn-big5", "Big5"),
            ("ks_c_5601-1987 euckr cp949 uhc", "EUC-KR"),
            ("iso-8859-15 latin9 latin-9 iso8859-15 8859_15", "ISO-8859-15"),
            ("cp1251 win1251 windows-1251", "windows-1251"),
            ("koi8-r cp20866", "KOI8-R"),
            ("iso-2022-kr", "ISO-2022-KR"),
            ("hz-gb-2312", "HZ-GB-2312"),
        ] {
            for label in labels.split(' ') {
                assert_eq!(Charset::for_label(label).map(Charset::name), Some(name), "{label}");
            }
        }
        assert_eq!(Charset::for_label("shift_jis (jp)").map(Charset::name), Some("Shift_JIS"));
        for label in ["", "unknown-8bit", "x-unknown", "binary", "utf-9", "iso-8859-99x", "cp1"] {
            assert_eq!(Charset::for_label(label), None, "{label}");
        }
    }

    #[test]
    fn what_encoding_rs_does_not_read_is_read() {
        for (label, bytes, text, replaced) in [
            ("utf-7", b"a +TqRj2w- b+-c".as_slice(), "a 交換 b+c", 0),
            ("utf-7", b"+TqRj2w\r\nx", "交換\r\nx", 0),
            ("utf-7", b"+2D3cqQ-", "\u{1F4A9}", 0),
            ("utf-7", b"\xE9+2D0-", "\u{FFFD}\u{FFFD}", 2),
            ("utf-16", b"\x4E\xA4\x63\xDB\0\n", "交換\n", 0),
            ("utf-16", b"\xA4\x4E\xDB\x63\n\0", "交換\n", 0),
            ("utf-16", b"\xFE\xFF\x4E\xA4", "交", 0),
            ("us-ascii", b"\xFF\xFE\xA4\x4E", "交", 0),
            ("utf-32", b"\0\0\x4E\xA4\0\0\0\n", "交\n", 0),
            ("utf-32", b"\xFF\xFE\0\0\xA4\x4E\0\0", "交", 0),
            ("utf-32le", b"\xA4\x4E\0\0\xFF\xFF\xFF\xFFx", "交\u{FFFD}\u{FFFD}", 2),
            ("iso-2022-kr", b"\x1B$)C\x0E0!\x0Fa\n", "가a\n", 0),
            ("hz", b"a~{VPND~}~~\n", "a中文~\n", 0),
            ("cp932", b"\x8C\xF0\x8A\xB7", "交換", 0),
            ("iso-2022-jp", b"\x1B$B8r\x1B(B\x1B$B49\x1B(B", "交換", 0),
        ] {
            let decoded = Charset::for_label(label).unwrap().decode(bytes);
            assert_eq!((decoded.text.as_ref(), decoded.replaced), (text, replaced), "{label} {bytes:?}");
        }
    }

    #[test]
    fn a_character_that_a_limit_cut_is_no_damage() {
        let sjis = Charset::for_label("shift_jis").unwrap();
        assert!(sjis.accepts(b"\x8C\xF0\x8A", false));
        assert!(!sjis.accepts(b"\x8C\xF0\x8A", true));
        assert_eq!(Charset::unlabelled(b"a\xE4\xBA", false), Charset::UTF_8);
        assert_eq!(Charset::unlabelled(b"a\xE4\xBA", true), Charset::WINDOWS_1252);
        assert_eq!(Charset::unlabelled(b"caf\xE9!", false), Charset::WINDOWS_1252);
    }
}
