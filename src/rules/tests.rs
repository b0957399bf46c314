//! What the rules promise.

use super::{Decision, Reason, Route, RuleInput, Rules, Verdict};
use crate::config::{Layers, load};
use proptest::prelude::*;
use std::sync::LazyLock;

const CUSTOMERS: &str = r#"
source.mail.domains = ["ingest.example.com"]
[[customer]]
name = "bobs"
recipients = ["Bobs@Ingest.example.com", '"odd@name"@ingest.example.com']
plus = "bobs"
[[customer]]
name = "bens"
recipients = ["special@bobs.example.com"]
plus = "bens"
[[customer]]
name = "wide"
domains = ["bobs.example.com"]
"#;

/// The rules of a configuration with the customers above.
fn rules(text: &str) -> Rules {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("headworks.toml");
    std::fs::write(&file, format!("{CUSTOMERS}\n{text}")).unwrap();
    let loaded = load(&Layers { file: Some(file), ..Layers::default() });
    Rules::new(loaded.unwrap_or_else(|errors| panic!("{errors}")).config().clone())
}

const MAIL: RuleInput<'static> = RuleInput {
    recipient: "bobs@ingest.example.com",
    sender: "grid@a.example",
    headers: &[],
    attachments: &[],
};

fn with<'a>(headers: &'a [(&'a str, &'a str)]) -> RuleInput<'a> {
    RuleInput { headers, ..MAIL }
}

fn route(rules: &Rules, input: &RuleInput<'_>) -> Route {
    match rules.decide(input) {
        Decision::Routed(route) => route,
        Decision::Held(reason) => panic!("held: {reason:?}\n{}", rules.explain(input)),
    }
}

const ALERTS: &str = r#"
[[rule]]
name = "alert"
when = { subject = '^\[(?<grid>[^\]]*)\] alert' }
set = { category = "hydrastor", type = "alert", group = "{grid}" }
settings = { zone = "Asia/Tokyo" }
archive = true
"#;

#[test]
fn the_customer_is_who_the_recipient_says() {
    let rules = rules("");
    for (recipient, customer) in [
        ("bobs@ingest.example.com", Some("bobs")),
        ("BOBS@INGEST.EXAMPLE.COM", Some("bobs")),
        ("\"odd@name\"@ingest.example.com", Some("bobs")),
        ("grid7+bobs@ingest.example.com", Some("bobs")),
        ("grid7+BENS@ingest.example.com", Some("bens")),
        ("anybody@bobs.example.com", Some("wide")),
        ("special@bobs.example.com", Some("bens")),
        ("special+bobs@bobs.example.com", Some("wide")),
        ("grid7+bobs@elsewhere.example.com", None),
        ("grid7+bobs+x@ingest.example.com", None),
        ("bobs+@ingest.example.com", None),
        ("bobs@ingest.example.com@elsewhere.example.com", None),
        ("bob\u{17f}@ingest.example.com", None),
        ("bobs", None),
        ("@ingest.example.com", None),
        ("", None),
    ] {
        assert_eq!(
            rules.recipients().customer_of(recipient).map(|slug| slug.as_str()),
            customer,
            "{recipient}"
        );
    }
}

#[test]
fn a_mail_to_nobody_is_held_whatever_the_rules() {
    let rules = rules("[[rule]]\nname = 'all'\nset = { category = 'a', type = 'b' }");
    let input = RuleInput { recipient: "nobody@ingest.example.com", ..MAIL };
    assert_eq!(rules.decide(&input), Decision::Held(Reason::UnknownCustomer));
    assert_eq!(rules.explain(&input).trials, []);
}

#[test]
fn captures_become_coordinates_and_settings_reach_the_module() {
    let rules = rules(ALERTS);
    let found = route(&rules, &with(&[("SUBJECT", "[Grid 1] alert: disk")]));
    assert_eq!(
        (found.coordinates.customer.as_str(), found.coordinates.category.as_str()),
        ("bobs", "hydrastor")
    );
    assert!(found.coordinates.group.as_str().starts_with("grid_1-"));
    assert_eq!(found.captures["grid"], "Grid 1");
    assert_eq!(found.settings["zone"], "Asia/Tokyo");
    assert!(found.archive);
    let empty = route(&rules, &with(&[("Subject", "[] alert")]));
    assert_eq!(empty.coordinates.group.as_str(), "none");
}

