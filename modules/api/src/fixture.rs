//! Fixture folders: a module's tests as files. Adding a case is adding a folder.
//!
//! ```text
//!   fixtures/<type>/<case>/
//!     mail.eml         a mail as received, taken apart by the splitter of the caller; or
//!     input/           files that are the parts themselves, in the order of their names
//!     case.toml        optional: received_at, group, sender, recipient, [settings]
//!     expected.json    outcome, profile, rows by table (null columns left out), findings
//! ```
//!
//! A case that gives anything else leaves `expected.json.failed` beside it and fails; `BLESS=1` rewrites
//! `expected.json` instead. A folder without cases fails. Each case runs twice and must answer alike, and every row is
//! checked against the declaration.

use crate::{
    Content, Coordinates, Declaration, Delivery, Envelope, Finding, Micros, Module, Outcome, Part, PartKind,
    Place, Problem, Row, Sink, Stop, Value,
};
use serde::Deserialize;
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Name of the file that makes a case a mail.
const MAIL: &str = "mail.eml";

/// Takes a mail apart, as the host does in production.
pub type Splitter<'a> = dyn Fn(&[u8]) -> Result<Message, String> + 'a;

/// A mail taken apart.
#[derive(Debug, Default)]
pub struct Message {
    /// Decoded subject of the outermost message.
    pub subject: String,
    /// Decoded header fields of the outermost message.
    pub headers: Vec<(String, String)>,
    /// Its parts, archive members after their archive.
    pub parts: Vec<OwnedPart>,
}

/// A [`Part`] that owns its bytes. The fields mean what they mean there.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "documented at Part")]
pub struct OwnedPart {
    pub kind: PartKind,
    pub path: String,
    pub parent: Option<u32>,
    pub media_type: String,
    pub sniffed_type: String,
    pub charset: Option<String>,
    pub name: Option<String>,
    pub problems: Vec<Problem>,
    pub bytes: Vec<u8>,
}

/// What a module gave for one delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// What it returned.
    pub outcome: Outcome,
    /// The profile it named.
    pub profile: Option<String>,
    /// Its rows.
    pub rows: Vec<Row>,
    /// Its findings.
    pub findings: Vec<Finding>,
}

/// One case, read from its folder.
#[derive(Debug, Clone)]
pub struct Case {
    folder: PathBuf,
    received_at: Micros,
    coordinates: Coordinates,
    envelope: Envelope,
    settings: BTreeMap<String, String>,
    /// The parts the module is given.
    pub parts: Vec<OwnedPart>,
}

/// `case.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct About {
    received_at: Option<jiff::Timestamp>,
    group: Option<String>,
    sender: Option<String>,
    recipient: Option<String>,
    settings: BTreeMap<String, String>,
}

/// Checks every case in a folder and returns their number. Without a splitter, cases that are mails are left out.
///
/// # Errors
/// The report of all cases that failed, or why none could be read.
pub fn check(module: &dyn Module, folder: &Path, split: Option<&Splitter<'_>>) -> Result<usize, String> {
    let bless = std::env::var_os("BLESS").is_some_and(|value| value == "1");
    let declaration = module.declaration();
    declaration.check()?;
    let cases = Case::all(&declaration, folder, split)?;
    let failures: Vec<String> =
        cases.iter().filter_map(|case| case.check(module, &declaration, bless).err()).collect();
    if failures.is_empty() { Ok(cases.len()) } else { Err(failures.join("\n")) }
}

