//! Problem codes, bounded in number and length. `modules/README.md` lists what they mean.

use module_api::Problem;
use std::borrow::Cow;

/// Most problems of one part or mail; further ones are dropped.
const MOST: usize = 50;
/// Longest detail.
const DETAIL_BYTES: usize = 200;

/// Codes of readings that may be wrong, and what they mean: rows that come from such a part have a finding of the same
/// name.
const DOUBTS: &[(&str, &str)] = &[
    ("bad_type", "the declared media type is none; the closest one was taken"),
    ("boundary_guess", "the multipart is divided by another boundary than the declared one"),
    (
        "charset_guess",
        "the text was read in another character set than the declared one, or none is declared",
    ),
    ("charset_unknown", "the declared character set is not known"),
    ("header_misspelt", "the name of a field that describes the body is misspelt"),
    ("header_junk", "lines in the header that are no fields were skipped"),
    ("leading_junk", "something in front of the header was skipped"),
    ("no_boundary", "the multipart cannot be divided; all of it was read as text"),
    ("param_odd", "a parameter follows another without a semicolon"),
    ("signature_unverified", "what was signed was read; the signature was not verified"),
];

/// What a code means that says the reading may be wrong.
pub(crate) fn doubt(code: &str) -> Option<&'static str> {
    DOUBTS.iter().find(|(doubt, _)| *doubt == code).map(|(_, meaning)| *meaning)
}

/// A problem with a printable detail of bounded length.
pub(crate) fn problem(code: &'static str, detail: &str) -> Problem {
    Problem { code: Cow::Borrowed(code), detail: printable(detail) }
}

/// Adds a problem unless this code is there already or there are too many.
pub(crate) fn add(problems: &mut Vec<Problem>, code: &str, detail: &str) {
    if problems.len() < MOST && !has(problems, code) {
        problems.push(Problem { code: Cow::Owned(code.to_owned()), detail: printable(detail) });
    }
}

/// Whether a problem of this code is among them.
pub(crate) fn has(problems: &[Problem], code: &str) -> bool {
    problems.iter().any(|p| p.code == code)
}

fn printable(detail: &str) -> String {
    let mut text: String =
        detail.chars().take(DETAIL_BYTES).map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.truncate(text.floor_char_boundary(DETAIL_BYTES));
    text
}
