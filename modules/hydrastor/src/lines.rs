//! Lines of a report: labels, cells, and lines that a mail program broke in two.

use crate::values::cut;

/// Longest line that is read; the rest of a longer one is left out.
pub const LINE_BYTES: usize = 8 << 10;

/// Most lines of one text; one that has more is cut short, and so lacks its end.
const LINES: usize = 100_000;

/// Where mail programs break lines.
const WRAP_COLUMNS: usize = 76;

/// Blanks between the words of a sentence, and the most between the cells of a table.
pub const PROSE_GAP: usize = 1;
pub const TABLE_GAP: usize = 12;

/// Longest label, in characters.
const LABEL_CHARS: usize = 64;

/// One line with its number.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// 1-based.
    pub number: u64,
    /// Without its end, trailing blanks or what lies beyond [`LINE_BYTES`].
    pub text: &'a str,
}

/// The lines of a text.
pub fn of(text: &str) -> Vec<Line<'_>> {
    (1..)
        .zip(text.lines().take(LINES))
        .map(|(number, line)| Line { number, text: cut(line, LINE_BYTES).trim_end() })
        .collect()
}

impl<'a> Line<'a> {
    /// `Label : value`, or two cells of a table. A label begins with a letter, so `12:00:03` is none.
    pub fn label(&self) -> Option<(&'a str, &'a str)> {
        let text = self.text.trim_start();
        if !text.starts_with(char::is_alphabetic) {
            return None;
        }
        if text.contains('\t') {
            let (label, value) = text.split_once('\t').filter(|(_, value)| !value.contains('\t'))?;
            return Some((label.trim().trim_end_matches([':', '：']).trim_end(), value.trim()));
        }
        let (at, colon) = text.char_indices().take(LABEL_CHARS + 1).find(|&(at, c)| {
            let ends_word = || text[at + 1..].chars().next().is_none_or(char::is_whitespace);
            c == '：' || (c == ':' && ends_word())
        })?;
        let (label, value) = (&text[..at], &text[at + colon.len_utf8()..]);
        Some((label.trim(), value.trim()))
    }

    /// Cells: separated by tabs, or else by two blanks or more.
    pub fn cells(&self) -> Vec<Cell<'a>> {
        if self.text.contains('\t') {
            let cell = |text: &'a str| Cell { text: text.trim(), start: 0, end: 0 };
            return self.text.split('\t').map(cell).collect();
        }
        let mut cells: Vec<Cell<'a>> = Vec::new();
        let (mut column, mut start, mut blanks) = (0, None::<(usize, usize)>, 0);
        let mut end = (0, 0);
        for (at, c) in self.text.char_indices() {
            if c.is_whitespace() {
                blanks += if c == '\u{3000}' { 2 } else { 1 };
            } else {
                if blanks >= 2
                    && let Some((from, start_column)) = start.take()
                {
                    cells.push(Cell { text: &self.text[from..end.0], start: start_column, end: end.1 });
                }
                start.get_or_insert((at, column));
                (blanks, end) = (0, (at + c.len_utf8(), column + 1));
            }
            column += 1;
        }
        if let Some((from, start_column)) = start {
            cells.push(Cell { text: &self.text[from..end.0], start: start_column, end: end.1 });
        }
        cells
    }

    /// Whether `next` may be the rest of this line, broken off because its first word did not fit behind `gap` blanks,
    /// which are gone: [`PROSE_GAP`] or, at most, [`TABLE_GAP`].
    pub fn may_continue_in(&self, next: &Line<'_>, gap: usize) -> bool {
        let width = self.text.chars().count();
        let Some(word) = next.text.split_whitespace().next() else { return false };
        (1..=WRAP_COLUMNS + 2).contains(&width) && width + gap + word.chars().count() > WRAP_COLUMNS
    }

    /// Whether the line is drawn, not written: `-----`, `=====`, `+---+`.
    pub fn is_rule(&self) -> bool {
        !self.text.is_empty() && self.text.chars().all(|c| matches!(c, '-' | '=' | '+' | '|' | '_' | ' '))
    }
}

/// A cell and the columns of text it covers (both 0 where tabs separate).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell<'a> {
    pub text: &'a str,
    pub start: usize,
    pub end: usize,
}

/// Gives every header its cell. With as many cells as headers they stand in order; with fewer, each must lie under
/// exactly one header. `None` where that fails, and for a lone cell, which is more likely a remark than a record.
pub fn under<'a>(headers: &[Cell<'_>], cells: &[Cell<'a>]) -> Option<Vec<&'a str>> {
    if cells.len() == headers.len() {
        return Some(cells.iter().map(|cell| cell.text).collect());
    }
    if cells.len() < 2 || cells.len() > headers.len() || headers.iter().chain(cells).any(|cell| cell.end == 0)
    {
        return None;
    }
    let mut texts = vec![""; headers.len()];
    let mut next = 0;
    for cell in cells {
        let overlaps = |header: &Cell<'_>| cell.start < header.end && header.start < cell.end;
        let first = headers.iter().position(overlaps)?;
        if first < next || headers.get(first + 1).is_some_and(overlaps) {
            return None;
        }
        texts[first] = cell.text;
        next = first + 1;
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line<'_> {
        Line { number: 1, text }
    }

    fn texts<'a>(cells: &[Cell<'a>]) -> Vec<&'a str> {
        cells.iter().map(|cell| cell.text).collect()
    }

    #[test]
    fn a_label_ends_at_its_colon_and_a_time_is_no_label() {
        assert_eq!(line("Grid name   : a : b").label(), Some(("Grid name", "a : b")));
        assert_eq!(line("グリッド名：氷").label(), Some(("グリッド名", "氷")));
        assert_eq!(line("Ratio\t15.2 : 1").label(), Some(("Ratio", "15.2 : 1")));
        assert_eq!(line("Serial:").label(), Some(("Serial", "")));
        for text in ["12:00:03 JST", "see http://x/", "a\tb\tc", "", ": x"] {
            assert_eq!(line(text).label(), None, "{text}");
        }
    }

    #[test]
    fn one_blank_is_part_of_a_cell_and_two_end_it() {
        assert_eq!(texts(&line("hn001  Not available   1.5").cells()), ["hn001", "Not available", "1.5"]);
        assert_eq!(texts(&line("a\t\tb c").cells()), ["a", "", "b c"]);
    }

    #[test]
    fn an_empty_cell_is_found_by_the_header_above_it() {
        let (header, row) = ("Name    Role  Status    CPU%", "hn001         Normal    23.1");
        let cells = under(&line(header).cells(), &line(row).cells());
        assert_eq!(cells, Some(vec!["hn001", "", "Normal", "23.1"]));
        assert_eq!(under(&line(header).cells(), &line("hn003").cells()), None);
        let between = "hn001  xxxxxxxxxxxxxx  23.1";
        assert_eq!(under(&line(header).cells(), &line(between).cells()), None);
    }
}
