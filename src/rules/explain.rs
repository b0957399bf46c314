//! The same decision, with reasons for people to read.

use super::condition::{Answer, conditions};
use super::decide::{Decision, Reason, decide};
use super::{Recipients, RuleInput};
use crate::config::Rule;
use crate::ids::Slug;
use serde::Serialize;
use std::fmt;

/// A decision and how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Customer of the recipient.
    pub customer: Option<Slug>,
    /// Every rule, in order; empty if the recipient belongs to no customer.
    pub trials: Vec<Trial>,
    /// The decision.
    pub decision: Decision,
}

/// One rule against the mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// The rule.
    pub rule: Slug,
    /// The result.
    pub verdict: Verdict,
}

/// The result of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every condition held.
    Matched,
    /// These conditions did not hold.
    Missed(Vec<String>),
    /// It depends on this header, which is repeated.
    Malformed(&'static str),
    /// An earlier rule ended the search.
    NotTried,
}

pub(super) fn explain(rules: &[Rule], recipients: &Recipients, input: &RuleInput<'_>) -> Explanation {
    let customer = recipients.customer_of(input.recipient);
    let mut ended = false;
    let mut trials = Vec::new();
    for rule in rules.iter().filter(|_| customer.is_some()) {
        let verdict = match customer {
            Some(customer) if !ended => verdict(rule, customer, input),
            _ => Verdict::NotTried,
        };
        ended |= match verdict {
            Verdict::Matched => rule.stop,
            Verdict::Malformed(_) => true,
            Verdict::Missed(_) | Verdict::NotTried => false,
        };
        trials.push(Trial { rule: rule.name.clone(), verdict });
    }
    Explanation { customer: customer.cloned(), trials, decision: decide(rules, recipients, input) }
}

fn verdict(rule: &Rule, customer: &Slug, input: &RuleInput<'_>) -> Verdict {
    let (mut missed, mut repeated) = (Vec::new(), None);
    for condition in conditions(&rule.when) {
        match condition.ask(customer, input) {
            Answer::Yes(_) => {}
            Answer::No => missed.push(condition.name()),
            Answer::Repeated(header) => repeated = repeated.or(Some(header)),
        }
    }
    match repeated {
        _ if !missed.is_empty() => Verdict::Missed(missed),
        Some(header) => Verdict::Malformed(header),
        None => Verdict::Matched,
    }
}

impl fmt::Display for Explanation {
    /// One line per step. Contains only names from the configuration and slugs, so nothing needs escaping.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.customer {
            Some(customer) => writeln!(f, "customer {customer}")?,
            None => writeln!(f, "customer unknown: the recipient belongs to no customer")?,
        }
        for Trial { rule, verdict } in &self.trials {
            match verdict {
                Verdict::Matched => writeln!(f, "rule {rule}: matched")?,
                Verdict::Missed(conditions) => {
                    writeln!(f, "rule {rule}: missed at {}", conditions.join(", "))?
                }
                Verdict::Malformed(header) => {
                    writeln!(f, "rule {rule}: depends on header {header}, which is repeated")?
                }
                Verdict::NotTried => writeln!(f, "rule {rule}: not tried")?,
            }
        }
        match &self.decision {
            Decision::Routed(route) => {
                let place = &route.coordinates;
                writeln!(f, "routed to {}/{}/{}/{}", place.customer, place.category, place.type_, place.group)
            }
            Decision::Held(Reason::Malformed { header }) => {
                writeln!(f, "held: malformed, header {header} is repeated")
            }
            Decision::Held(reason) => writeln!(f, "held: {}", reason.word()),
        }
    }
}
