//! Escapes untrusted text for terminals and log lines.
//!
//! A subject line may carry escape sequences that move the cursor, rename the window or hide what follows, and
//! characters that reverse the reading direction. Every field shown on a terminal or in a log line passes here first;
//! stored data is never changed.

use std::borrow::Cow;

/// The text with every unsafe character written out as `\n`, `\t` or `\u{1b}`. Never panics; borrows where nothing
/// changed. The result is one line.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => safe.extend(c.escape_default()),
            c if is_unsafe(c) => safe.extend(c.escape_unicode()),
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// The text as a JSON string that is also safe to print: the same characters stand as `\uXXXX`, so a parser gets back
/// exactly what went in.
pub fn json_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_unsafe(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Control characters (C0, DEL, C1), separators that break lines, characters without width, characters that change
/// the reading direction (Unicode TR 9 and TR 36), and tag characters.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::{escape, is_unsafe, json_string};
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_line_breaks_and_bidirectional_controls_are_written_out() {
        assert_eq!(escape("\x1b[2Jgone"), "\\u{1b}[2Jgone");
        assert_eq!(escape("a\r\nb\tc"), "a\\r\\nb\\tc");
        assert_eq!(escape("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(escape("invoice\u{202e}fdp.exe"), "invoice\\u{202e}fdp.exe");
    }

    #[test]
    fn ordinary_text_of_any_language_is_left_alone() {
        assert_eq!(escape("Grüße, 日本 ☂ \\n"), "Grüße, 日本 ☂ \\n");
    }

    proptest! {
        #[test]
        fn no_text_leaves_an_unsafe_character(text in ".{0,40}|[\u{0}-\u{9f}]{0,20}") {
            prop_assert!(!escape(&text).chars().any(is_unsafe));
        }

        #[test]
        fn a_json_string_reads_back_as_what_went_in(text in ".{0,40}|[\u{0}-\u{2fff}]{0,20}") {
            let mut out = String::new();
            json_string(&text, &mut out);
            prop_assert!(!out.chars().any(is_unsafe));
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
