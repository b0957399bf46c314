//! Checks every reply of a child against declarations, budget and files.

use super::{RunError, RunErrorKind};
use module_api::frame::{Budget, Head, Input, PartRecord, Range, Request, Stored};
use module_api::{Declaration, Finding, Problem, Row};

/// Messages, reasons and names from a module are cut to this length.
const MESSAGE_BYTES: usize = 1_024;
/// Longest rule id or problem code.
const CODE_BYTES: usize = 64;
/// Longest detail of a problem.
const DETAIL_BYTES: usize = 200;
/// Longest path, name or type of a part.
const PART_TEXT_BYTES: usize = 16 << 10;

/// Checks rows and findings against declaration and budget, parts against the files.
#[derive(Debug)]
pub(super) struct Checker {
    declaration: Option<Declaration>,
    budget: Budget,
    /// Length of the input.
    input_bytes: u64,
    most_parts: usize,
    parts: usize,
    pub rows: u64,
    pub findings: u64,
    bytes: u64,
}

impl Checker {
    /// For a run without a module.
    pub(super) fn split(input_bytes: u64, most_parts: usize) -> Self {
        Self {
            declaration: None,
            budget: Budget { rows: 0, row_bytes: 0, output_bytes: 0, findings: 0 },
            input_bytes,
            most_parts,
            parts: 0,
            rows: 0,
            findings: 0,
            bytes: 0,
        }
    }

    /// For a run of the module that declared this.
    pub(super) fn module(
        declaration: Declaration,
        budget: Budget,
        input_bytes: u64,
        most_parts: usize,
    ) -> Self {
        Self { declaration: Some(declaration), budget, ..Self::split(input_bytes, most_parts) }
    }

    /// Checks a part; its range in the spill is checked when the run has ended.
    pub(super) fn part(&mut self, part: &PartRecord) -> Result<(), RunError> {
        if self.parts >= self.most_parts {
            return Err(RunError::bad_frame(format!("more than {} parts", self.most_parts)));
        }
        if part.parent.is_some_and(|p| p as usize >= self.parts) {
            return Err(RunError::bad_frame("part before its parent"));
        }
        let texts =
            [&part.path, &part.media_type, &part.sniffed_type, &part.transfer_encoding, &part.disposition];
        let name = part.name.as_ref().map_or(0, String::len);
        if name > PART_TEXT_BYTES || texts.iter().any(|t| t.len() > PART_TEXT_BYTES) {
            return Err(RunError::bad_frame("text of a part is too long"));
        }
        check_problems(&part.problems)?;
        for range in part.raw.into_iter().chain(input_range(part.stored)) {
            within(range, self.input_bytes, "input")?;
        }
        self.parts += 1;
        Ok(())
    }

    /// Checks a row of `bytes` on the wire.
    pub(super) fn row(&mut self, row: &Row, bytes: usize) -> Result<(), RunError> {
        self.rows += 1;
        self.spend(bytes)?;
        if self.rows > self.budget.rows {
            return Err(over(format!("more than {} rows", self.budget.rows)));
        }
        self.place(row.place.part)?;
        let declaration =
            self.declaration.as_ref().ok_or_else(|| RunError::bad_frame("row without a module"))?;
        declaration.check_row(row).map_err(|e| RunError::bad_frame(e.to_string()))
    }

    /// Checks a finding of `bytes` on the wire and cuts its texts.
    pub(super) fn finding(&mut self, finding: &mut Finding, bytes: usize) -> Result<(), RunError> {
        self.findings += 1;
        self.spend(bytes)?;
        if self.findings > self.budget.findings {
            return Err(over(format!("more than {} findings", self.budget.findings)));
        }
        self.place(finding.place.part)?;
        if !is_code(&finding.rule) {
            return Err(RunError::bad_frame(format!("finding of rule {:.64?}", finding.rule)));
        }
        cut(&mut finding.message, MESSAGE_BYTES);
        cut(&mut finding.excerpt, Finding::EXCERPT_BYTES);
        if let Some(field) = &mut finding.field {
            cut(field, MESSAGE_BYTES);
        }
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), RunError> {
        self.bytes += bytes as u64;
        if bytes > self.budget.row_bytes {
            return Err(over(format!("row or finding of {bytes} bytes, {} allowed", self.budget.row_bytes)));
        }
        if self.bytes > self.budget.output_bytes {
            return Err(over(format!("more than {} bytes of output", self.budget.output_bytes)));
        }
        Ok(())
    }

    fn place(&self, part: u32) -> Result<(), RunError> {
        if (part as usize) < self.parts {
            Ok(())
        } else {
            Err(RunError::bad_frame(format!("place in part {part}")))
        }
    }
}

/// Checks the head of a mail. Its texts are free; problem codes are ours.
pub(super) fn head(head: &Head) -> Result<(), RunError> {
    check_problems(&head.problems)
}

fn check_problems(problems: &[Problem]) -> Result<(), RunError> {
    match problems.iter().find(|p| !is_code(&p.code) || p.detail.len() > DETAIL_BYTES) {
        Some(p) => Err(RunError::bad_frame(format!("problem {:.64?}", p.code))),
        None => Ok(()),
    }
}

fn is_code(word: &str) -> bool {
    let letter = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    (1..=CODE_BYTES).contains(&word.len()) && word.bytes().all(letter)
}

/// A module's text, cut to the longest that is stored.
pub(super) fn brief(mut text: String) -> String {
    cut(&mut text, MESSAGE_BYTES);
    text
}

/// Checks that stored parts fill the spill no further than a child that splits the mail may.
pub(super) fn filled_bytes(request: &Request, most: u64) -> Result<(), RunError> {
    match request {
        Request::Parse(parse) | Request::Draft(parse) => match parse.input {
            Input::Parts { spill_bytes, .. } if spill_bytes > most => {
                Err(over("wrote more than the spill may hold".into()))
            }
            _ => Ok(()),
        },
        Request::Split { .. } => Ok(()),
    }
}

/// Checks every part's range in the spill, once the spill has its final size.
pub(super) fn spill_ranges(parts: &[PartRecord], spill_bytes: u64) -> Result<(), RunError> {
    parts.iter().try_for_each(|part| match part.stored {
        Stored::Spill(range) => within(range, spill_bytes, "spill"),
        Stored::Input(_) => Ok(()),
    })
}

fn input_range(stored: Stored) -> Option<Range> {
    match stored {
        Stored::Input(range) => Some(range),
        Stored::Spill(_) => None,
    }
}

fn within(range: Range, bytes: u64, what: &str) -> Result<(), RunError> {
    match range.offset.checked_add(range.len) {
        Some(end) if end <= bytes => Ok(()),
        _ => Err(RunError::bad_frame(format!("part outside of the {what}"))),
    }
}

fn over(message: String) -> RunError {
    RunError::new(RunErrorKind::Budget, message)
}

fn cut(text: &mut String, limit: usize) {
    text.truncate(text.floor_char_boundary(limit));
}
