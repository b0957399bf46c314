//! `hydrastor/alert`: what a grid reports as it happens.
//!
//! An alert is a block of labelled lines without a blank one between them that holds an event id; a mail may carry
//! several. The first line of each label counts, and once the message has begun only its action is a label: a message
//! that quotes `Node : x` cannot make the alert another node's.

use crate::lines::{self, Line};
use crate::profile::{AlertForm, Profile, Reader};
use crate::sources::{self, Source};
use crate::values::{self, Printed, Values};
use crate::{ALERT_STATE, SEVERITY};
use module_api::ColumnKind::{Bool, Text, Time};
use module_api::{
    ColumnKind, Declaration, Delivery, Envelope, Finding, Module, Outcome, Place, Row, Sink, Stop, Table,
    Value, View,
};
use module_reading::Doubt;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What a profile may map.
pub const LABELS: &[&str] =
    &["event_id", "severity", "state", "grid", "node", "component", "occurred_at", "message", "action"];

/// Node of an alert about the grid as a whole.
const GRID_LEVEL: &str = "_grid";

/// Longest message and action, in bytes.
const TEXT_BYTES: usize = 8 << 10;

/// The module.
pub struct Alert;

impl Module for Alert {
    fn declaration(&self) -> Declaration {
        Declaration {
            id: "hydrastor/alert".into(),
            version: "1.0.0".into(),
            summary: "Alerts of HYDRAstor grids and nodes (assumed format)".into(),
            assumed: true,
            tables: vec![table()],
            views: vec![View {
                name: "hydrastor_alert_open".into(),
                meaning: "The latest state of everything that was ever alerted.".into(),
                table: "hydrastor_alert".into(),
                partition_by: vec!["correlation_key".into()],
                order_by: vec!["occurred_at".into()],
            }],
        }
    }

