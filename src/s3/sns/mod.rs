//! SNS: whether a message is signed by it, and whether its topic may speak to this source (contract 5.7).

mod envelope;

pub use envelope::{Envelope, EnvelopeKind};
