//! What a part's file is called: `NNN-<slug>.<ext>`.
//!
//! The sender proposes, we decide: NNN is the part's number, so no two parts share a name and none is hidden, reserved or
//! an option; the slug comes from the declared name, the extension from the content where the two contradict. The
//! declared name itself, with its raw bytes, is in the manifest. Rows of `contracts/mail.md` 4.3 are the tests.

/// Longest slug, in bytes.
const SLUG_BYTES: usize = 80;
/// Longest extension, in bytes.
const EXTENSION_BYTES: usize = 10;

/// Extensions by media type; the first is given to a part without one, the others are accepted as declared.
const EXTENSIONS: &[(&str, &[&str])] = &[
    ("text/plain", &["txt"]),
    ("text/html", &["html", "htm", "xhtml"]),
    ("text/csv", &["csv"]),
    ("text/calendar", &["ics"]),
    ("text/xml", &["xml"]),
    ("application/xml", &["xml"]),
    ("application/json", &["json"]),
    ("message/rfc822", &["eml"]),
    ("message/delivery-status", &["txt", "dsn"]),
    ("application/gzip", &["gz", "tgz", "svgz"]),
    (
        "application/zip",
        &["zip", "xlsx", "docx", "pptx", "jar", "ods", "odt", "odp", "epub", "apk", "whl", "war", "kmz"],
    ),
    ("application/x-tar", &["tar"]),
    ("application/zstd", &["zst"]),
    ("application/x-xz", &["xz", "txz"]),
    ("application/x-bzip2", &["bz2", "tbz2"]),
    ("application/x-7z-compressed", &["7z"]),
    ("application/vnd.rar", &["rar"]),
    ("application/pdf", &["pdf"]),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", &["xlsx", "xlsm"]),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", &["docx", "docm"]),
    ("application/vnd.ms-excel", &["xls", "csv"]),
    ("application/msword", &["doc"]),
    ("application/vnd.sqlite3", &["sqlite", "db", "sqlite3"]),
    ("application/vnd.microsoft.portable-executable", &["exe", "dll", "sys", "scr", "cpl", "ocx"]),
    ("application/x-executable", &["elf", "bin", "so", "o"]),
    ("image/png", &["png"]),
    ("image/jpeg", &["jpg", "jpeg", "jpe"]),
    ("image/gif", &["gif"]),
    ("image/svg+xml", &["svg"]),
];

/// The name under which part `number` is stored.
///
/// `declared` is the preferred declared name after decoding (RFC 2231 joined, encoded-words decoded), `sniffed_type` the
/// media type by content. Never panics, whatever the sender wrote; the result matches
/// `[0-9]{3,}-[a-z0-9_-]{1,80}\.[a-z0-9]{1,10}`.
#[must_use]
pub fn stored_name(number: u32, declared: Option<&str>, sniffed_type: &str) -> String {
    let visible: String = declared.unwrap_or_default().chars().filter(|c| !is_hidden(*c)).collect();
    let last = visible.rsplit(['/', '\\']).next().unwrap_or_default();
    let last = last.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    let last = last.trim_start_matches(['.', '-']);
    let (stem, declared_extension) = split_extension(last);
    let extension = extension(declared_extension, sniffed_type);
    format!("{number:03}-{}.{extension}", slug(stem))
}

/// Whether a declared name holds characters that hide or reorder others: the problem `name_bidi`.
#[must_use]
pub fn hides_something(declared: &str) -> bool {
    declared.chars().any(is_format)
}

/// Indexes of names that an earlier name equals but for case and Unicode normalisation. They are stored apart, by number;
/// this is for the reader who sees two attachments of "one" name.
#[must_use]
pub fn twins(declared: &[&str]) -> Vec<usize> {
    use unicode_normalization::UnicodeNormalization;
    let fold = |name: &str| name.nfc().flat_map(char::to_lowercase).nfc().collect::<String>();
    let mut seen = std::collections::HashSet::new();
    (0..declared.len()).filter(|&i| !seen.insert(fold(declared[i]))).collect()
}

/// The stem in `[a-z0-9_-]`, runs of anything else as one `_`; `part` when nothing is left.
fn slug(stem: &str) -> String {
    let mut slug = String::new();
    for c in stem.chars() {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' {
            slug.push(c);
        } else if !slug.ends_with('_') {
            slug.push('_');
        }
        if slug.len() == SLUG_BYTES {
            break;
        }
    }
    let slug = slug.trim_matches(['_', '-']);
    if slug.is_empty() { "part".to_owned() } else { slug.to_owned() }
}

