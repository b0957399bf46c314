//! Rules: which mail gets which coordinates.

use super::{Pattern, Template};
use crate::ids::Slug;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One rule. Rules are tried in the order of the configuration; a rule matches if all its conditions hold.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, as shown in manifests and explanations.
    #[schemars(with = "String")]
    pub name: Slug,
    /// Its conditions. A rule without any matches every mail.
    #[serde(default)]
    pub when: When,
    /// The coordinates it sets.
    #[serde(default)]
    pub set: Assignment,
    /// Settings for the module, such as zone or locale; each module documents its own.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Whether a match ends the search. Otherwise later rules may add to what this one sets, or replace it.
    #[serde(default = "yes")]
    pub stop: bool,
    /// Whether the original is copied to volume `archive`. Default: what an earlier matching rule set, else false.
    pub archive: Option<bool>,
}

const fn yes() -> bool {
    true
}

/// Conditions of a rule. If one depends on a header that must be unique and occurs twice, the mail is held as malformed,
/// where the rule's other conditions hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Name of the customer.
    #[schemars(with = "Option<String>")]
    pub customer: Option<Slug>,
    /// Envelope recipient.
    pub recipient: Option<Pattern>,
    /// Envelope sender; empty for a bounce.
    pub sender: Option<Pattern>,
    /// Header `From`.
    pub from: Option<Pattern>,
    /// Header `To`.
    pub to: Option<Pattern>,
    /// Header `Subject`.
    pub subject: Option<Pattern>,
    /// Other headers by name. Each must match in at least one of its lines.
    #[serde(default)]
    pub header: BTreeMap<String, Pattern>,
    /// At least one attachment must match.
    pub attachment: Option<AttachmentLike>,
}

/// What an attachment must be like; everything given must hold for the same one.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachmentLike {
    /// Declared file name.
    pub name: Option<Pattern>,
    /// Type detected from the first bytes, such as `application/gzip`, in upper or lower case.
    #[serde(rename = "type")]
    pub type_: Option<String>,
}

/// Coordinates a rule sets.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Family of formats.
    pub category: Option<Template>,
    /// Format.
    #[serde(rename = "type")]
    pub type_: Option<Template>,
    /// What the mail is about; `none` if no rule sets it.
    pub group: Option<Template>,
}

impl When {
    /// Every pattern with the name of its condition, in the order conditions are tried.
    pub fn patterns(&self) -> impl Iterator<Item = (&str, &Pattern)> {
        let attachment = self.attachment.as_ref().and_then(|like| like.name.as_ref());
        [
            ("recipient", self.recipient.as_ref()),
            ("sender", self.sender.as_ref()),
            ("from", self.from.as_ref()),
            ("to", self.to.as_ref()),
            ("subject", self.subject.as_ref()),
            ("attachment.name", attachment),
        ]
        .into_iter()
        .filter_map(|(condition, pattern)| pattern.map(|pattern| (condition, pattern)))
        .chain(self.header.iter().map(|(name, pattern)| (name.as_str(), pattern)))
    }
}
