//! Which parts carry text for us, as lines.

use module_api::{Delivery, Finding, Part, PartKind, Place};
use module_reading::html;
use regex::Regex;
use std::io;

/// Most of one part that is read; a longer one is cut, and so lacks its end.
const TEXT_BYTES: usize = 8 << 20;

/// Which of several copies counts: the lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// It has the name of a report.
    Attached,
    Body,
    /// Text of any other name.
    Other,
    Html,
}

impl Rank {
    /// Read only where nothing better says anything.
    pub fn is_last_resort(self) -> bool {
        matches!(self, Self::Other | Self::Html)
    }
}

/// The text of one part.
#[derive(Debug)]
pub struct Source {
    pub part: u32,
    pub rank: Rank,
    pub text: String,
}

/// The texts of a delivery in the order in which they count, and what was odd about reading them.
pub fn of(
    delivery: &Delivery<'_>,
    names: &[Regex],
    csv_delimiter: char,
) -> io::Result<(Vec<Source>, Vec<Finding>)> {
    let (mut sources, mut findings) = (Vec::new(), Vec::new());
    for (index, part) in (0..).zip(delivery.parts) {
        let place = Place { part: index, ..Place::default() };
        let holds = Holds::of(part);
        if holds == Holds::Else && is_named(part, names) && !part.content.is_empty() {
            let message = format!("named like a report, but holds {}", part.sniffed_type);
            findings.push(Finding::warning("not_text", place, message));
        }
        let Some(rank) = rank(part, holds, names) else { continue };
        let read = part.text(TEXT_BYTES)?;
        if part.content.len() > TEXT_BYTES as u64 {
            findings.push(Finding::warning("part_cut", place, "longer than a report is read"));
        }
        if read.replaced > 0 {
            let message = format!("{} characters are not {}", read.replaced, read.encoding);
            findings.push(Finding::warning("undecodable", place, message));
        }
        let text = match rank {
            _ if holds == Holds::Html => html::to_text(&read.text, TEXT_BYTES),
            _ if part.sniffed_type == "text/csv" || has_suffix(part, ".csv") => {
                csv_lines(&read.text, csv_delimiter)
            }
            _ => read.text,
        };
        sources.push(Source { part: index, rank, text });
    }
    sources.sort_by_key(|source| (source.rank, source.part));
    Ok((sources, findings))
}

/// What a part's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    Html,
    /// Nobody knows: perhaps a damaged text.
    Unknown,
    Else,
}

impl Holds {
    fn of(part: &Part<'_>) -> Self {
        match part.sniffed_type.as_str() {
            "text/html" => Self::Html,
            "application/octet-stream" => Self::Unknown,
            other if other.starts_with("text/") => Self::Text,
            _ => Self::Else,
        }
    }
}

fn rank(part: &Part<'_>, holds: Holds, names: &[Regex]) -> Option<Rank> {
    match (part.kind, holds) {
        (PartKind::Message, _) | (_, Holds::Else) => None,
        _ if is_named(part, names) => Some(Rank::Attached),
        (_, Holds::Unknown) => None,
        (_, Holds::Html) => Some(Rank::Html),
        (PartKind::Body, Holds::Text) => Some(Rank::Body),
        (_, Holds::Text) if part.name.is_none() => Some(Rank::Body),
        (_, Holds::Text) => Some(Rank::Other),
    }
}

/// Whether something attached has the name of a report.
fn is_named(part: &Part<'_>, names: &[Regex]) -> bool {
    matches!(part.kind, PartKind::Attachment | PartKind::Member)
        && part.name.as_ref().is_some_and(|name| names.iter().any(|pattern| pattern.is_match(name)))
}

fn has_suffix(part: &Part<'_>, suffix: &str) -> bool {
    part.name.as_ref().is_some_and(|name| name.to_ascii_lowercase().ends_with(suffix))
}

/// CSV (RFC 4180) as one line per record with tabs between cells, the form that tables in HTML take too. A tab or
/// line end inside a cell becomes a blank.
fn csv_lines(text: &str, delimiter: char) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                out.push('"');
            }
            '"' => quoted = !quoted,
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' | '\t' if quoted => out.push(' '),
            c if c == delimiter && !quoted => out.push('\t'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::csv_lines;

    #[test]
    fn quoted_cells_keep_delimiters_and_lose_line_ends() {
        assert_eq!(csv_lines("a,\"b,\"\"c\"\"\nd\",e\r\nf,,g", ','), "a\tb,\"c\" d\te\nf\t\tg");
    }
}
