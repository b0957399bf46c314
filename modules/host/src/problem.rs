//! Problem codes, bounded in number and length.

use module_api::Problem;
use std::borrow::Cow;

/// Most problems of one part or mail; further ones are dropped.
const MOST: usize = 50;
/// Longest detail.
const DETAIL_BYTES: usize = 200;

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
