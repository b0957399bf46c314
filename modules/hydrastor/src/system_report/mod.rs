//! `hydrastor/system_report`: the daily mail of a grid.
//!
//! A mail may hold several grids, and one grid several times: as an attachment, again in an archive, again in the body.
//! Copies are ranked; the best one is loaded and the others are only compared with it, so a difference is a finding
//! and never a second truth.

mod capacity;
pub mod fields;
mod grid;
pub mod outline;
mod table;
mod tables;

use crate::profile::{Profile, plain};
use crate::sources::{self, Rank, Source};
use crate::values::{self, Values};
use grid::Grid;
use module_api::{Declaration, Delivery, Finding, Module, Outcome, Place, Row, Sink, Stop, Table, Value};
use std::collections::BTreeMap;

/// Most reports loaded of one delivery. Each is compared with all before it.
const REPORTS: usize = 1_000;

/// The module.
pub struct SystemReport;

impl Module for SystemReport {
    fn declaration(&self) -> Declaration {
        Declaration {
            id: "hydrastor/system_report".into(),
            version: "1.0.0".into(),
            summary: "Daily system report of a HYDRAstor grid (assumed format)".into(),
            assumed: true,
            tables: tables::all(),
            views: Vec::new(),
        }
    }

    fn parse(&self, delivery: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
        let profile = match Profile::of(delivery.settings) {
            Ok(profile) => profile,
            Err(reason) => return Ok(Outcome::Rejected { reason }),
        };
        out.profile(&profile.name);
        match read(delivery, &profile) {
            Ok(read) => read.give(delivery, out),
            Err(outcome) => Ok(outcome),
        }
    }

    fn draft_profile(&self, delivery: &Delivery<'_>) -> Option<String> {
        Some(crate::draft::system_report(delivery))
    }
}

/// Everything a delivery says.
#[derive(Default)]
struct Read {
    loaded: Vec<(Rank, Grid)>,
    findings: Vec<Finding>,
    rejected: u64,
}

fn read(delivery: &Delivery<'_>, profile: &Profile) -> Result<Read, Outcome> {
    let reader = profile.reading.reader(delivery.settings).map_err(|wrong| Outcome::Rejected {
        reason: format!("settings over profile {}: {wrong}", profile.name),
    })?;
    let (texts, findings) = sources::of(delivery, &profile.report.names, profile.report.csv_delimiter)
        .map_err(|e| Outcome::Retry { reason: format!("cannot read a part: {e}") })?;
    let subject_grid = subject_grid(&delivery.envelope.subject, profile);
    let mut read = Read { findings, ..Read::default() };
    for Source { part, rank, text } in &texts {
        if rank.is_last_resort() && !read.loaded.is_empty() {
            break;
        }
        let mut reader = reader.clone();
        reader.clock.settle(text.lines());
        for outline in outline::reports(text, &profile.report) {
            let values = Values::new(&reader, delivery.received_at, *part);
            match grid::read(&outline, profile, values, subject_grid) {
                Ok(grid) => read.take(*rank, *part, grid),
                Err(findings) => {
                    read.findings.extend(findings);
                    read.rejected += 1;
                }
            }
        }
    }
    read.compare_subject(subject_grid);
    Ok(read)
}

fn subject_grid<'s>(subject: &'s str, profile: &Profile) -> Option<&'s str> {
    let found = profile.report.subject.iter().find_map(|pattern| pattern.captures(subject))?;
    found.name("grid").map(|grid| grid.as_str())
}

impl Read {
    /// Loads a grid, or compares it with the better copy that is loaded already.
    fn take(&mut self, rank: Rank, part: u32, grid: Grid) {
        let is_copy = |(other, loaded): &&(Rank, Grid)| {
            loaded.key == grid.key && (*other < rank || loaded.report_at == grid.report_at)
        };
        match self.loaded.iter().find(is_copy) {
            Some((_, loaded)) => self.findings.extend(differences(loaded, &grid, part)),
            None if self.loaded.len() >= REPORTS => {
                self.rejected += 1;
                let message = format!("more than {REPORTS} reports in one delivery");
                self.findings.push(Finding::error("too_many_reports", Place::line(part, grid.line), message));
            }
            None => self.loaded.push((rank, grid)),
        }
    }

    fn compare_subject(&mut self, subject_grid: Option<&str>) {
        let Some(subject) = subject_grid else { return };
        let named =
            |(_, grid): &(Rank, Grid)| grid.name.as_deref().is_some_and(|name| plain(name) == plain(subject));
        if let Some((_, first)) = self.loaded.first().filter(|_| !self.loaded.iter().any(named)) {
            let place = first.rows.first().map_or(Place::default(), |row| row.place);
            let message = "the subject names another grid than the report; the report is believed";
            self.findings.push(
                Finding::warning("subject_disagrees", place, message).field("grid_name").excerpt(subject),
            );
        }
    }

    fn give(self, delivery: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
        let Self { loaded, findings, mut rejected } = self;
        let (nothing, mut complete) = (loaded.is_empty(), true);
        let mut all = Vec::new();
        for (_, grid) in loaded {
            rejected += grid.rejected;
            complete &= grid.complete;
            all.extend(grid.findings);
            grid.rows.into_iter().try_for_each(|row| out.row(row))?;
        }
        all.extend(findings);
        values::give(all, out)?;
        Ok(match (nothing, complete && rejected == 0) {
            (true, _) => {
                Outcome::Rejected { reason: format!("no part holds a system report; {}", delivery.holds()) }
            }
            (false, true) => Outcome::Ok,
            (false, false) => Outcome::Partial { rejected },
        })
    }
}

/// Where a copy says otherwise than the one that is loaded. Lines and unknown labels are not compared.
fn differences<'a>(loaded: &Grid, copy: &'a Grid, part: u32) -> Vec<Finding> {
    let declared = tables::all();
    let keyed = |row: &'a Row| Some((key_of(declared.get(usize::from(row.table))?, row), row));
    let compared = |row: &&Row| row.table != tables::EXTRA;
    let mut theirs: BTreeMap<_, &Row> = copy.rows.iter().filter(compared).filter_map(keyed).collect();
    let mut findings = Vec::new();
    let mut differs = |line, field: &str, text: &str| {
        let message = "a copy of the report says otherwise than the one that is loaded";
        let place = Place { part, line, offset: None };
        findings.push(Finding::warning("copy_differs", place, message).field(field).excerpt(text));
    };
    for ours in loaded.rows.iter().filter(compared) {
        let Some(table) = declared.get(usize::from(ours.table)) else { continue };
        let Some(row) = theirs.remove(&key_of(table, ours)) else {
            differs(Some(copy.line), &table.name, "a row is missing");
            continue;
        };
        for ((column, our), their) in table.columns.iter().zip(&ours.values).zip(&row.values) {
            if our != their {
                differs(row.place.line, &column.name, &shown(their));
            }
        }
    }
    for row in theirs.into_values() {
        let table = declared.get(usize::from(row.table)).map_or("", |table| &table.name);
        differs(row.place.line, table, "a row more");
    }
    findings
}

/// What makes a row of one report distinct: its table and natural key, without the time of the report.
fn key_of(table: &Table, row: &Row) -> (u16, Vec<String>) {
    let columns = table.key.iter().filter_map(|name| table.position(name));
    (row.table, columns.filter_map(|at| row.values.get(at)).map(shown).collect())
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Text(text) => text.clone(),
        Value::Int(number) | Value::Time(number) => number.to_string(),
        Value::Decimal(decimal) => decimal.to_string(),
        Value::Bool(truth) => truth.to_string(),
        other => format!("{other:?}"),
    }
}
