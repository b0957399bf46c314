//! From an envelope recipient to a customer.

use crate::config::{Address, Config, Folded};
use crate::ids::Slug;
use std::collections::{HashMap, HashSet};

/// Whose an address is: by the whole address, else by its extension at one of our domains, else by its domain.
///
/// An address is split at its last `@`, and its extension begins after the first delimiter, as Postfix does it. ASCII
/// letters are compared without case, everything else exactly.
#[derive(Debug, Clone)]
pub struct Recipients {
    addresses: HashMap<Address, Slug>,
    extensions: HashMap<Folded, Slug>,
    domains: HashMap<Folded, Slug>,
    ours: HashSet<Folded>,
    delimiter: char,
}

impl Recipients {
    /// The addresses of all customers of `config`.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let customers = || config.customers.iter();
        let source = config.mail_source();
        Self {
            addresses: customers()
                .flat_map(|customer| {
                    customer.recipients.iter().map(|own| (own.clone(), customer.name.clone()))
                })
                .collect(),
            extensions: customers()
                .filter_map(|customer| Some((customer.plus.clone()?, customer.name.clone())))
                .collect(),
            domains: customers()
                .flat_map(|customer| customer.domains.iter().map(|own| (own.clone(), customer.name.clone())))
                .collect(),
            ours: source.iter().flat_map(|source| source.domains).cloned().collect(),
            delimiter: source.map_or('+', |source| source.recipient_delimiter),
        }
    }

    /// The customer `recipient` belongs to; `None` when it is nobody's or no address.
    #[must_use]
    pub fn customer_of(&self, recipient: &str) -> Option<&Slug> {
        let address = Address::split(recipient)?;
        let by_extension = || {
            let (_, extension) = address.local.as_str().split_once(self.delimiter)?;
            let ours = self.ours.contains(&address.domain);
            self.extensions.get(&Folded::of(extension)).filter(|_| ours)
        };
        self.addresses.get(&address).or_else(by_extension).or_else(|| self.domains.get(&address.domain))
    }
}
