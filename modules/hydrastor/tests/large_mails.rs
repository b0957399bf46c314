//! Mails of unusual size. A burst is a record, not an error: ten thousand alerts in a minute keep their order.

use module_api::fixture::{Case, Message, OwnedPart};
use module_api::{Outcome, PartKind, Value};
use std::fmt::Write;

const ALERTS: usize = 10_000;
const OBJECTS: usize = 7;

#[test]
fn ten_thousand_alerts_in_one_mail_keep_their_order_per_object() {
    let mut body = String::new();
    for n in 0..ALERTS {
        let (second, micro, slot) = (n / 200, n % 200, n % OBJECTS);
        let state = if (n / OBJECTS).is_multiple_of(2) { "Raised" } else { "Cleared" };
        writeln!(
            body,
            "Event ID : 0x1\nSeverity : ERROR\nState : {state}\nGrid : g\nNode : hn1\nComponent : Disk slot {slot}\n\
             Occurred : 2023/01/13 03:14:{second:02}.{micro:03} JST\nMessage : number {n}\n"
        )
        .unwrap();
    }
    let given = case("hydrastor/alert", body).run(module("hydrastor/alert"));
    assert_eq!((given.outcome, given.findings.len(), given.rows.len()), (Outcome::Ok, 0, ALERTS));
    let alert = &module("hydrastor/alert").declaration().tables[0];
    let at = |name| alert.position(name).unwrap();
    let mut last_of = std::collections::BTreeMap::new();
    for row in &given.rows {
        let Value::Text(key) = &row.values[at("correlation_key")] else { panic!("no key") };
        let Value::Time(occurred_at) = row.values[at("occurred_at")] else { panic!("no time") };
        assert!(last_of.insert(key.clone(), occurred_at).is_none_or(|before| before < occurred_at));
    }
    assert_eq!(last_of.len(), OBJECTS);
}

#[test]
fn a_mail_of_many_tiny_reports_is_read_up_to_a_limit() {
    let body: String = (0..20_000).map(|n| format!("HYDRAstor System Report\nGrid name : g{n}\n")).collect();
    let given = case("hydrastor/system_report", body).run(module("hydrastor/system_report"));
    assert_eq!((given.outcome, given.rows.len()), (Outcome::Partial { rejected: 19_000 }, 1_000));
    assert_eq!(given.findings.len(), 1_001, "and the last says how many are left out");
}

fn module(id: &str) -> &'static dyn module_api::Module {
    module_hydrastor::modules()
        .into_iter()
        .find(|module| module.declaration().id == id)
        .expect("the family has this module")
}

fn case(id: &str, body: String) -> Case {
    let part = OwnedPart {
        kind: PartKind::Body,
        path: "1".into(),
        parent: None,
        media_type: "text/plain".into(),
        sniffed_type: "text/plain".into(),
        charset: None,
        name: None,
        problems: Vec::new(),
        bytes: body.into_bytes(),
    };
    Case::of(&module(id).declaration(), Message { parts: vec![part], ..Message::default() })
}
