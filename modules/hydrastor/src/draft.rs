//! Drafts a profile for a mail that no profile fits: the one in use, plus the labels of the mail that it does not know.

use crate::lines::{self, Line};
use crate::profile::{ASSUMED, Names, Profile};
use crate::sources;
use crate::system_report::outline::{self, Kind};
use module_api::Delivery;
use regex::Regex;
use std::collections::BTreeSet;

/// Most labels that are listed; a mail with more is no report.
const LABELS: usize = 500;

/// Longest value quoted beside a label, in characters.
const SAMPLE_CHARS: usize = 60;

/// A draft for a system report.
pub fn system_report(delivery: &Delivery<'_>) -> String {
    draft(delivery, "system_report", |profile, text, list| {
        let form = &profile.report;
        let known = [&form.head, &form.capacity.names];
        let mut inside = false;
        for outline in outline::reports(text, form) {
            inside = true;
            for section in &outline.sections {
                let place = if section.title.is_empty() { "head" } else { section.title };
                let names = match section.kind {
                    Kind::Head => Some((&form.head, false)),
                    Kind::Capacity => Some((&form.capacity.names, false)),
                    Kind::Nodes => Some((&form.nodes.names, true)),
                    Kind::FileSystems => Some((&form.file_systems.names, true)),
                    Kind::Replication => Some((&form.replication.names, true)),
                    Kind::Unknown => None,
                };
                match (names, section.lines.first()) {
                    (Some((names, true)), Some(titles)) => list.titles(place, titles, names),
                    (Some((names, false)), _) => list.labels(place, &section.lines, &[names]),
                    (None, first) => {
                        list.note(
                            place,
                            "title of a section",
                            section.title,
                            first.map_or(0, |line| line.number),
                        );
                        list.labels(place, &section.lines, &[]);
                    }
                    (Some(_), None) => {}
                }
            }
        }
        if !inside {
            list.labels("a text in which no report begins", &lines::of(text), &known);
        }
    })
}

/// A draft for an alert.
pub fn alert(delivery: &Delivery<'_>) -> String {
    draft(delivery, "alert", |profile, text, list| {
        list.labels("labels", &lines::of(text), &[&profile.alert.labels]);
    })
}

fn draft(delivery: &Delivery<'_>, of: &str, look: impl Fn(&Profile, &str, &mut Unmapped)) -> String {
    let text = delivery.settings.get("profile_toml").map_or(ASSUMED, String::as_str);
    let profile = match Profile::parse(text) {
        Ok(profile) => profile,
        Err(wrong) => return format!("# The profile to begin with cannot be read: {wrong}\n"),
    };
    let mut list = Unmapped::default();
    let (subjects, names): (_, &[Regex]) = match of {
        "alert" => (&profile.alert.subject, &[]),
        _ => (&profile.report.subject, &profile.report.names),
    };
    let subject = &delivery.envelope.subject;
    if !subjects.iter().any(|pattern| pattern.is_match(subject)) {
        list.note("subject", "no pattern matches", subject, 0);
    }
    match sources::of(delivery, names, profile.report.csv_delimiter) {
        Ok((sources, _)) => sources.iter().for_each(|source| look(&profile, &source.text, &mut list)),
        Err(e) => list.note("parts", "cannot be read", &e.to_string(), 0),
    }
    let mut out =
        format!("# Draft for [{of}]. Give it a name of its own, without `assumed` once nothing in it is.\n");
    if list.lines.is_empty() {
        out.push_str("# Every label of this mail is mapped below.\n#\n");
    } else {
        out.push_str(
            "# UNMAPPED: copy each into the list of the field it means, or leave it to hydrastor_extra.\n#\n",
        );
    }
    let listed: String = list.lines.iter().map(|line| format!("#   {line}\n")).collect();
    out + &listed + "\n" + text
}

/// What the profile does not know, each label once.
#[derive(Default)]
struct Unmapped {
    seen: BTreeSet<(String, String)>,
    lines: Vec<String>,
}

impl Unmapped {
    fn labels(&mut self, place: &str, lines: &[Line<'_>], known: &[&Names]) {
        for line in lines {
            if let Some((label, value)) = line.label()
                && !known.iter().any(|names| names.find(label).is_some())
            {
                self.note(place, label, value, line.number);
            }
        }
    }

    fn titles(&mut self, place: &str, titles: &Line<'_>, known: &Names) {
        for cell in titles.cells() {
            let bare = cell.text.split(['(', '（']).next().unwrap_or(cell.text);
            if known.find(cell.text).is_none() && known.find(bare).is_none() {
                self.note(place, cell.text, "title of a column", titles.number);
            }
        }
    }

    fn note(&mut self, place: &str, label: &str, sample: &str, line: u64) {
        if self.lines.len() < LABELS && self.seen.insert((place.to_owned(), label.to_owned())) {
            let printable = |c: char| if c.is_control() { ' ' } else { c };
            let sample: String = sample.chars().take(SAMPLE_CHARS).map(printable).collect();
            let place: String = place.chars().map(printable).collect();
            let label: String = label.chars().map(printable).collect();
            let at = if line == 0 { String::new() } else { format!("  (line {line})") };
            self.lines.push(format!("[{place}] {label:?} = {sample:?}{at}"));
        }
    }
}