    fn parse(&self, delivery: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop> {
        let profile = match Profile::of(delivery.settings) {
            Ok(profile) => profile,
            Err(reason) => return Ok(Outcome::Rejected { reason }),
        };
        out.profile(&profile.name);
        if is_auto_reply(delivery) {
            return Ok(Outcome::Rejected { reason: "auto reply, not an alert".into() });
        }
        let read = match read(delivery, &profile) {
            Ok(read) => read,
            Err(outcome) => return Ok(outcome),
        };
        let nothing = read.rows.is_empty();
        read.rows.into_iter().try_for_each(|row| out.row(row))?;
        values::give(read.findings, out)?;
        Ok(if nothing {
            Outcome::Rejected { reason: format!("no block with an event id; {}", delivery.holds()) }
        } else {
            Outcome::Ok
        })
    }

    fn draft_profile(&self, delivery: &Delivery<'_>) -> Option<String> {
        Some(crate::draft::alert(delivery))
    }
}

fn table() -> Table {
    Table::new("hydrastor_alert", "One state that a grid reported of one event.")
        .key("grid", Text, "Grid as printed; empty where none is.")
        .key("node", Text, "Node as printed; `_grid` for an alert about the grid as a whole.")
        .key("event_id", Text, "Event id as printed.")
        .key("occurred_at", Time, "When it happened; time of receipt where that cannot be read.")
        .key("state", ColumnKind::words(ALERT_STATE), "Raised, cleared, repeated, or a test.")
        .column("state_raw", Text, "State as printed.")
        .required("severity", ColumnKind::words(SEVERITY), "Severity in our words.")
        .column("severity_raw", Text, "Severity as printed.")
        .column("component", Text, "Part of the node, as printed.")
        .column("message", Text, "Message, at most 8 KiB.")
        .required("message_cut", Bool, "The message was longer.")
        .column("action", Text, "What to do, as printed, at most 8 KiB.")
        .required(
            "correlation_key",
            Text,
            "Digest of grid, node, event id and component: pairs raised with cleared.",
        )
        .index("correlation_key")
        .publish("correlation_key")
}

/// Whether a program answered, or a mail came back, so that what reads like an alert is only quoted.
///
/// RFC 3834 marks such mail with `Auto-Submitted: auto-replied`; older programs use other fields, or only the null
/// sender. A device may use the null sender too if it says `auto-generated`.
fn is_auto_reply(delivery: &Delivery<'_>) -> bool {
    let Envelope { sender, recipient, subject, .. } = delivery.envelope;
    let header = |name: &str| delivery.envelope.header(name).map(str::to_ascii_lowercase).unwrap_or_default();
    let submitted = header("Auto-Submitted");
    let from_nobody = sender.is_empty() && !recipient.is_empty() && !submitted.starts_with("auto-generated");
    let returned = delivery.parts.iter().any(|part| part.media_type == "message/delivery-status");
    let marked = submitted.starts_with("auto-replied")
        || header("Precedence").starts_with("auto_reply")
        || ["X-Autoreply", "X-Autorespond", "X-Failed-Recipients"]
            .iter()
            .any(|name| !header(name).is_empty());
    let subject = subject.trim_start().to_lowercase();
    let says_so = ["automatic reply:", "auto:", "out of office", "自動応答", "自動返信"];
    from_nobody || returned || marked || says_so.iter().any(|start| subject.starts_with(start))
}

#[derive(Default)]
struct Alerts {
    rows: Vec<Row>,
    findings: Vec<Finding>,
}

fn read(delivery: &Delivery<'_>, profile: &Profile) -> Result<Alerts, Outcome> {
    let reader = profile.reading.reader(delivery.settings).map_err(|wrong| Outcome::Rejected {
        reason: format!("settings over profile {}: {wrong}", profile.name),
    })?;
    let (texts, findings) = sources::of(delivery, &[], ',')
        .map_err(|e| Outcome::Retry { reason: format!("cannot read a part: {e}") })?;
    let mut alerts = Alerts { findings, ..Alerts::default() };
    for Source { part, rank, text } in &texts {
        if rank.is_last_resort() && !alerts.rows.is_empty() {
            break;
        }
        let blocks = blocks(text, &profile.alert);
        let subject = if blocks.len() == 1 { delivery.envelope.subject.as_str() } else { "" };
        let reader = settled(&reader, text);
        for block in blocks {
            let values = Values::new(&reader, delivery.received_at, *part);
            let (row, findings) = row(block, profile, subject, values);
            alerts.rows.push(row);
            alerts.findings.extend(findings);
        }
    }
    Ok(alerts)
}

fn settled(reader: &Reader, text: &str) -> Reader {
    let mut reader = reader.clone();
    reader.clock.settle(text.lines());
    reader
}

/// The labelled lines of one alert.
#[derive(Debug, Default)]
struct Block {
    line: u64,
    fields: BTreeMap<String, Field>,
    /// Labels that are not the alert's: rule, label, text, line.
    ignored: Vec<(&'static str, String, String, u64)>,
}

#[derive(Debug)]
struct Field {
    text: String,
    line: u64,
}

fn blocks(text: &str, form: &AlertForm) -> Vec<Block> {
    let lines = lines::of(text);
    lines
        .split(|line| line.text.trim().is_empty() || line.is_rule())
        .filter(|lines| {
            lines.iter().any(|line| {
                line.label().is_some_and(|(label, _)| form.labels.find(label) == Some("event_id"))
            })
        })
        .map(|lines| Block::of(lines, form))
        .collect()
}

impl Block {
    fn of(lines: &[Line<'_>], form: &AlertForm) -> Self {
        let mut block = Self { line: lines.first().map_or(0, |line| line.number), ..Self::default() };
        let mut open: Option<String> = None;
        for (index, line) in lines.iter().enumerate() {
            let in_text = matches!(open.as_deref(), Some("message" | "action"));
            let label = line.label().map(|(label, value)| (form.labels.find(label), label, value));
            match label {
                Some((Some(name), _, value))
                    if !block.fields.contains_key(name)
                        && (!in_text || matches!(name, "message" | "action")) =>
                {
                    block.fields.insert(name.to_owned(), Field { text: value.to_owned(), line: line.number });
                    open = Some(name.to_owned());
                    continue;
                }
                Some((known, label, value)) => {
                    let rule = if known.is_some() { "label_in_text" } else { "unknown_label" };
                    block.ignored.push((rule, label.to_owned(), value.to_owned(), line.number));
                    if !in_text {
                        continue;
                    }
                }
                None => {}
            }
            if let Some(field) = open.as_ref().and_then(|name| block.fields.get_mut(name)) {
                let wrapped = index > 0 && lines[index - 1].may_continue_in(line, lines::PROSE_GAP);
                field.text.push(if wrapped { ' ' } else { '\n' });
                field.text.push_str(line.text.trim());
            }
        }
        block
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|field| field.text.trim()).filter(|text| !module_reading::is_null(text))
    }