impl Case {
    /// Reads every case of a folder, in the order of their names. Without a splitter, mails are left out.
    ///
    /// # Errors
    /// Why a case could not be read, or that there is none.
    pub fn all(
        declaration: &Declaration,
        folder: &Path,
        split: Option<&Splitter<'_>>,
    ) -> Result<Vec<Self>, String> {
        let folders = sorted(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let cases: Vec<Self> = folders
            .iter()
            .filter(|path| path.is_dir() && (split.is_some() || !path.join(MAIL).exists()))
            .map(|path| Self::read(declaration, path, split).map_err(|e| format!("{}: {e}", path.display())))
            .collect::<Result<_, _>>()?;
        if cases.is_empty() { Err(format!("{}: no cases", folder.display())) } else { Ok(cases) }
    }

    fn read(declaration: &Declaration, folder: &Path, split: Option<&Splitter<'_>>) -> Result<Self, String> {
        let about = match fs::read_to_string(folder.join("case.toml")) {
            Ok(text) => toml::from_str(&text).map_err(|e| format!("case.toml: {e}"))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => About::default(),
            Err(e) => return Err(format!("case.toml: {e}")),
        };
        let message = match fs::read(folder.join(MAIL)).map(|bytes| split.map(|split| split(&bytes))) {
            Ok(Some(message)) => message?,
            Ok(None) => return Err("a mail, and no splitter".into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Message { parts: plain_parts(&folder.join("input"))?, ..Message::default() }
            }
            Err(e) => return Err(format!("{MAIL}: {e}")),
        };
        let mut case = Self::of(declaration, message);
        folder.clone_into(&mut case.folder);
        case.settings = about.settings;
        let Envelope { sender, recipient, .. } = &mut case.envelope;
        replace(sender, about.sender);
        replace(recipient, about.recipient);
        replace(&mut case.coordinates.group, about.group);
        replace(&mut case.received_at, about.received_at.map(jiff::Timestamp::as_microsecond));
        Ok(case)
    }

    /// A case made in a test, with everything but the message as it is where `case.toml` says nothing.
    #[must_use]
    pub fn of(declaration: &Declaration, message: Message) -> Self {
        let (category, type_) = declaration.id.split_once('/').unwrap_or((&declaration.id, ""));
        Self {
            folder: PathBuf::new(),
            received_at: 1_700_000_000_000_000,
            coordinates: Coordinates {
                customer: "acme".into(),
                category: category.into(),
                type_: type_.into(),
                group: "group".into(),
            },
            envelope: Envelope {
                sender: "device@acme.example".into(),
                recipient: "acme@in.example".into(),
                subject: message.subject,
                headers: message.headers,
            },
            settings: BTreeMap::new(),
            parts: message.parts,
        }
    }

    /// Name of its folder.
    #[must_use]
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The same case under other settings.
    #[must_use]
    pub fn with_settings(&self, settings: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { settings: settings.into_iter().collect(), ..self.clone() }
    }

    /// Runs the module on this case.
    #[must_use]
    pub fn run(&self, module: &dyn Module) -> Given {
        self.with_delivery(|delivery| {
            let mut sink = Collector::default();
            let outcome = module.parse(delivery, &mut sink);
            let outcome = outcome.unwrap_or_else(|Stop| Outcome::Retry { reason: Stop.to_string() });
            Given { outcome, profile: sink.profile, rows: sink.rows, findings: sink.findings }
        })
    }

    /// Gives the delivery of this case to `use_it`.
    pub fn with_delivery<T>(&self, use_it: impl FnOnce(&Delivery<'_>) -> T) -> T {
        let parts: Vec<Part<'_>> = self.parts.iter().map(OwnedPart::as_part).collect();
        use_it(&Delivery {
            coordinates: &self.coordinates,
            envelope: &self.envelope,
            received_at: self.received_at,
            settings: &self.settings,
            parts: &parts,
        })
    }

    fn check(&self, module: &dyn Module, declaration: &Declaration, bless: bool) -> Result<(), String> {
        let named = |wrong: String| format!("{}: {wrong}", self.folder.display());
        let given = self.run(module);
        for row in &given.rows {
            declaration.check_row(row).map_err(|e| named(e.to_string()))?;
        }
        if given != self.run(module) {
            return Err(named("a second run gave something else".into()));
        }
        self.compare(&self.as_json(&given, declaration), bless).map_err(named)
    }

    fn compare(&self, given: &serde_json::Value, bless: bool) -> Result<(), String> {
        let expected_path = self.folder.join("expected.json");
        let failed_path = self.folder.join("expected.json.failed");
        let text = format!("{given:#}\n");
        if bless {
            return fs::write(&expected_path, text).map_err(|e| e.to_string());
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if serde_json::from_str::<serde_json::Value>(&expected).ok().as_ref() == Some(given) {
            return match fs::remove_file(&failed_path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.to_string()),
                _ => Ok(()),
            };
        }
        fs::write(&failed_path, &text).map_err(|e| e.to_string())?;
        let (line, expected, given) = first_difference(&expected, &text);
        Err(format!("line {line}: expected `{expected}`, given `{given}`; see expected.json.failed"))
    }

    fn as_json(&self, given: &Given, declaration: &Declaration) -> serde_json::Value {
        let mut tables: BTreeMap<&str, Vec<serde_json::Value>> = BTreeMap::new();
        for row in &given.rows {
            let Some(table) = declaration.tables.get(usize::from(row.table)) else { continue };
            let mut object = Map::new();
            object.insert("_place".into(), self.place(row.place).into());
            if let Some(at) = row.report_at {
                object.insert("report_at".into(), time(at));
            }
            if row.report_tz_assumed {
                object.insert("report_tz_assumed".into(), true.into());
            }
            let values = table.columns.iter().zip(&row.values).filter(|(_, value)| **value != Value::Null);
            object.extend(values.map(|(column, value)| (column.name.clone(), value_json(value))));
            tables.entry(&table.name).or_default().push(object.into());
        }
        let findings: Vec<_> = given.findings.iter().map(|finding| self.finding(finding)).collect();
        json!({ "outcome": given.outcome, "profile": given.profile, "rows": tables, "findings": findings })
    }

    fn finding(&self, finding: &Finding) -> serde_json::Value {
        json!({
            "severity": finding.severity,
            "rule": finding.rule,
            "place": self.place(finding.place),
            "field": finding.field,
            "message": finding.message,
            "excerpt": finding.excerpt,
        })
    }

    fn place(&self, place: Place) -> String {
        let part = self.parts.get(place.part as usize).map_or("?", |part| part.path.as_str());
        match (place.line, place.offset) {
            (Some(line), _) => format!("{part}:{line}"),
            (None, Some(offset)) => format!("{part}@{offset}"),
            (None, None) => part.to_owned(),
        }
    }
}

impl OwnedPart {
    /// The part as a module sees it.
    #[must_use]
    pub fn as_part(&self) -> Part<'_> {
        Part {
            kind: self.kind,
            path: self.path.clone(),
            parent: self.parent,
            media_type: self.media_type.clone(),
            sniffed_type: self.sniffed_type.clone(),
            charset: self.charset.clone(),
            name: self.name.clone(),
            problems: self.problems.clone(),
            content: Content::Memory(&self.bytes),
        }
    }
}

#[derive(Default)]
struct Collector {
    profile: Option<String>,
    rows: Vec<Row>,
    findings: Vec<Finding>,
}

impl Sink for Collector {
    fn row(&mut self, row: Row) -> Result<(), Stop> {
        self.rows.push(row);
        Ok(())
    }

