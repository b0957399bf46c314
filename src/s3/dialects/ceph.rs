//! Ceph RGW (contract 5.9): plain keys, an id per event, and a sequencer that is a dump of memory.

use super::super::event::{Encoding, Order};
use super::vendor::Rules;

pub(super) const RULES: Rules =
    Rules { encoding: Encoding::Plain, doubt: None, order: Order::ceph, mend: |_| {} };