#[test]
fn a_mail_no_rule_is_for_is_held() {
    let rules = rules(ALERTS);
    assert_eq!(rules.decide(&with(&[("Subject", "hello")])), Decision::Held(Reason::NoRule));
    assert_eq!(rules.decide(&MAIL), Decision::Held(Reason::NoRule));
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    let rules = rules(
        r#"
[[rule]]
name = "full"
when = { customer = "bobs", recipient = "^bobs@", sender = '@a\.example$', from = "grid", to = "ingest", header = { "X-Kind" = "^log$" }, attachment = { name = '\.gz$', type = "application/gzip" } }
set = { category = "a", type = "b" }
"#,
    );
    let headers = [("From", "the grid"), ("To", "ingest"), ("x-kind", "other"), ("X-Kind", "log")];
    let attachments = [("a.gz", "text/plain"), ("b.txt", "application/gzip"), ("c.gz", "APPLICATION/gzip")];
    let whole = RuleInput { headers: &headers, attachments: &attachments, ..MAIL };
    assert_eq!(route(&rules, &whole).rules.len(), 1);
    let explain = |input: &RuleInput<'_>| rules.explain(input).trials[0].verdict.clone();
    let missed = |names: &[&str]| Verdict::Missed(names.iter().map(|name| (*name).to_owned()).collect());
    let other = RuleInput { recipient: "x+bens@ingest.example.com", ..whole };
    assert_eq!(explain(&other), missed(&["customer", "recipient"]));
    assert_eq!(explain(&RuleInput { attachments: &attachments[..2], ..whole }), missed(&["attachment"]));
    assert_eq!(explain(&RuleInput { headers: &headers[1..3], ..whole }), missed(&["from", "header.X-Kind"]));
    assert_eq!(explain(&RuleInput { sender: "", ..whole }), missed(&["sender"]));
}

#[test]
fn a_header_that_stands_twice_holds_the_mail_only_where_a_rule_depends_on_it() {
    let rules = rules(&format!(
        "[[rule]]\nname = 'log'\nwhen = {{ subject = 'log', sender = '@logs' }}\nset = {{ category = 'l', type = 'l' }}\n\
         {ALERTS}\n[[rule]]\nname = 'rest'\nwhen = {{ header = {{ FROM = 'rest' }} }}\nset = {{ category = 'r', type = 'r' }}"
    ));
    let malformed = |header| Decision::Held(Reason::Malformed { header });
    let twice = [("Subject", "log"), ("Subject", "[g] alert")];
    assert_eq!(rules.decide(&with(&twice)), malformed("subject"));
    let same = [("Subject", "[g] alert"), ("subject", "[g] alert")];
    assert_eq!(rules.decide(&with(&same)), malformed("subject"));
    let neither = [("Subject", "log"), ("Subject", "log"), ("From", "rest")];
    assert_eq!(route(&rules, &with(&neither)).rules[0].as_str(), "rest", "no rule needs either subject");
    let senders = [("Subject", "[g] alert"), ("From", "a"), ("From", "rest")];
    assert_eq!(route(&rules, &with(&senders)).rules[0].as_str(), "alert", "decided before From matters");
    assert_eq!(rules.decide(&with(&senders[1..])), malformed("from"));
    let trials = rules.explain(&with(&twice)).trials;
    let verdicts: Vec<_> = trials.into_iter().map(|trial| trial.verdict).collect();
    assert_eq!(verdicts[1..], [Verdict::Malformed("subject"), Verdict::NotTried]);
}

