//! The reports of a text and their sections, before anything in them is understood.

use crate::lines::{self, Line};
use crate::profile::{ReportForm, plain};
use std::borrow::Cow;

/// What a section is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The lines before the first title.
    Head,
    Capacity,
    Nodes,
    FileSystems,
    Replication,
    Unknown,
}

/// A section: its title as printed and its lines, without blank and drawn ones.
#[derive(Debug)]
pub struct Section<'a> {
    pub kind: Kind,
    pub title: &'a str,
    pub lines: Vec<Line<'a>>,
}

/// One report: a grid's.
#[derive(Debug)]
pub struct Outline<'a> {
    /// The first is the head.
    pub sections: Vec<Section<'a>>,
    /// The end marker was there.
    pub complete: bool,
    /// The line the report begins in.
    pub line: u64,
    /// A last line that no line end follows, taken out: half a number looks like a number.
    pub cut: Option<Line<'a>>,
}

/// A label and its value, the value put together again where it was wrapped.
#[derive(Debug)]
pub struct Entry<'a> {
    pub label: &'a str,
    pub value: Cow<'a, str>,
    pub line: u64,
}

impl Section<'_> {
    const fn head() -> Self {
        Self { kind: Kind::Head, title: "", lines: Vec::new() }
    }
}

impl<'a> Section<'a> {
    /// The labels of the section; a line without one is an entry with an empty label.
    pub fn entries(&self) -> Vec<Entry<'a>> {
        let mut entries: Vec<Entry<'a>> = Vec::new();
        let mut before: Option<&Line<'a>> = None;
        for line in &self.lines {
            let wrapped = before.is_some_and(|before| before.may_continue_in(line, lines::PROSE_GAP));
            match (line.label(), entries.last_mut()) {
                (Some((label, value)), _) => {
                    entries.push(Entry { label, value: value.into(), line: line.number })
                }
                (None, Some(last)) if wrapped => {
                    let value = last.value.to_mut();
                    value.push(' ');
                    value.push_str(line.text.trim_start());
                }
                (None, _) => {
                    entries.push(Entry { label: "", value: line.text.trim().into(), line: line.number })
                }
            }
            before = Some(line);
        }
        entries
    }
}

/// The reports in a text. A report begins with a line the profile names, or, where that line is missing, with the
/// first label or title the profile knows.
pub fn reports<'a>(text: &'a str, form: &ReportForm) -> Vec<Outline<'a>> {
    let mut reports: Vec<Outline<'a>> = Vec::new();
    let mut open = false;
    for line in lines::of(text) {
        if line.text.trim().is_empty() {
            continue;
        }
        let plain_line = plain(line.text);
        let title = title_of(&line, &plain_line, form);
        let begins = form.begins.contains(&plain_line);
        if begins || (!open && is_known(&line, title, form)) {
            reports.push(Outline {
                sections: vec![Section::head()],
                complete: false,
                line: line.number,
                cut: None,
            });
            open = true;
        }
        let Some(report) = reports.last_mut().filter(|_| open && !begins) else { continue };
        if form.ends.contains(&plain_line) {
            report.complete = true;
            open = false;
        } else if let Some((kind, title)) = title {
            report.sections.push(Section { kind, title, lines: Vec::new() });
        } else if let Some(section) = report.sections.last_mut().filter(|_| !line.is_rule()) {
            section.lines.push(line);
        }
    }
    if let Some(report) =
        reports.last_mut().filter(|report| open && !report.complete && !text.ends_with('\n'))
    {
        report.cut = report.sections.last_mut().and_then(|section| section.lines.pop());
    }
    reports
}

fn title_of<'a>(line: &Line<'a>, plain_line: &str, form: &ReportForm) -> Option<(Kind, &'a str)> {
    let titled =
        form.section.captures(line.text).and_then(|found| found.name("title")).map(|found| found.as_str());
    match titled {
        Some("") => None,
        Some(title) => Some((kind_of(&plain(title), form), title)),
        None => match kind_of(plain_line, form) {
            Kind::Unknown => None,
            kind => Some((kind, line.text.trim())),
        },
    }
}

fn kind_of(title: &str, form: &ReportForm) -> Kind {
    let sections = [
        (&form.capacity, Kind::Capacity),
        (&form.nodes, Kind::Nodes),
        (&form.file_systems, Kind::FileSystems),
        (&form.replication, Kind::Replication),
    ];
    let is_titled = |section: &crate::profile::Section| section.titles.iter().any(|known| known == title);
    sections.iter().find(|(section, _)| is_titled(section)).map_or(Kind::Unknown, |(_, kind)| *kind)
}

fn is_known(line: &Line<'_>, title: Option<(Kind, &str)>, form: &ReportForm) -> bool {
    let identifies = |label| matches!(form.head.find(label), Some("grid_name" | "grid_serial"));
    title.is_some_and(|(kind, _)| kind != Kind::Unknown)
        || line.label().is_some_and(|(label, _)| identifies(label))
}
