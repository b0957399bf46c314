//! What sorting decides: coordinates by rule or by hand, or why the mail waits.

use crate::config::Config;
use crate::delivery::manifest::MatchedRule;
use crate::delivery::store::DeliveryRow;
use crate::delivery::tree_path::Place;
use crate::ids::{Coordinates, Slug};
use crate::job::HoldReason;
use crate::mail::leftovers::CUT_SHORT;
use crate::rules::{Decision, Reason, RuleInput, Rules};
use module_api::PartKind;
use module_api::frame::{Head, PartRecord};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The decision about one mail.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It has coordinates.
    Sorted(Sorting),
    /// It waits for an operator: why, and what exactly.
    Held(HoldReason, String),
}

/// Coordinates and what comes with them.
#[derive(Debug, Clone)]
pub struct Sorting {
    pub coordinates: Coordinates,
    pub rules: Vec<Slug>,
    pub captures: BTreeMap<String, String>,
    pub settings: BTreeMap<String, String>,
    pub archive: bool,
}

impl Sorting {
    /// The module that reads this category and type.
    pub fn module(&self) -> String {
        format!("{}/{}", self.coordinates.category, self.coordinates.type_)
    }
}

impl Verdict {
    /// Held for the reason of that word.
    pub fn held(word: &str) -> Self {
        Self::Held(word.parse().unwrap_or(HoldReason::Operator), String::new())
    }

    pub const fn sorting(&self) -> Option<&Sorting> {
        match self {
            Self::Sorted(sorting) => Some(sorting),
            Self::Held(..) => None,
        }
    }

    /// Where the tree goes.
    pub fn place(&self, source: &str) -> Place {
        match self {
            Self::Sorted(sorting) => Place::Delivered(sorting.coordinates.clone()),
            Self::Held(reason, _) => {
                Place::Held { source: super::source_slug(source), reason: Slug::of(reason.word()) }
            }
        }
    }

    /// The rule that decided, for manifest and store; none where an operator did.
    pub fn rule(&self) -> Option<MatchedRule> {
        let sorting = self.sorting()?;
        let name = sorting.rules.last()?.to_string();
        Some(MatchedRule { name, captures: sorting.captures.clone() })
    }

    /// Whether it was held for what happened to its job and not for what a look at it said: another look may end alike.
    pub fn is_undecided(&self) -> bool {
        use HoldReason as Reason;
        matches!(
            self,
            Self::Held(Reason::Poisoned | Reason::Lost | Reason::OutOfAttempts | Reason::Operator, _)
        )
    }

    pub fn archive(&self) -> bool {
        self.sorting().is_some_and(|sorting| sorting.archive)
    }
}

/// The verdict that a tree was made by: where it stands tells the coordinates or why it was held, whatever became of the
/// mail since. What the rule said is in the row, until an operator takes the mail up again: then the tree it had names no rule.
pub fn stored(delivery: &DeliveryRow, place: Place) -> Verdict {
    match place {
        Place::Delivered(coordinates) => Verdict::Sorted(Sorting {
            coordinates,
            rules: delivery.rule.iter().filter_map(|rule| rule.parse().ok()).collect(),
            captures: delivery.captures.clone(),
            settings: serde_json::from_value(delivery.settings.clone()).unwrap_or_default(),
            archive: delivery.archive,
        }),
        Place::Held { reason, .. } => Verdict::held(reason.as_str()),
    }
}

/// Problem of a header with more lines or bytes than are read.
const HEADER_LIMIT: &str = "header_limit";

/// Decides. Coordinates that an operator assigned are taken as they are; otherwise the rules are asked.
pub fn decide(delivery: &DeliveryRow, head: &Head, parts: &[PartRecord], config: &Arc<Config>) -> Verdict {
    if let Some(coordinates) = assigned(delivery) {
        return Verdict::Sorted(Sorting {
            coordinates,
            rules: Vec::new(),
            captures: BTreeMap::new(),
            settings: serde_json::from_value(delivery.settings.clone()).unwrap_or_default(),
            archive: false,
        });
    }
    let envelope = &delivery.envelope;
    if envelope.mail().is_some_and(|mail| mail.problems.iter().any(|code| code == CUT_SHORT)) {
        return Verdict::Held(HoldReason::CutShort, "it was cut short and never came whole".into());
    }
    if head.problems.iter().any(|problem| problem.code == HEADER_LIMIT) {
        let why = "its header goes beyond what is read, so no rule can know all of it";
        return Verdict::Held(HoldReason::Malformed, why.into());
    }
    let decision = rule_input(envelope.recipient(), envelope.sender(), head, parts, |input| {
        Rules::new(Arc::clone(config)).decide(input)
    });
    match decision {
        Decision::Routed(route) => Verdict::Sorted(Sorting {
            coordinates: route.coordinates,
            rules: route.rules,
            captures: route.captures,
            settings: route.settings,
            archive: route.archive,
        }),
        Decision::Held(Reason::NoRule) => {
            Verdict::Held(HoldReason::NoRule, "no rule gives it category and type".into())
        }
        Decision::Held(Reason::UnknownCustomer) => {
            Verdict::Held(HoldReason::UnknownCustomer, "its recipient is no customer's".into())
        }
        Decision::Held(Reason::Malformed { header }) => Verdict::Held(
            HoldReason::Malformed,
            format!("header {header} stands twice and a rule depends on it"),
        ),
    }
}

/// Coordinates without a rule were set by hand.
fn assigned(delivery: &DeliveryRow) -> Option<Coordinates> {
    if delivery.rule.is_some() { None } else { delivery.coordinates() }
}

/// What the rules may know of a mail that was taken apart, handed to `ask`.
pub fn rule_input<T>(
    recipient: &str,
    sender: &str,
    head: &Head,
    parts: &[PartRecord],
    ask: impl FnOnce(&RuleInput<'_>) -> T,
) -> T {
    let headers: Vec<(&str, &str)> =
        head.fields.iter().map(|field| (field.name.as_str(), field.value.as_str())).collect();
    let attachments: Vec<(&str, &str)> = parts
        .iter()
        .filter(|part| part.kind != PartKind::Body || part.name.is_some())
        .map(|part| (part.name.as_deref().unwrap_or_default(), part.sniffed_type.as_str()))
        .collect();
    ask(&RuleInput { recipient, sender, headers: &headers, attachments: &attachments })
}