#[test]
fn a_rule_that_does_not_stop_lets_later_ones_add_and_replace() {
    let rules = rules(
        r#"
[[rule]]
name = "defaults"
stop = false
archive = true
set = { category = "generic", type = "mail", group = "everybody" }
settings = { zone = "UTC", locale = "en" }
[[rule]]
name = "tokyo"
stop = false
when = { subject = "tokyo(?: of (?<place>\\w+))?" }
set = { group = "{place}" }
settings = { zone = "Asia/Tokyo" }
[[rule]]
name = "alert"
when = { subject = "alert" }
set = { type = "alert" }
archive = false
[[rule]]
name = "never"
set = { category = "never" }
"#,
    );
    let found = route(&rules, &with(&[("Subject", "alert from tokyo")]));
    let place = &found.coordinates;
    assert_eq!(
        (place.category.as_str(), place.type_.as_str(), place.group.as_str()),
        ("generic", "alert", "everybody")
    );
    assert_eq!((found.settings["zone"].as_str(), found.settings["locale"].as_str()), ("Asia/Tokyo", "en"));
    assert_eq!(
        found.rules.iter().map(|rule| rule.as_str()).collect::<Vec<_>>(),
        ["defaults", "tokyo", "alert"]
    );
    assert!(!found.archive);
    let north = route(&rules, &with(&[("Subject", "alert from tokyo of north")]));
    assert_eq!(north.coordinates.group.as_str(), "north");
}

#[test]
fn rules_that_leave_the_type_open_do_not_route() {
    let rules = rules("[[rule]]\nname = 'half'\nstop = false\nset = { category = 'a' }");
    assert_eq!(rules.decide(&MAIL), Decision::Held(Reason::NoRule));
    assert_eq!(rules.explain(&MAIL).trials[0].verdict, Verdict::Matched);
}

#[test]
fn patterns_see_the_first_8_kib_of_a_field() {
    let rules = rules(ALERTS.replace("'^", "'").as_str());
    let inside = format!("{}[g] alert", "é".repeat(4091));
    assert_eq!(inside.len(), (8 << 10) - 1);
    assert_eq!(route(&rules, &with(&[("Subject", &inside)])).captures["grid"], "g");
    let cut_in_a_character = format!("{}[g] alertéé", "x".repeat((8 << 10) - 10));
    assert_eq!(route(&rules, &with(&[("Subject", &cut_in_a_character)])).captures["grid"], "g");
    let beyond = format!("é{inside}");
    assert_eq!(rules.decide(&with(&[("Subject", &beyond)])), Decision::Held(Reason::NoRule));
}

#[test]
fn an_explanation_reads_like_a_story() {
    let rules = rules(&format!("{ALERTS}\n[[rule]]\nname = 'rest'\nset = {{ category = 'r', type = 'r' }}"));
    insta::assert_snapshot!(rules.explain(&with(&[("Subject", "hello")])), @r"
    customer bobs
    rule alert: missed at subject
    rule rest: matched
    routed to bobs/r/r/none
    ");
}

/// Rules that take every coordinate they can from what the mail says.
static GREEDY: LazyLock<Rules> = LazyLock::new(|| {
    let from =
        "when = { from = '(?<who>.+)' }\nset = { category = '{who}', type = '{who}', group = '{who}' }";
    rules(&format!("{ALERTS}\n[[rule]]\nname = 'from'\n{from}"))
});

proptest! {
    #[test]
    fn no_mail_panics_and_its_content_never_chooses_the_customer(
        recipient in "(bobs|x\\+bens|y)?@?(ingest|bobs)?\\.example\\.com|.{0,40}",
        sender in ".{0,40}",
        headers in prop::collection::vec(("(?i)(subject|from|to|x-customer)|.{0,10}", ".{0,30}|\\[.{0,9}\\] alert|bobs@ingest.example.com"), 0..6),
        attachments in prop::collection::vec((".{0,20}", ".{0,20}"), 0..3),
    ) {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let attachments: Vec<(&str, &str)> = attachments.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
        let input = RuleInput { recipient: &recipient, sender: &sender, headers: &headers, attachments: &attachments };
        let decision = GREEDY.decide(&input);
        let customer = GREEDY.recipients().customer_of(&recipient);
        match &decision {
            Decision::Routed(route) => prop_assert_eq!(Some(&route.coordinates.customer), customer),
            Decision::Held(reason) => prop_assert_eq!(*reason == Reason::UnknownCustomer, customer.is_none()),
        }
        prop_assert_eq!(GREEDY.explain(&input).decision, decision);
    }
}
