//! Any bytes as a mail: taken apart, and read by modules.

use std::collections::BTreeMap;

use headworks_modules::{archive, mime};
use module_api::frame::{Head, MAX_REPLY_BYTES, MimeLimits, Reply};
use module_api::{Coordinates, Delivery, Envelope, Finding, Module, Outcome, Part, Row, Sink, Stop};

use crate::archive::LIMITS as ARCHIVE_LIMITS;
use crate::files::{Files, check_problems, check_reply};

/// Small enough that a fuzzer reaches every one of them.
const MIME_LIMITS: MimeLimits =
    MimeLimits { message_bytes: 64 << 10, depth: 4, parts: 16, header_bytes: 4 << 10, header_lines: 64 };

/// Rows and findings each that are taken before [`Stop`].
const SINK_ROOM: usize = 200;

/// Takes a mail apart within small limits: at least one part, each where it is said to be.
pub fn mime_split(bytes: &[u8]) {
    let mut files = Files::with(bytes);
    let split =
        mime::split(bytes, &MIME_LIMITS, &mut files.spill).expect("nothing about a message is an error");
    check_head(split.head);
    files.check(&split.parts);
    assert!(split.parts.len() <= MIME_LIMITS.parts as usize, "{} parts", split.parts.len());
}

/// Takes a mail apart as in production and has every HYDRAstor module read it, twice: the same declared rows.
pub fn hydrastor_mail(bytes: &[u8]) {
    let mut files = Files::with(bytes);
    let split = mime::split(bytes, &MimeLimits::default(), &mut files.spill)
        .expect("nothing about a message is an error");
    let limits = (&ARCHIVE_LIMITS, &MimeLimits::default());
    let records = archive::expand(split.parts, &files.input, &mut files.spill, limits)
        .expect("nothing in an archive is an error")
        .parts;
    files.check(&records);
    let parts: Vec<Part<'_>> = records.iter().map(|record| files.part(record)).collect();
    let headers = split.head.fields.iter().map(|field| (field.name.clone(), field.value.clone()));
    let envelope = Envelope {
        sender: "device@acme.example".into(),
        recipient: "acme@in.example".into(),
        subject: split.head.subject.clone().unwrap_or_default(),
        headers: headers.collect(),
    };
    check_head(split.head);
    let delivery = Delivery {
        coordinates: &Coordinates::default(),
        envelope: &envelope,
        received_at: 1_700_000_000_000_000,
        settings: &BTreeMap::new(),
        parts: &parts,
    };
    for module in module_hydrastor::modules() {
        let given = run(module, &delivery);
        assert_eq!(given, run(module, &delivery), "a second run gave something else");
        module.draft_profile(&delivery);
    }
}

fn check_head(head: Head) {
    check_problems(&head.problems);
    check_reply(&Reply::Head(Box::new(head)), MAX_REPLY_BYTES / 2);
}

fn run(module: &dyn Module, delivery: &Delivery<'_>) -> (Result<Outcome, Stop>, Taken) {
    let mut taken = Taken::default();
    let outcome = module.parse(delivery, &mut taken);
    assert_eq!(outcome.is_err(), taken.is_full, "stop is passed on, and never invented");
    let declaration = module.declaration();
    for row in &taken.rows {
        declaration.check_row(row).unwrap_or_else(|wrong| panic!("{}: {wrong}", declaration.id));
        assert!((row.place.part as usize) < delivery.parts.len(), "a row of no part");
    }
    for finding in &taken.findings {
        assert!((finding.place.part as usize) < delivery.parts.len(), "{} of no part", finding.rule);
        assert!(finding.excerpt.len() <= Finding::EXCERPT_BYTES, "{} quotes too much", finding.rule);
    }
    (outcome, taken)
}

/// What a module said, up to [`SINK_ROOM`].
#[derive(Debug, Default, PartialEq)]
struct Taken {
    rows: Vec<Row>,
    findings: Vec<Finding>,
    profile: Option<String>,
    is_full: bool,
}

impl Taken {
    fn admit(&mut self, taken: usize) -> Result<(), Stop> {
        assert!(!self.is_full, "a module that was told to stop goes on");
        self.is_full = taken == SINK_ROOM;
        if self.is_full { Err(Stop) } else { Ok(()) }
    }
}

impl Sink for Taken {
    fn row(&mut self, row: Row) -> Result<(), Stop> {
        self.admit(self.rows.len())?;
        self.rows.push(row);
        Ok(())
    }

    fn finding(&mut self, finding: Finding) -> Result<(), Stop> {
        self.admit(self.findings.len())?;
        self.findings.push(finding);
        Ok(())
    }

    fn profile(&mut self, name: &str) {
        assert!(self.profile.replace(name.to_owned()).is_none(), "a second profile");
    }
}