/// Stem and extension in lower case; an extension that is too long or has other characters belongs to the stem.
fn split_extension(name: &str) -> (&str, Option<String>) {
    let Some((stem, extension)) = name.rsplit_once('.') else { return (name, None) };
    let fits = (1..=EXTENSION_BYTES).contains(&extension.len())
        && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    if fits { (stem, Some(extension.to_ascii_lowercase())) } else { (name, None) }
}

/// The declared extension, unless there is none or the content contradicts it.
fn extension(declared: Option<String>, sniffed_type: &str) -> String {
    let known =
        EXTENSIONS.iter().find(|(media_type, _)| *media_type == sniffed_type).map(|(_, known)| *known);
    match (declared, known) {
        (None, Some(known)) => known[0].to_owned(),
        (None, None) => if sniffed_type.starts_with("text/") { "txt" } else { "bin" }.to_owned(),
        (Some(declared), _) if is_textual(sniffed_type) => {
            if is_binary(&declared) {
                known.map_or("txt", |known| known[0]).to_owned()
            } else {
                declared
            }
        }
        (Some(declared), Some(known)) if !known.contains(&declared.as_str()) => known[0].to_owned(),
        (Some(declared), _) => declared,
    }
}

/// Text carries any extension that does not promise something binary: `.log`, `.csv`, `.conf`.
fn is_textual(media_type: &str) -> bool {
    media_type.starts_with("text/") || matches!(media_type, "application/json" | "application/xml")
}

fn is_binary(extension: &str) -> bool {
    let mut promising = EXTENSIONS.iter().filter(|(_, known)| known.contains(&extension)).peekable();
    promising.peek().is_some()
        && promising.all(|(media_type, _)| !is_textual(media_type) && !media_type.starts_with("message/"))
}

fn is_hidden(c: char) -> bool {
    // A folded name has a line break or tab inside; those separate words, other control characters do nothing.
    (c.is_control() && !c.is_whitespace()) || is_format(c)
}

