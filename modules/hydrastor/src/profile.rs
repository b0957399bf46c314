//! Profiles: what a site's mails look like, as data.
//!
//! A profile maps what is printed (labels, titles, words) to what we call it, and says how values are printed. It is
//! TOML, so a customer's first real mail becomes a profile without a new program. Our names in it are checked: a key
//! that is not one of ours is an error that names it, not a label that is never found.

use module_reading::number::{Locale, fold_width};
use module_reading::size::UnitBase;
use module_reading::time::{Clock, DateOrder};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The one profile that is built in. Assumed throughout, and named so.
pub const ASSUMED: &str = include_str!("../profiles/hydrastor-assumed-1.toml");
const ASSUMED_NAME: &str = "hydrastor-assumed-1";

/// Largest compiled pattern; patterns come from people who configure, not from mail.
const PATTERN_BYTES: usize = 1 << 20;

/// Our name, then the labels or words it is printed as.
pub type Synonyms = BTreeMap<String, Vec<String>>;

/// A profile, ready to use.
#[derive(Debug)]
pub struct Profile {
    text: String,
    pub name: String,
    pub reading: Reading,
    pub report: ReportForm,
    pub alert: AlertForm,
    pub words: WordTables,
}

/// How values are printed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    locale: String,
    unit_base: i64,
    zone: String,
    date_order: String,
    #[serde(default)]
    zones: BTreeMap<String, String>,
}

/// [`Reading`] with its words understood.
#[derive(Debug, Clone)]
pub struct Reader {
    pub locale: Locale,
    pub base: UnitBase,
    pub clock: Clock,
}

/// What a system report looks like.
#[derive(Debug)]
pub struct ReportForm {
    pub subject: Vec<Regex>,
    pub names: Vec<Regex>,
    pub csv_delimiter: char,
    pub begins: Vec<String>,
    pub ends: Vec<String>,
    pub section: Regex,
    pub nothing: Vec<String>,
    pub head: Names,
    pub capacity: Section,
    pub nodes: Section,
    pub file_systems: Section,
    pub replication: Section,
}

/// A titled section.
#[derive(Debug)]
pub struct Section {
    pub titles: Vec<String>,
    pub names: Names,
}

/// What an alert looks like.
#[derive(Debug)]
pub struct AlertForm {
    pub subject: Vec<Regex>,
    pub test: Vec<Regex>,
    pub labels: Names,
}

/// The words behind each enum column.
#[derive(Debug)]
pub struct WordTables {
    pub role: Names,
    pub node_status: Names,
    pub fs_status: Names,
    pub severity: Names,
    pub alert_state: Names,
}

/// Finds our name for what is printed.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// Our name for a printed label or word, whatever its case, width and blanks.
    pub fn find(&self, printed: &str) -> Option<&str> {
        self.0.get(&plain(printed)).map(String::as_str)
    }

    /// Checks that only `known` names are mapped and no label is mapped twice.
    fn checked(synonyms: Synonyms, known: &[&str], key: &str) -> Result<Self, String> {
        let mut names = BTreeMap::new();
        for (name, printed) in synonyms {
            if !known.contains(&name.as_str()) {
                return Err(format!("{key}.{name}: not one of {}", known.join(", ")));
            }
            for label in printed {
                if names.insert(plain(&label), name.clone()).is_some_and(|other| other != name) {
                    return Err(format!("{key}.{name}: {label:?} is mapped twice"));
                }
            }
        }
        Ok(Self(names))
    }
}

