//! What the checker accepts. Deaths of real children are tested in `tests/it/sandbox.rs`.

use super::check::Checker;
use super::{RunErrorKind, check};
use module_api::frame::{self, Budget, PartRecord, Range, Reply, Stored};
use module_api::{ColumnKind, Decimal, Declaration, Finding, PartKind, Place, Problem, Row, Table, Value};
use proptest::prelude::*;

fn declaration() -> Declaration {
    let table = Table::new("t", "One row.")
        .key("k", ColumnKind::Text, "Key.")
        .column("i", ColumnKind::Int, "Number.")
        .column("d", ColumnKind::Decimal(2), "Decimal.")
        .column("w", ColumnKind::words(&["red"]), "Word.")
        .column("j", ColumnKind::Json, "Document.");
    Declaration {
        id: "a/b".into(),
        version: "1.0.0".into(),
        summary: String::new(),
        assumed: false,
        tables: vec![table],
        views: Vec::new(),
    }
}

fn part(stored: Stored) -> PartRecord {
    PartRecord {
        kind: PartKind::Attachment,
        path: "1".into(),
        parent: None,
        media_type: "a/b".into(),
        sniffed_type: "a/b".into(),
        charset: None,
        name: None,
        raw_name: Vec::new(),
        transfer_encoding: String::new(),
        disposition: String::new(),
        problems: Vec::new(),
        raw: None,
        stored,
    }
}

fn checker(budget: Budget) -> Checker {
    let mut checker = Checker::module(declaration(), budget, 100, 2);
    checker.part(&part(Stored::Input(Range { offset: 0, len: 100 }))).unwrap();
    checker
}

fn row(values: Vec<Value>) -> Row {
    Row { table: 0, place: Place::line(0, 1), report_at: None, report_tz_assumed: false, values }
}

fn good() -> Vec<Value> {
    vec![
        "k".into(),
        Value::Int(1),
        Decimal { units: 5, scale: 1 }.into(),
        "red".into(),
        Value::Json("{}".into()),
    ]
}

#[test]
fn a_row_must_fit_its_table() {
    let with = |column: usize, value: Value| {
        let mut values = good();
        values[column] = value;
        checker(Budget::default()).row(&row(values), 10).map_err(|e| (e.kind, e.message))
    };
    assert_eq!(with(1, Value::Null), Ok(()));
    for (column, value, name) in [
        (0, Value::Null, "k"),
        (1, Value::Text("1".into()), "i"),
        (2, Decimal { units: 1, scale: 3 }.into(), "d"),
        (2, Decimal { units: i64::MAX, scale: 0 }.into(), "d"),
        (2, Decimal { units: 1, scale: 255 }.into(), "d"),
        (3, "blue".into(), "w"),
        (4, Value::Json("{".into()), "j"),
    ] {
        let message = format!("t.{name} does not take the value of this row");
        assert_eq!(with(column, value), Err((RunErrorKind::BadFrame, message)));
    }
    let mut other = row(good());
    other.table = 1;
    assert!(checker(Budget::default()).row(&other, 10).is_err());
    let mut elsewhere = row(good());
    elsewhere.place.part = 1;
    assert!(checker(Budget::default()).row(&elsewhere, 10).is_err());
    assert!(checker(Budget::default()).row(&row(good()[1..].to_vec()), 10).is_err());
}

#[test]
fn budgets_are_counted_by_the_server_too() {
    let tight = Budget { rows: 2, row_bytes: 50, output_bytes: 100, findings: 1 };
    let mut checker = checker(tight);
    assert!(checker.row(&row(good()), 10).is_ok());
    assert_eq!(checker.row(&row(good()), 51).unwrap_err().kind, RunErrorKind::Budget);
    assert_eq!(checker.row(&row(good()), 10).unwrap_err().message, "more than 2 rows");
    let finding = || Finding::info("r", Place::default(), "x".repeat(5_000));
    let mut first = finding();
    checker.finding(&mut first, 10).unwrap();
    assert_eq!(first.message.len(), 1_024);
    assert_eq!(checker.finding(&mut finding(), 10).unwrap_err().message, "more than 1 findings");
    assert_eq!(checker.finding(&mut finding(), 40).unwrap_err().message, "more than 100 bytes of output");
}

#[test]
fn a_finding_needs_a_rule_that_can_be_filtered_on() {
    for rule in ["", "Big", "a b", "x\n", &"x".repeat(65)] {
        let mut finding = Finding::info(rule, Place::default(), "m");
        assert_eq!(
            checker(Budget::default()).finding(&mut finding, 9).unwrap_err().kind,
            RunErrorKind::BadFrame
        );
    }
}

#[test]
fn parts_lie_inside_input_and_spill_and_are_counted() {
    let outside = [Range { offset: 1, len: 100 }, Range { offset: u64::MAX, len: 2 }];
    for range in outside {
        assert!(checker(Budget::default()).part(&part(Stored::Input(range))).is_err());
        assert!(check::spill_ranges(&[part(Stored::Spill(range))], 100).is_err());
    }
    assert!(check::spill_ranges(&[part(Stored::Spill(Range { offset: 1, len: 99 }))], 100).is_ok());
    let mut shouting = part(Stored::Input(Range { offset: 0, len: 1 }));
    shouting.problems.push(Problem { code: "NOT A CODE".into(), detail: String::new() });
    assert!(checker(Budget::default()).part(&shouting).is_err());
    let mut checker = checker(Budget::default());
    let mut orphan = part(Stored::Spill(Range { offset: 0, len: 0 }));
    orphan.parent = Some(1);
    assert!(checker.part(&orphan).is_err());
    orphan.parent = Some(0);
    assert!(checker.part(&orphan).is_ok());
    assert_eq!(checker.part(&orphan).unwrap_err().message, "more than 2 parts");
}

proptest! {
    #[test]
    fn any_bytes_are_a_reply_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(reply) = frame::decode::<Reply>(&bytes) {
            let mut again = Vec::new();
            prop_assert!(frame::encode(&mut again, &reply, frame::MAX_REPLY_BYTES).is_ok());
        }
    }
}