    fn finding(&mut self, finding: Finding) -> Result<(), Stop> {
        self.findings.push(finding);
        Ok(())
    }

    fn profile(&mut self, name: &str) {
        self.profile = Some(name.to_owned());
    }
}

/// The files of `input/` as attachments.
fn plain_parts(folder: &Path) -> Result<Vec<OwnedPart>, String> {
    let paths = sorted(folder).map_err(|e| format!("neither {MAIL} nor input/: {e}"))?;
    let part = |(index, path): (usize, &PathBuf)| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let media_type = match path.extension().and_then(|extension| extension.to_str()) {
            Some("txt") => "text/plain",
            Some("csv") => "text/csv",
            Some("html") => "text/html",
            Some("json") => "application/json",
            Some("xml") => "application/xml",
            _ => "application/octet-stream",
        };
        Ok(OwnedPart {
            kind: PartKind::Attachment,
            path: (index + 1).to_string(),
            parent: None,
            media_type: media_type.into(),
            sniffed_type: media_type.into(),
            charset: None,
            name: Some(name),
            problems: Vec::new(),
            bytes: fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?,
        })
    };
    paths.iter().enumerate().map(part).collect()
}

fn replace<T>(value: &mut T, with: Option<T>) {
    if let Some(with) = with {
        *value = with;
    }
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

fn time(micros: Micros) -> serde_json::Value {
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| micros.into(), |at| at.to_string().into())
}

