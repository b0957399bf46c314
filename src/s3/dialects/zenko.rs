//! Zenko CloudServer (contract 5.12): through Kafka only; version 1.0, plain keys, no sequencer.

use super::super::event::{Encoding, Order};
use super::vendor::Rules;

pub(super) const RULES: Rules =
    Rules { encoding: Encoding::Plain, doubt: None, order: |_, time| Order::by_time(time), mend: |_| {} };
