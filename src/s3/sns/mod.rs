//! SNS: whether a message is signed by it, and whether its topic may speak to this source (contract 5.7).
//!
//! ```text
//!   Envelope ─▶ admit: topic on the list, kind of signature, time, address of the certificate     costs nothing
//!            ─▶ Certificates: fetched once, by a function passed in                               the one thing asked of the network
//!            ─▶ verify: dates and name of the certificate, signature                              only now is anything true
//!            ─▶ confirmation: what to call to subscribe, if the policy says so                    after the answer
//! ```
//!
//! A valid signature says "some topic of some customer of AWS"; the list of topics says which may speak here.

mod address;
mod certificate;
mod certificates;
mod der;
mod envelope;
mod policy;
#[cfg(test)]
mod signer;
mod verify;

pub use address::{Address, Hosts};
pub use certificate::{Certificate, CertificateError};
pub use certificates::{CertificateLimits, Certificates, Fetch, FetchError};
pub use envelope::{Envelope, EnvelopeKind};
pub use policy::{Confirm, Policy, SignatureVersion};
pub use verify::{Refused, Verified, admit, confirmation, verify};
