//! One report: its sections become rows of one grid.

use super::capacity::Capacity;
use super::outline::{Entry, Kind, Outline, Section};
use super::table::Table;
use super::tables;
use crate::profile::{Names, Profile};
use crate::values::{Printed, Values, cut};
use module_api::{Finding, Micros, Row, Value};
use module_reading::Doubt;

/// Longest name, serial number and version of a grid. They stand in every row, so a long one would be paid for a
/// hundred thousand times.
const NAME_BYTES: usize = 1 << 10;

/// Longest title and label kept of what the profile does not know, for the same reason.
const LABEL_BYTES: usize = 256;

/// The rows of one report.
#[derive(Debug)]
pub struct Grid {
    pub key: String,
    pub name: Option<String>,
    pub report_at: Option<Micros>,
    pub complete: bool,
    pub rows: Vec<Row>,
    pub findings: Vec<Finding>,
    /// Lines that are records and could not be read.
    pub rejected: u64,
    pub line: u64,
}

#[derive(Debug, Default)]
struct Head {
    name: Option<String>,
    serial: Option<String>,
    version: Option<String>,
    report_at: Option<Micros>,
    zone_assumed: bool,
    period: (Option<Micros>, Option<Micros>),
}

/// Something printed that the profile does not know.
struct Extra {
    section: String,
    label: String,
    value: String,
    line: u64,
}

/// A row without its grid, which is known only once all is read.
struct Unkeyed {
    table: u16,
    line: u64,
    values: Vec<Value>,
}

struct Reading<'a, 'v> {
    profile: &'a Profile,
    values: Values<'v>,
    head: Head,
    capacity: Capacity,
    extras: Vec<Extra>,
    rows: Vec<Unkeyed>,
    nodes: Option<i64>,
    not_normal: i64,
    file_systems: Option<i64>,
    rejected: u64,
}

/// Reads one report; `None`, with findings, where nothing says which grid it is of. `subject_grid` stands in for a
/// name that is not printed.
pub fn read(
    outline: &Outline<'_>,
    profile: &Profile,
    values: Values<'_>,
    subject_grid: Option<&str>,
) -> Result<Grid, Vec<Finding>> {
    let mut reading = Reading {
        profile,
        values,
        head: Head::default(),
        capacity: Capacity::default(),
        extras: Vec::new(),
        rows: Vec::new(),
        nodes: None,
        not_normal: 0,
        file_systems: None,
        rejected: 0,
    };
    for (index, section) in outline.sections.iter().enumerate() {
        // The last section of a report that was cut may lack lines, so what it lists is not counted.
        let whole = outline.complete || index + 1 < outline.sections.len();
        reading.section(section, whole);
    }
    if let Some(line) = outline.cut {
        reading.reject(line.number, "line_cut", "the text ends within this line", line.text);
    }
    reading.finish(outline, subject_grid)
}

impl Reading<'_, '_> {
    fn section(&mut self, section: &Section<'_>, whole: bool) {
        let form = &self.profile.report;
        match section.kind {
            Kind::Head => self.labels(section, &form.head, Self::head),
            Kind::Capacity => self.labels(section, &form.capacity.names, Self::capacity),
            Kind::Nodes => {
                let listed = self.table(section, &form.nodes.names, Self::node);
                self.nodes = whole.then_some(self.nodes.unwrap_or(0) + listed);
            }
            Kind::FileSystems => {
                let listed = self.table(section, &form.file_systems.names, Self::file_system);
                self.file_systems = whole.then_some(self.file_systems.unwrap_or(0) + listed);
            }
            Kind::Replication => {
                self.table(section, &form.replication.names, Self::replication);
            }
            Kind::Unknown => {
                for line in &section.lines {
                    let (label, value) = line.label().unwrap_or(("", line.text.trim()));
                    self.extra(section, label, value, line.number);
                }
            }
        }
    }