/// A label as it is compared: half-width, lower case, blanks as one.
pub fn plain(text: &str) -> String {
    let folded = fold_width(text);
    folded.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

impl Profile {
    /// The profile that the settings name: `profile_toml` (a whole one) or `profile` (a built-in one).
    ///
    /// The last profile is kept: reading it costs more than reading a mail, and one process reads one customer's.
    pub fn of(settings: &BTreeMap<String, String>) -> Result<Arc<Self>, String> {
        static LAST: Mutex<Option<Arc<Profile>>> = Mutex::new(None);
        let text = match (settings.get("profile_toml"), settings.get("profile").map(String::as_str)) {
            (Some(text), _) => text.as_str(),
            (None, None | Some(ASSUMED_NAME)) => ASSUMED,
            (None, Some(other)) => {
                return Err(format!("setting profile: {other:?} is not built in ({ASSUMED_NAME} is)"));
            }
        };
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(profile) = last.as_ref().filter(|profile| profile.text == text) {
            return Ok(Arc::clone(profile));
        }
        let profile = Arc::new(Self::parse(text)?);
        *last = Some(Arc::clone(&profile));
        Ok(profile)
    }

    /// Reads a profile's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wire: wire::Profile = toml::from_str(text).map_err(|e| toml_error(text, &e))?;
        let name = wire.name.clone();
        Self::checked(text, wire).map_err(|wrong| format!("profile {name}: {wrong}"))
    }

    fn checked(text: &str, wire: wire::Profile) -> Result<Self, String> {
        if wire.name.is_empty() || wire.assumed != wire.name.contains("assumed") {
            return Err("name: an assumed profile says `assumed` in its name, and only such a one".into());
        }
        wire.reading.reader(&BTreeMap::new())?;
        let words = WordTables {
            role: Names::checked(wire.words.role, crate::ROLES, "words.role")?,
            node_status: Names::checked(wire.words.node_status, crate::NODE_STATUS, "words.node_status")?,
            fs_status: Names::checked(wire.words.fs_status, crate::FS_STATUS, "words.fs_status")?,
            severity: Names::checked(wire.words.severity, crate::SEVERITY, "words.severity")?,
            alert_state: Names::checked(wire.words.alert_state, crate::ALERT_STATE, "words.alert_state")?,
        };
        let alert = AlertForm {
            subject: patterns(&wire.alert.subject, "alert.subject")?,
            test: patterns(&wire.alert.test, "alert.test")?,
            labels: Names::checked(wire.alert.labels, crate::alert::LABELS, "alert.labels")?,
        };
        let report = ReportForm::checked(wire.system_report)?;
        Ok(Self { text: text.to_owned(), name: wire.name, reading: wire.reading, report, alert, words })
    }
}

impl Reading {
    /// Understands the words, with the settings of the rule over those of the profile.
    pub fn reader(&self, settings: &BTreeMap<String, String>) -> Result<Reader, String> {
        let over = |key: &str, own: &str| settings.get(key).cloned().unwrap_or_else(|| own.to_owned());
        let named = |key: &'static str| move |wrong: String| format!("reading.{key}: {wrong}");
        let base = over("unit_base", &self.unit_base.to_string());
        let base = base.parse().ok().and_then(UnitBase::of);
        let base = base.ok_or_else(|| named("unit_base")("neither 1000 nor 1024".into()))?;
        let order: DateOrder = over("date_order", &self.date_order).parse().map_err(named("date_order"))?;
        let clock = Clock::new(&over("zone", &self.zone), &self.zones, order).map_err(named("zone"))?;
        Ok(Reader { locale: over("locale", &self.locale).parse().map_err(named("locale"))?, base, clock })
    }
}

impl ReportForm {
    fn checked(wire: wire::Report) -> Result<Self, String> {
        use crate::system_report::fields;
        let section = patterns(std::slice::from_ref(&wire.section), "system_report.section")?;
        let section = section
            .into_iter()
            .next()
            .filter(|pattern| pattern.capture_names().flatten().any(|n| n == "title"));
        Ok(Self {
            subject: patterns(&wire.subject, "system_report.subject")?,
            names: patterns(&wire.names, "system_report.names")?,
            csv_delimiter: wire.csv_delimiter,
            begins: wire.begins.iter().map(|line| plain(line)).collect(),
            ends: wire.ends.iter().map(|line| plain(line)).collect(),
            section: section.ok_or("system_report.section: no capture (?P<title>…)")?,
            nothing: wire.nothing.iter().map(|line| plain(line)).collect(),
            head: Names::checked(wire.head, fields::HEAD, "system_report.head")?,
            capacity: wire.capacity.checked(fields::CAPACITY, "system_report.capacity")?,
            nodes: wire.nodes.checked(fields::NODES, "system_report.nodes")?,
            file_systems: wire.file_systems.checked(fields::FILE_SYSTEMS, "system_report.file_systems")?,
            replication: wire.replication.checked(fields::REPLICATION, "system_report.replication")?,
        })
    }
}

