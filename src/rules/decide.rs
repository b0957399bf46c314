//! The decision: rules in order, until one stops.

use super::condition::{Answer, Captures, conditions};
use super::{Recipients, RuleInput};
use crate::config::{Rule, Template};
use crate::ids::{Coordinates, Slug};
use serde::Serialize;
use std::collections::BTreeMap;

/// The decision about a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Sent to the module for its category and type.
    Routed(Route),
    /// Held for an operator.
    Held(Reason),
}

/// What the rules decided about a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Its coordinates.
    pub coordinates: Coordinates,
    /// The rules that matched, in order; never empty.
    pub rules: Vec<Slug>,
    /// Whether the original is copied to volume `archive`.
    pub archive: bool,
    /// Settings for the module.
    pub settings: BTreeMap<String, String>,
    /// Captures of these rules' patterns; of equal names the later one.
    pub captures: BTreeMap<String, String>,
}

/// Why a mail is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No rule matched, or those that did set no category or type.
    NoRule,
    /// The recipient belongs to no customer.
    UnknownCustomer,
    /// A header that must be unique is repeated, and a rule depends on it.
    Malformed {
        /// Its name, in lower case.
        header: &'static str,
    },
}

impl Reason {
    /// Its word in paths, in the store and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoRule => "no_rule",
            Self::UnknownCustomer => "unknown_customer",
            Self::Malformed { .. } => "malformed",
        }
    }
}

pub(super) fn decide(rules: &[Rule], recipients: &Recipients, input: &RuleInput<'_>) -> Decision {
    let Some(customer) = recipients.customer_of(input.recipient) else {
        return Decision::Held(Reason::UnknownCustomer);
    };
    let mut draft = Draft::default();
    for rule in rules {
        match try_rule(rule, customer, input) {
            Answer::Yes(captures) => draft.apply(rule, captures),
            Answer::No => continue,
            Answer::Repeated(header) => return Decision::Held(Reason::Malformed { header }),
        }
        if rule.stop {
            break;
        }
    }
    draft.finish(customer).map_or(Decision::Held(Reason::NoRule), Decision::Routed)
}

/// Whether all conditions of `rule` hold. A repeated header matters only if all other conditions hold.
fn try_rule(rule: &Rule, customer: &Slug, input: &RuleInput<'_>) -> Answer {
    let mut captures = Captures::new();
    let mut repeated = None;
    for condition in conditions(&rule.when) {
        match condition.ask(customer, input) {
            Answer::Yes(found) => captures.extend(found),
            Answer::No => return Answer::No,
            Answer::Repeated(header) => repeated = repeated.or(Some(header)),
        }
    }
    repeated.map_or(Answer::Yes(captures), Answer::Repeated)
}

/// What the rules have set so far.
#[derive(Default)]
struct Draft {
    category: Option<Slug>,
    type_: Option<Slug>,
    group: Option<Slug>,
    archive: Option<bool>,
    rules: Vec<Slug>,
    settings: BTreeMap<String, String>,
    captures: Captures,
}

impl Draft {
    /// Applies `rule`. A template whose capture is empty leaves its coordinate unchanged.
    fn apply(&mut self, rule: &Rule, captures: Captures) {
        let fill = |template: &Option<Template>| {
            template
                .as_ref()
                .and_then(|template| template.fill(|name| captures.get(name).map(String::as_str)))
        };
        self.category = fill(&rule.set.category).or(self.category.take());
        self.type_ = fill(&rule.set.type_).or(self.type_.take());
        self.group = fill(&rule.set.group).or(self.group.take());
        self.archive = rule.archive.or(self.archive);
        self.rules.push(rule.name.clone());
        self.settings.extend(rule.settings.clone());
        self.captures.extend(captures);
    }

    fn finish(self, customer: &Slug) -> Option<Route> {
        let coordinates = Coordinates {
            customer: customer.clone(),
            category: self.category?,
            type_: self.type_?,
            group: self.group.unwrap_or_else(|| Slug::of("none")),
        };
        Some(Route {
            coordinates,
            rules: self.rules,
            archive: self.archive.unwrap_or(false),
            settings: self.settings,
            captures: self.captures,
        })
    }
}