    /// Gives each labelled value to `take`, which says whether it could use it.
    fn labels(&mut self, section: &Section<'_>, names: &Names, take: fn(&mut Self, Printed<'_>) -> bool) {
        for Entry { label, value, line } in section.entries() {
            let taken =
                names.find(label).is_some_and(|field| take(self, Printed { field, text: &value, line }));
            if !taken {
                self.extra(section, label, &value, line);
            }
        }
    }

    fn head(&mut self, printed: Printed<'_>) -> bool {
        let text =
            Some(cut(printed.text, NAME_BYTES).to_owned()).filter(|text| !module_reading::is_null(text));
        match printed.field {
            "grid_name" if self.head.name.is_none() => self.head.name = text,
            "grid_serial" if self.head.serial.is_none() => self.head.serial = text,
            "sw_version" if self.head.version.is_none() => self.head.version = text,
            "report_at" if self.head.report_at.is_none() => {
                let moment = self.values.time(printed);
                self.values.keep_zone_of(printed.text);
                self.head.zone_assumed = moment.as_ref().is_some_and(|moment| moment.zone_assumed);
                self.head.report_at = moment.map(|moment| moment.micros);
            }
            "period" => self.period(printed),
            // A label that comes again is not the grid's: it stays what was printed.
            _ => return false,
        }
        true
    }

    /// `start - end`, the zone perhaps after the end only.
    fn period(&mut self, printed: Printed<'_>) {
        let Some((start, end)) = printed.text.split_once(" - ").or_else(|| printed.text.split_once('～'))
        else {
            self.values.doubt(Doubt::new("period_malformed", "not of the form start - end"), printed);
            return;
        };
        let zone = end.split_whitespace().nth(2).filter(|_| start.split_whitespace().count() == 2);
        let start = zone.map_or_else(|| start.to_owned(), |zone| format!("{start} {zone}"));
        let time = |values: &mut Values<'_>, field, text| {
            values.time(Printed { field, text, ..printed }).map(|m| m.micros)
        };
        self.head.period = (
            time(&mut self.values, "period_start", &start),
            time(&mut self.values, "period_end", end.trim()),
        );
    }

    fn capacity(&mut self, printed: Printed<'_>) -> bool {
        self.capacity.take(&mut self.values, printed)
    }

    /// Reads a table and returns how many records it lists, readable or not.
    fn table(
        &mut self,
        section: &Section<'_>,
        names: &Names,
        row: fn(&mut Self, &Table<'_>, &super::table::Record) -> Option<Unkeyed>,
    ) -> i64 {
        let table = Table::of(section, names, &self.profile.report.nothing);
        for record in &table.records {
            match row(self, &table, record) {
                Some(row) => self.rows.push(row),
                None => {
                    self.reject(record.line, "no_name", "a line without a name", &record.cells.join("  "))
                }
            }
        }
        for line in &table.shapeless {
            self.reject(line.number, "row_shape", "a line that does not fit under the titles", line.text);
            self.extra(section, "", line.text.trim(), line.number);
        }
        for (index, column) in table.columns.iter().enumerate().filter(|(_, column)| column.field.is_none()) {
            let printed = Printed { field: &column.title, text: &column.title, line: column.line };
            self.values.info("unknown_column", "a column that the profile does not map", printed);
            let cell = |record: &super::table::Record| Extra {
                section: cut(section.title, LABEL_BYTES).to_owned(),
                label: cut(&column.title, LABEL_BYTES).to_owned(),
                value: record.cells.get(index).cloned().unwrap_or_default(),
                line: record.line,
            };
            self.extras.extend(table.records.iter().map(cell));
        }
        i64::try_from(table.records.len() + table.shapeless.len()).unwrap_or(i64::MAX)
    }

    fn node(&mut self, table: &Table<'_>, record: &super::table::Record) -> Option<Unkeyed> {
        let name = named(table.get(record, "node_name"))?;
        let (role, status) = (table.get(record, "role"), table.get(record, "status"));
        let words = &self.profile.words;
        let values = &mut self.values;
        let role_word = values.word(&words.role, role).unwrap_or_else(|| "other".into());
        let status_word = values.word(&words.node_status, status).unwrap_or_else(|| "unknown".into());
        self.not_normal += i64::from(status_word != "normal");
        let (disks_ok, disks_total) = values.fraction(table.get(record, "disks"));
        let mut percent = |field| values.percent(table.get(record, field)).map(|(_, decimal)| decimal);
        let (cpu, mem) = (percent("cpu_pct"), percent("mem_pct"));
        let temperature = values.celsius(table.get(record, "temp_celsius"), table.unit("temp_celsius"));
        Some(Unkeyed {
            table: tables::NODE,
            line: record.line,
            values: vec![
                name,
                role_word.into(),
                raw(role),
                status_word.into(),
                raw(status),
                cpu.into(),
                mem.into(),
                disks_ok.into(),
                disks_total.into(),
                temperature.into(),
            ],
        })
    }

    fn file_system(&mut self, table: &Table<'_>, record: &super::table::Record) -> Option<Unkeyed> {
        let name = named(table.get(record, "fs_name"))?;
        let status = table.get(record, "status");
        let word =
            self.values.word(&self.profile.words.fs_status, status).unwrap_or_else(|| "unknown".into());
        let mut bytes = |field| self.values.bytes(table.get(record, field), table.size_unit(field));
        let (logical, physical) = (bytes("logical_bytes"), bytes("physical_bytes"));
        let files = self.values.count(table.get(record, "file_count"));
        Some(Unkeyed {
            table: tables::FS,
            line: record.line,
            values: vec![
                name,
                raw(table.get(record, "protocol")),
                logical.into(),
                physical.into(),
                files.into(),
                word.into(),
                raw(status),
            ],
        })
    }

    fn replication(&mut self, table: &Table<'_>, record: &super::table::Record) -> Option<Unkeyed> {
        let name = named(table.get(record, "pair_name"))?;
        let backlog = self.values.bytes(table.get(record, "backlog_bytes"), table.size_unit("backlog_bytes"));
        let last_sync = self.values.time(table.get(record, "last_sync_at"));
        Some(Unkeyed {
            table: tables::REPLICATION,
            line: record.line,
            values: vec![
                name,
                table.get(record, "direction").text.to_lowercase().into(),
                raw(table.get(record, "target_grid")),
                raw(table.get(record, "state")),
                backlog.into(),
                last_sync.map_or(Value::Null, |moment| Value::Time(moment.micros)),
            ],
        })
    }

    fn extra(&mut self, section: &Section<'_>, label: &str, value: &str, line: u64) {
        let printed = Printed { field: label, text: value, line };
        self.values.info("unknown_label", "something that the profile does not map", printed);
        self.extras.push(Extra {
            section: cut(section.title, LABEL_BYTES).to_owned(),
            label: cut(label, LABEL_BYTES).to_owned(),
            value: value.to_owned(),
            line,
        });
    }

    fn reject(&mut self, line: u64, rule: &str, message: &str, text: &str) {
        self.rejected += 1;
        self.values.findings.push(Finding::error(rule, self.values.place(line), message).excerpt(text));
    }

    fn finish(mut self, outline: &Outline<'_>, subject_grid: Option<&str>) -> Result<Grid, Vec<Finding>> {
        self.capacity.cross_check(&mut self.values);
        let place = self.values.place(outline.line);
        if self.head.report_at.is_none() {
            let message = "the report does not say when it is from; the time of receipt stands in";
            self.values.findings.push(Finding::warning("no_report_time", place, message));
        }
        if !outline.complete {
            self.values.findings.push(Finding::warning(
                "no_end_marker",
                place,
                "the end of the report is missing",
            ));
        }
        let name =
            self.head.name.clone().or_else(|| subject_grid.map(|name| cut(name, NAME_BYTES).to_owned()));
        let Some(key) = self.head.serial.clone().or_else(|| name.clone()) else {
            self.values.findings.push(Finding::error("no_grid", place, "nothing says which grid this is of"));
            return Err(self.values.findings);
        };
        let rows = self.keyed(&key, name.as_deref(), outline);
        Ok(Grid {
            key,
            name,
            report_at: self.head.report_at,
            complete: outline.complete,
            rows,
            findings: self.values.findings,
            rejected: self.rejected,
            line: outline.line,
        })
    }

    fn keyed(&mut self, key: &str, name: Option<&str>, outline: &Outline<'_>) -> Vec<Row> {
        let snapshot = Unkeyed {
            table: tables::GRID,
            line: outline.line,
            values: self.snapshot(name, outline.complete),
        };
        let extras = std::mem::take(&mut self.extras).into_iter().map(|extra| {
            let line = Value::Int(i64::try_from(extra.line).unwrap_or(i64::MAX));
            let values = vec![extra.section.into(), extra.label.into(), line, extra.value.into()];
            Unkeyed { table: tables::EXTRA, line: extra.line, values }
        });
        let rows = std::mem::take(&mut self.rows);
        let unkeyed = std::iter::once(snapshot).chain(rows).chain(extras);
        let row = |unkeyed: Unkeyed| Row {
            table: unkeyed.table,
            place: self.values.place(unkeyed.line),
            report_at: self.head.report_at,
            report_tz_assumed: self.head.zone_assumed,
            values: std::iter::once(Value::from(key)).chain(unkeyed.values).collect(),
        };
        unkeyed.map(row).collect()
    }

    fn snapshot(&self, name: Option<&str>, complete: bool) -> Vec<Value> {
        let base = self.values.reader.base;
        let bytes = |quantity: Option<module_reading::size::Quantity>| {
            Value::from(quantity.and_then(|q| q.bytes(base)))
        };
        let time = |micros: Option<Micros>| micros.map_or(Value::Null, Value::Time);
        let capacity = &self.capacity;
        vec![
            name.into(),
            self.head.serial.clone().into(),
            self.head.version.clone().into(),
            time(self.head.period.0),
            time(self.head.period.1),
            bytes(capacity.total),
            bytes(capacity.used),
            bytes(capacity.free),
            bytes(capacity.logical),
            capacity.used_pct.map(|(_, decimal)| decimal).into(),
            capacity.used_pct_calc(base).into(),
            capacity.ratio.map(|(_, decimal)| decimal).into(),
            self.nodes.into(),
            self.nodes.map(|_| self.not_normal).into(),
            self.file_systems.into(),
            complete.into(),
        ]
    }
}

fn named(printed: Printed<'_>) -> Option<Value> {
    (!printed.text.is_empty()).then(|| printed.text.into())
}

fn raw(printed: Printed<'_>) -> Value {
    if printed.text.is_empty() { Value::Null } else { printed.text.into() }
}