    fn printed<'a>(&'a self, name: &'a str) -> Printed<'a> {
        let field = self.fields.get(name);
        let text = field.map_or("", |field| field.text.trim());
        Printed { field: name, text, line: field.map_or(self.line, |field| field.line) }
    }
}

fn row(block: Block, profile: &Profile, subject: &str, mut values: Values<'_>) -> (Row, Vec<Finding>) {
    for (rule, label, text, line) in &block.ignored {
        let message = match *rule {
            "label_in_text" => "a label that came before or stands in the message; taken as text",
            _ => "something that the profile does not map",
        };
        values.info(rule, message, Printed { field: label, text, line: *line });
    }
    let from_subject = profile.alert.subject.iter().find_map(|pattern| pattern.captures(subject));
    let captured =
        |name| from_subject.as_ref().and_then(|found| found.name(name)).map(|found| found.as_str());
    let grid = block.text("grid").or_else(|| captured("grid")).unwrap_or_default();
    if grid.is_empty() {
        values.doubt(
            Doubt::new("no_grid", "the alert does not say which grid it is of"),
            block.printed("grid"),
        );
    }
    let node = block.text("node").or_else(|| captured("node")).unwrap_or(GRID_LEVEL);
    let event = block.text("event_id").unwrap_or_default();
    let component = block.text("component");
    let moment = values.time(block.printed("occurred_at"));
    if moment.is_none() {
        let message = "the alert's own time cannot be read; the time of receipt stands in";
        values.doubt(Doubt::new("time_of_receipt", message), block.printed("occurred_at"));
    }
    let severity = word(&mut values, &profile.words.severity, block.printed("severity"), "unknown");
    let state = state(&block, profile, subject, &mut values);
    let message = block.text("message").unwrap_or_default();
    let occurred_at = moment.as_ref().map_or(values.received_at, |moment| moment.micros);
    let whole = |text| values::cut(text, TEXT_BYTES);
    let row = Row {
        table: 0,
        place: Place::line(values.part, block.line),
        report_at: moment.as_ref().map(|moment| moment.micros),
        report_tz_assumed: moment.is_some_and(|moment| moment.zone_assumed),
        values: vec![
            grid.into(),
            node.into(),
            event.into(),
            Value::Time(occurred_at),
            state.into(),
            block.text("state").into(),
            severity.into(),
            block.text("severity").into(),
            component.into(),
            block.text("message").map(whole).into(),
            (message.len() > TEXT_BYTES).into(),
            block.text("action").map(whole).into(),
            correlation_key(&[grid, node, event, component.unwrap_or_default()]).into(),
        ],
    };
    (row, values.findings)
}

/// The state in our words. Unknown and missing ones count as raised: an alert too many is better than one unseen.
fn state(block: &Block, profile: &Profile, subject: &str, values: &mut Values<'_>) -> String {
    let is_test = |text: &str| profile.alert.test.iter().any(|pattern| pattern.is_match(text));
    let first_line = block.text("message").and_then(|message| message.lines().next()).unwrap_or_default();
    if is_test(first_line) || is_test(subject) {
        return "test".into();
    }
    word(values, &profile.words.alert_state, block.printed("state"), "raised")
}

fn word(
    values: &mut Values<'_>,
    names: &crate::profile::Names,
    printed: Printed<'_>,
    otherwise: &str,
) -> String {
    if module_reading::is_null(printed.text) {
        let message = format!("nothing is printed; taken as {otherwise}");
        values.doubt(Doubt::new("word_missing", message), printed);
    }
    values.word(names, printed).unwrap_or_else(|| otherwise.to_owned())
}

/// A digest of the fields, each with its length so that no two lists run together; 128 bits in hex.
fn correlation_key(fields: &[&str]) -> String {
    let mut digest = Sha256::new();
    for field in fields {
        digest.update((field.len() as u64).to_be_bytes());
        digest.update(field.as_bytes());
    }
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