fn patterns(texts: &[String], key: &str) -> Result<Vec<Regex>, String> {
    let compile = |text: &String| {
        RegexBuilder::new(text)
            .size_limit(PATTERN_BYTES)
            .build()
            .map_err(|e| format!("{key}: {}", last_line(&e.to_string())))
    };
    texts.iter().map(compile).collect()
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text)
}

fn toml_error(text: &str, error: &toml::de::Error) -> String {
    let at =
        error.span().and_then(|span| text.get(..span.start)).map_or(0, |before| before.matches('\n').count());
    let line = text.lines().nth(at).unwrap_or("").trim();
    format!("profile, line {} `{line}`: {}", at + 1, error.message().replace('\n', " "))
}

/// The file format.
mod wire {
    use super::{Reading, Synonyms};
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Profile {
        pub name: String,
        #[expect(dead_code, reason = "for whoever reads the file")]
        pub summary: String,
        pub assumed: bool,
        pub reading: Reading,
        pub system_report: Report,
        pub alert: Alert,
        pub words: Words,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Report {
        pub subject: Vec<String>,
        pub names: Vec<String>,
        pub csv_delimiter: char,
        pub begins: Vec<String>,
        pub ends: Vec<String>,
        pub section: String,
        pub nothing: Vec<String>,
        pub head: Synonyms,
        pub capacity: Section,
        pub nodes: Section,
        pub file_systems: Section,
        pub replication: Section,
    }

    #[derive(Deserialize)]
    pub struct Section {
        pub titles: Vec<String>,
        #[serde(flatten)]
        pub names: Synonyms,
    }

    impl Section {
        pub fn checked(self, known: &[&str], key: &str) -> Result<super::Section, String> {
            let titles = self.titles.iter().map(|title| super::plain(title)).collect();
            Ok(super::Section { titles, names: super::Names::checked(self.names, known, key)? })
        }
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Alert {
        pub subject: Vec<String>,
        pub test: Vec<String>,
        pub labels: Synonyms,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Words {
        pub role: Synonyms,
        pub node_status: Synonyms,
        pub fs_status: Synonyms,
        pub severity: Synonyms,
        pub alert_state: Synonyms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(from: &str, to: &str) -> String {
        let spoilt = ASSUMED.replacen(from, to, 1);
        assert_ne!(spoilt, ASSUMED, "{from} is not in the profile");
        Profile::parse(&spoilt).unwrap_err()
    }

    #[test]
    fn the_built_in_profile_is_sound_and_says_that_it_is_assumed() {
        let profile = Profile::parse(ASSUMED).unwrap();
        assert_eq!(profile.name, ASSUMED_NAME);
        assert_eq!(profile.words.severity.find("　ＷＡＲＮＩＮＧ "), Some("warning"));
    }

    #[test]
    fn a_bad_profile_is_refused_with_the_key_that_is_wrong() {
        for (from, to, key) in [
            ("unit_base = 1000", "unit_base = 1001", "reading.unit_base"),
            ("unit_base = 1000", "unit_base = \"big\"", "unit_base"),
            ("zone = \"UTC\"", "zone = \"Mars/Base\"", "reading.zone"),
            ("locale = \"en\"", "locale = \"tlh\"", "reading.locale"),
            ("node_name = [", "node_nam = [", "system_report.nodes.node_nam"),
            ("Mem%", "CPU%", "system_report.nodes"),
            ("test = ['", "test = ['(", "alert.test"),
            ("(?P<title>", "(?P<name>", "system_report.section"),
            ("csv_delimiter", "csv_delimiters", "csv_delimiters"),
            ("name = \"hydrastor-assumed-1\"", "name = \"hydrastor-1\"", "name"),
        ] {
            let reason = refusal(from, to);
            assert!(reason.contains(key), "{reason} does not name {key}");
        }
    }

    #[test]
    fn a_profile_that_is_not_built_in_is_refused_by_name() {
        let settings = BTreeMap::from([("profile".to_owned(), "site-7".to_owned())]);
        assert!(Profile::of(&settings).unwrap_err().contains("site-7"));
    }
}
