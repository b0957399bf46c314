//! What the rules decide about a mail, without storing anything.

use super::sort::rule_input;
use crate::config::Config;
use crate::infra::host::{Host, RunError};
use crate::rules::{Explanation, Rules};
use module_api::frame::Head;
use serde::Serialize;
use std::fs::File;
use std::sync::Arc;

/// Header fields searched for a recipient if none is given: those a delivering system adds, then those of the writer.
const RECIPIENT: [&str; 3] = ["delivered-to", "x-original-to", "to"];
/// The same for the sender.
const SENDER: [&str; 2] = ["return-path", "from"];

/// An explanation, and the envelope it is for.
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    /// Envelope recipient.
    pub recipient: String,
    /// Envelope sender.
    pub sender: String,
    /// What the rules say.
    #[serde(flatten)]
    pub explanation: Explanation,
}

/// Takes the first `bytes` of `message` apart and asks the rules. An envelope address that is not given is taken from
/// the header, which a real delivery never does.
///
/// # Errors
/// When no module process can take it apart.
pub async fn explain(
    host: &Host,
    config: &Arc<Config>,
    message: File,
    bytes: u64,
    envelope: (Option<String>, Option<String>),
) -> Result<Explained, RunError> {
    let split = host.split(message, bytes, config.mail.limits()).await?;
    let recipient = envelope.0.unwrap_or_else(|| address(&split.head, &RECIPIENT));
    let sender = envelope.1.unwrap_or_else(|| address(&split.head, &SENDER));
    let explanation = rule_input(&recipient, &sender, &split.head, &split.parts, |input| {
        Rules::new(Arc::clone(config)).explain(input)
    });
    Ok(Explained { recipient, sender, explanation })
}

/// The first address in the first of these header fields.
fn address(head: &Head, names: &[&str]) -> String {
    let find = |name: &&str| head.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    let value = names.iter().find_map(find).map_or("", |field| field.value.as_str());
    let first = value.split(',').next().unwrap_or_default();
    let inner = first.split_once('<').map_or(first, |(_, rest)| rest.split('>').next().unwrap_or(rest));
    inner.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{RECIPIENT, address};
    use module_api::frame::{Field, Head};

    #[test]
    fn what_a_delivering_system_added_goes_before_what_the_writer_wrote() {
        let field =
            |name: &str, value: &str| Field { name: name.into(), value: value.into(), raw: Vec::new() };
        let written = field("To", "\"Bob\" <bob@example.com>, ann@example.com");
        let mut head = Head { fields: vec![written], ..Head::default() };
        assert_eq!(address(&head, &RECIPIENT), "bob@example.com");
        head.fields.push(field("Delivered-To", " ops@example.com "));
        assert_eq!(address(&head, &RECIPIENT), "ops@example.com");
        assert_eq!(address(&Head::default(), &RECIPIENT), "");
    }
}
