//! Finds the customer of an envelope recipient.

use crate::config::{Address, Config, Folded};
use crate::ids::Slug;
use std::collections::{HashMap, HashSet};

/// Recipients of all customers: by whole address, else by extension at one of our domains, else by domain.
///
/// As in Postfix, an address is split at its last `@` and its extension starts after the first delimiter. ASCII letters
/// are compared without case.
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

    /// The customer of `recipient`; `None` if no customer has this address, or it is no address.
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