/// Unicode category Cf: bidirectional controls, zero-width characters, tags, soft hyphen, byte-order mark.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{600}'..='\u{605}' | '\u{61C}' | '\u{6DD}' | '\u{70F}' | '\u{890}'..='\u{891}' | '\u{8E2}'
        | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{110BD}' | '\u{110CD}'
        | '\u{13430}'..='\u{1343F}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0001}'
        | '\u{E0020}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::{hides_something, stored_name, twins};
    use proptest::prelude::*;

    const NOTHING_SNIFFED: &str = "application/octet-stream";

    /// Row of `contracts/mail.md` 4.3, declared name, media type by content, stored name of part 7.
    const ROWS: &[(u8, &str, &str, &str)] = &[
        (49, "../../../etc/passwd", "text/plain", "007-passwd.txt"),
        (49, "/etc/cron.d/x.sh", "text/plain", "007-x.sh"),
        (49, r"C:\Windows\system32\a.dll", NOTHING_SNIFFED, "007-a.dll"),
        (49, r"\\server\share\report.csv", "text/csv", "007-report.csv"),
        (49, "..%2f..%2fetc%2fpasswd", "text/plain", "007-2f_2fetc_2fpasswd.txt"),
        (49, "reports/", NOTHING_SNIFFED, "007-part.bin"),
        (50, "x\0.txt", "text/plain", "007-x.txt"),
        (50, "report.exe\0.txt", "text/plain", "007-report_exe.txt"),
        (51, "invoice\u{202e}fdp.exe", NOTHING_SNIFFED, "007-invoicefdp.exe"),
        (51, "a\u{200b}b\u{2066}c\u{e0041}.csv", "text/csv", "007-abc.csv"),
        (52, "CON", NOTHING_SNIFFED, "007-con.bin"),
        (52, "NUL.txt", "text/plain", "007-nul.txt"),
        (52, "COM1. . ", NOTHING_SNIFFED, "007-com1.bin"),
        (52, ".bashrc", "text/plain", "007-bashrc.txt"),
        (52, "-rf", NOTHING_SNIFFED, "007-rf.bin"),
        (52, "~", NOTHING_SNIFFED, "007-part.bin"),
        (52, "", NOTHING_SNIFFED, "007-part.bin"),
        (52, ".", NOTHING_SNIFFED, "007-part.bin"),
        (52, "..", NOTHING_SNIFFED, "007-part.bin"),
        (53, "日本語.csv", "text/csv", "007-part.csv"),
        (53, "a.thisextensionistoolong", NOTHING_SNIFFED, "007-a_thisextensionistoolong.bin"),
        (54, "Report.CSV", "text/csv", "007-report.csv"),
        (54, "report.csv", "text/csv", "007-report.csv"),
        (54, "Bu\u{308}ro.txt", "text/plain", "007-bu_ro.txt"),
        (55, "part-one-part-three.csv", "text/csv", "007-part-one-part-three.csv"),
        (56, "preferred.csv", "text/csv", "007-preferred.csv"),
        (57, "first.csv", "text/csv", "007-first.csv"),
        (58, "invoice.pdf.exe", "application/pdf", "007-invoice_pdf.pdf"),
        (58, "invoice.pdf", "application/vnd.microsoft.portable-executable", "007-invoice.exe"),
        (58, "table.csv", "application/zip", "007-table.zip"),
        (58, "table.xlsx", "application/zip", "007-table.xlsx"),
        (58, "table.xlsx", "text/csv", "007-table.csv"),
        (58, "nodes.log", "text/plain", "007-nodes.log"),
        (58, "nodes.csv", "text/plain", "007-nodes.csv"),
        (58, "dump.tar.gz", "application/gzip", "007-dump_tar.gz"),
        (59, "two\r\n\tlines.txt", "text/plain", "007-two_lines.txt"),
        (60, "$(reboot);`id`|x&.sh", "text/plain", "007-reboot_id_x.sh"),
        (60, "'; DROP TABLE part;--.csv", "text/csv", "007-drop_table_part.csv"),
        (60, "\u{1b}[31mred\u{7}.txt", "text/plain", "007-31mred.txt"),
    ];

    #[test]
    fn every_row_of_the_contract_is_stored_under_a_harmless_name() {
        for (row, declared, sniffed, stored) in ROWS {
            assert_eq!(stored_name(7, Some(declared), sniffed), *stored, "row {row}: {declared:?}");
        }
        for row in 49..=60 {
            assert!(ROWS.iter().any(|(r, ..)| *r == row), "row {row} is not tested");
        }
    }

    #[test]
    fn a_name_of_four_thousand_bytes_is_cut_and_keeps_its_extension() {
        let stored = stored_name(7, Some(&format!("{}.csv", "ab".repeat(2_000))), "text/csv");
        assert_eq!(stored, format!("007-{}.csv", "ab".repeat(40)));
    }

    #[test]
    fn a_part_without_a_name_is_named_by_its_content() {
        assert_eq!(stored_name(1, None, "text/html"), "001-part.html");
        assert_eq!(stored_name(1, None, "text/x-unknown"), "001-part.txt");
        assert_eq!(stored_name(12_345, None, "message/rfc822"), "12345-part.eml");
    }

    #[test]
    fn names_that_differ_by_case_or_normalisation_only_are_twins() {
        assert_eq!(twins(&["a.csv", "b.csv", "A.CSV", "Bu\u{308}ro", "B\u{fc}ro"]), [2, 4]);
    }

    #[test]
    fn hidden_characters_are_reported() {
        assert!(hides_something("invoice\u{202e}fdp.exe"));
        assert!(!hides_something("Büro \t日本.txt"));
    }

    proptest! {
        #[test]
        fn no_declared_name_makes_a_harmful_one(
            number in 0u32..20_000,
            declared in proptest::option::of("\\PC{0,60}|[./\\\\a-zA-Z\\x00-\\x20]{0,200}|.{0,300}"),
            sniffed in "text/plain|application/zip|application/octet-stream|[a-z/]{0,20}",
        ) {
            let stored = stored_name(number, declared.as_deref(), &sniffed);
            prop_assert!(stored.len() <= 100);
            let (prefix, rest) = stored.split_once('-').unwrap();
            prop_assert_eq!(prefix, format!("{number:03}"));
            let (stem, extension) = rest.split_once('.').unwrap();
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
            prop_assert!((1..=80).contains(&stem.len()) && stem.chars().all(allowed), "{stored}");
            prop_assert!((1..=10).contains(&extension.len()), "{stored}");
            prop_assert!(extension.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{stored}");
        }
    }
}