fn value_json(value: &Value) -> serde_json::Value {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>().into();
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Text(text) => text.as_str().into(),
        Value::Int(number) => (*number).into(),
        Value::Decimal(decimal) => decimal.to_string().into(),
        Value::Bool(truth) => (*truth).into(),
        Value::Time(micros) => time(*micros),
        Value::Bytes(bytes) => hex(bytes),
        Value::Uuid(bytes) => hex(bytes),
        Value::Json(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
    }
}

fn first_difference<'a>(expected: &'a str, given: &'a str) -> (usize, &'a str, &'a str) {
    let mut lines = (expected.lines(), given.lines());
    for number in 1.. {
        match (lines.0.next(), lines.1.next()) {
            (None, None) => break,
            (one, other) if one == other => {}
            (one, other) => return (number, one.unwrap_or("").trim(), other.unwrap_or("").trim()),
        }
    }
    (0, "", "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ColumnKind, Table};

    struct Echo;

    impl Module for Echo {
        fn declaration(&self) -> Declaration {
            Declaration {
                id: "test/echo".into(),
                version: "1.0.0".into(),
                summary: "Gives the first byte.".into(),
                assumed: true,
                tables: vec![Table::new("echo", "A byte.").key("byte", ColumnKind::Int, "It.")],
                views: Vec::new(),
            }
        }

        fn parse(&self, delivery: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
            for part in delivery.parts {
                let first = part.content.bytes(1).map_err(|_| Stop)?.first().copied().unwrap_or_default();
                let values = vec![Value::Int(first.into())];
                out.row(Row {
                    table: 0,
                    place: Place::default(),
                    report_at: None,
                    report_tz_assumed: false,
                    values,
                })?;
            }
            Ok(Outcome::Ok)
        }
    }

    fn checked(folder: &Path) -> Result<usize, String> {
        check(&Echo, folder, None)
    }

    #[test]
    fn a_folder_without_cases_fails_and_so_does_a_case_that_gives_something_else() {
        let folder = tempfile::tempdir().unwrap();
        assert!(checked(folder.path()).unwrap_err().contains("no cases"));

        let case = folder.path().join("01_case");
        fs::create_dir_all(case.join("input")).unwrap();
        fs::write(case.join("input/a.txt"), "A").unwrap();
        assert!(checked(folder.path()).is_err(), "nothing is expected yet");

        let failed = case.join("expected.json.failed");
        fs::rename(&failed, case.join("expected.json")).unwrap();
        assert_eq!(checked(folder.path()), Ok(1));

        fs::create_dir(folder.path().join("02_mail")).unwrap();
        fs::write(folder.path().join("02_mail/mail.eml"), "").unwrap();
        assert_eq!(checked(folder.path()), Ok(1), "a mail is left out without a splitter");

        fs::write(case.join("input/a.txt"), "B").unwrap();
        let report = checked(folder.path()).unwrap_err();
        assert!(
            report.contains("01_case") && report.contains("expected `\"byte\": 65`, given `\"byte\": 66`"),
            "{report}"
        );
        assert!(failed.exists());

        fs::write(case.join("input/a.txt"), "A").unwrap();
        assert_eq!(checked(folder.path()), Ok(1));
        assert!(!failed.exists(), "a case that passes again leaves no failure behind");
    }
}
