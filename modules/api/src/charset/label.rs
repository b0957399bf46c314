//! Labels that `encoding_rs` does not know, and those that are hidden in what stands around them.

use encoding_rs::Encoding;

/// Labels without blanks and punctuation that `encoding_rs` does not know, with one that it does.
const ALIASES: &[(&str, &str)] = &[
    ("646", "us-ascii"),
    ("ansi", "windows-1252"),
    ("ansix341968", "us-ascii"),
    ("ansix341986", "us-ascii"),
    ("csascii", "us-ascii"),
    ("iso646us", "us-ascii"),
    ("isoir6", "us-ascii"),
    ("usascii", "us-ascii"),
    ("utf8mb3", "utf-8"),
    ("utf8mb4", "utf-8"),
    ("utf8n", "utf-8"),
    ("utf8sig", "utf-8"),
    ("csutf8", "utf-8"),
    ("big5eten", "big5"),
    ("big5hkscs", "big5"),
    ("hkscs", "big5"),
    ("euccn", "gbk"),
    ("eucgb2312cn", "gbk"),
    ("gb23121980", "gbk"),
    ("gb180302000", "gb18030"),
    ("gb180302005", "gb18030"),
    ("cngb", "gbk"),
    ("eucjis2004", "euc-jp"),
    ("eucjp", "euc-jp"),
    ("eucjpms", "euc-jp"),
    ("eucjpwin", "euc-jp"),
    ("ujis", "euc-jp"),
    ("jis", "iso-2022-jp"),
    ("junet", "iso-2022-jp"),
    ("iso2022jp", "iso-2022-jp"),
    ("iso2022jp1", "iso-2022-jp"),
    ("iso2022jp2", "iso-2022-jp"),
    ("iso2022jp3", "iso-2022-jp"),
    ("iso2022jp2004", "iso-2022-jp"),
    ("iso2022jpext", "iso-2022-jp"),
    ("iso2022jpms", "iso-2022-jp"),
    ("csiso2022jp2", "iso-2022-jp"),
    ("mskanji", "shift_jis"),
    ("pck", "shift_jis"),
    ("shiftjis", "shift_jis"),
    ("shiftjis2004", "shift_jis"),
    ("shiftjisx0213", "shift_jis"),
    ("sjiswin", "shift_jis"),
    ("mswindows31j", "shift_jis"),
    ("cswindows31j", "shift_jis"),
    ("windows31j", "shift_jis"),
    ("euckr", "euc-kr"),
    ("ksc5601", "euc-kr"),
    ("ksc56011987", "euc-kr"),
    ("ksx1001", "euc-kr"),
    ("uhc", "euc-kr"),
    ("maccyrillic", "x-mac-cyrillic"),
    ("macroman", "macintosh"),
    ("tis620", "windows-874"),
    ("latin7", "iso-8859-13"),
    ("latin8", "iso-8859-14"),
    ("latin9", "iso-8859-15"),
    ("latin10", "iso-8859-16"),
    ("koi8", "koi8-r"),
];

/// Numbers that vendors gave to encodings, with a label that `encoding_rs` knows.
const CODE_PAGES: &[(&str, &str)] = &[
    ("367", "us-ascii"),
    ("819", "iso-8859-1"),
    ("866", "ibm866"),
    ("874", "windows-874"),
    ("932", "shift_jis"),
    ("942", "shift_jis"),
    ("943", "shift_jis"),
    ("936", "gbk"),
    ("949", "euc-kr"),
    ("950", "big5"),
    ("951", "big5"),
    ("1201", "utf-16be"),
    ("1250", "windows-1250"),
    ("1251", "windows-1251"),
    ("1252", "windows-1252"),
    ("1253", "windows-1253"),
    ("1254", "windows-1254"),
    ("1255", "windows-1255"),
    ("1256", "windows-1256"),
    ("1257", "windows-1257"),
    ("1258", "windows-1258"),
    ("10000", "macintosh"),
    ("10007", "x-mac-cyrillic"),
    ("20127", "us-ascii"),
    ("20866", "koi8-r"),
    ("20932", "euc-jp"),
    ("21866", "koi8-u"),
    ("50220", "iso-2022-jp"),
    ("50221", "iso-2022-jp"),
    ("50222", "iso-2022-jp"),
    ("51932", "euc-jp"),
    ("51936", "gbk"),
    ("51949", "euc-kr"),
    ("54936", "gb18030"),
    ("65001", "utf-8"),
];

/// What stands before the number of a code page.
const PAGE_PREFIXES: &[&str] = &[
    "",
    "codepage",
    "cp",
    "cpgid",
    "csibm",
    "cswindows",
    "dos",
    "ibm",
    "ms",
    "mscp",
    "win",
    "windows",
    "x",
    "xcp",
    "xibm",
    "xms",
    "xmscp",
    "xwindows",
];

/// A label without quotes, comment, language, or a second parameter that ran into it.
pub(super) fn bare_label(label: &str) -> &str {
    let label = label.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '=' | '`'));
    let label = label.strip_prefix("charset=").unwrap_or(label).trim_start_matches(['"', '\'']);
    let end = label.find([';', ',', '(', '"', '\'', '*', ' ', '\t']).unwrap_or(label.len());
    &label[..end]
}

pub(super) fn squeezed(label: &str) -> String {
    label.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).take(40).collect()
}

pub(super) fn web(label: &str, squeezed: &str) -> Option<&'static Encoding> {
    let known = |label: &str| {
        let encoding = Encoding::for_label(label.as_bytes())?;
        (encoding != encoding_rs::REPLACEMENT && encoding != encoding_rs::X_USER_DEFINED).then_some(encoding)
    };
    let listed = |list: &[(&str, &str)], key: &str| {
        list.iter().find(|(alias, _)| *alias == key).and_then(|(_, label)| known(label))
    };
    let page = || {
        let digits = squeezed.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let prefix = squeezed.strip_suffix(digits)?;
        PAGE_PREFIXES.contains(&prefix).then(|| listed(CODE_PAGES, digits))?
    };
    let iso = || {
        let number =
            ["iso8859", "csiso8859", "isoiec8859", "8859"].iter().find_map(|p| squeezed.strip_prefix(p))?;
        known(&format!("iso-8859-{}", number.parse::<u8>().ok()?))
    };
    known(label).or_else(|| listed(ALIASES, squeezed)).or_else(|| known(squeezed)).or_else(page).or_else(iso)
}
