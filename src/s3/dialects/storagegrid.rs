//! NetApp StorageGRID (contract 5.5): its records. They come in a call of SNS's API (`publish`), by a webhook, or through
//! Kafka; its search integration is `search` and `elastic`.
//!
//! Keys seem to be plain, but no sample has a character that would show it: so they are in doubt.

use super::super::event::{Encoding, Order};
use super::vendor::Rules;

pub(super) const RULES: Rules =
    Rules { encoding: Encoding::Plain, doubt: Some(Encoding::Form), order: Order::nanos, mend: |_| {} };
