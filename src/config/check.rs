//! Settings that are right one by one and wrong together.

use super::error::{Mistake, nearest};
use super::tree::Node;
use super::{Config, Door, KeyPath, Period, Role, Rule, StoreKind, VolumeKind};
use crate::ids::QueueName;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

/// Adds to `mistakes` what does not fit. `tree` tells where things were written.
pub(super) fn check(config: &Config, tree: &Node, mistakes: &mut Vec<Mistake>) {
    let mut check = Check { tree, mistakes };
    check.places(config);
    check.store(config);
    check.times(config);
    check.listeners(config);
    check.queues(config);
    check.mail(config);
    check.customers(config);
    check.rules(config);
}

struct Check<'a> {
    tree: &'a Node,
    mistakes: &'a mut Vec<Mistake>,
}

impl Check<'_> {
    /// Unless `right`, says at `key` what is wrong.
    fn expect<const N: usize>(&mut self, right: bool, key: [&str; N], message: impl Display) {
        if !right {
            let key = KeyPath::of(key);
            let origin = self.tree.at(&key).map(|node| &node.origin);
            self.mistakes.push(Mistake::at(origin, key, message.to_string()));
        }
    }

    /// Where the node at `key` was written, for a message about another one.
    fn place<const N: usize>(&self, key: [&str; N]) -> String {
        self.tree.at(&KeyPath::of(key)).map_or_else(String::new, |node| node.origin.to_string())
    }

    fn places(&mut self, config: &Config) {
        let absolute = config.server.state_dir.is_absolute();
        self.expect(absolute, ["server", "state_dir"], "must begin with /");
        self.expect(
            !config.server.roles.is_empty(),
            ["server", "roles"],
            "a server without a role does nothing",
        );
        let (inbox, archive) = (&config.volume.inbox, &config.volume.archive);
        let both_disk = inbox.kind == VolumeKind::Disk && archive.kind == VolumeKind::Disk;
        let apart = !both_disk || inbox.path != archive.path;
        self.expect(apart, ["volume", "archive", "path"], "is the directory of volume.inbox too");
    }

    fn store(&mut self, config: &Config) {
        let url = config.store.url.reveal();
        let postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
        let (needed, given) = (config.store.kind == StoreKind::Postgres, !url.is_empty());
        self.expect(
            !needed || given,
            ["store", "kind"],
            "postgres needs store.url, url_file or url_credential",
        );
        self.expect(!given || postgres, ["store", "url"], "does not begin with postgres://");
    }

    fn times(&mut self, config: &Config) {
        let (jobs, keeper, modules) = (&config.jobs, &config.keeper, &config.modules);
        let positive: [([&str; 2], Period); 19] = [
            (["store", "statement_timeout"], config.store.statement_timeout),
            (["http", "request_timeout"], config.http.request_timeout),
            (["http", "idempotency_ttl"], config.http.idempotency_ttl),
            (["mail", "key_ttl"], config.mail.key_ttl),
            (["modules", "cpu"], modules.cpu),
            (["modules", "wall"], modules.wall),
            (["jobs", "lease"], jobs.lease),
            (["jobs", "poll_min"], jobs.poll_min),
            (["jobs", "sweep"], jobs.sweep),
            (["jobs", "backoff_base"], jobs.backoff_base),
            (["jobs", "soft_timeout"], jobs.soft_timeout),
            (["jobs", "hard_timeout"], jobs.hard_timeout),
            (["history", "retention"], config.history.retention),
            (["log", "retention"], config.log.retention),
            (["keeper", "promote_every"], keeper.promote_every),
            (["keeper", "expire_every"], keeper.expire_every),
            (["keeper", "partition_every"], keeper.partition_every),
            (["keeper", "spool_every"], keeper.spool_every),
            (["keeper", "tmp_every"], keeper.tmp_every),
        ];
        for (key, period) in positive {
            self.expect(!period.get().is_zero(), key, "must be longer than nothing");
        }
        self.expect(jobs.poll_min <= jobs.poll_max, ["jobs", "poll_min"], "is longer than jobs.poll_max");
        self.expect(
            jobs.backoff_base <= jobs.backoff_max,
            ["jobs", "backoff_base"],
            "is longer than jobs.backoff_max",
        );
        self.expect(
            jobs.soft_timeout <= jobs.hard_timeout,
            ["jobs", "soft_timeout"],
            "is longer than jobs.hard_timeout",
        );
        let renewed = jobs.heartbeat() > jobs.claim_lag.get().max(jobs.finish_linger.get());
        let lease = "must be more than three times jobs.claim_lag and jobs.finish_linger, or it ends before it is renewed";
        self.expect(renewed, ["jobs", "lease"], lease);
        self.expect(
            modules.wall <= jobs.soft_timeout,
            ["modules", "wall"],
            "is longer than jobs.soft_timeout",
        );
        let pages = config.http.default_page <= config.http.max_page;
        self.expect(pages, ["http", "default_page"], "is more than http.max_page");
    }

    fn listeners(&mut self, config: &Config) {
        let http = config.server.roles.contains(&Role::Http);
        let api = config.listen.iter().any(|listen| listen.doors.contains(&Door::Api));
        self.expect(!http || api, ["listen"], "role http needs an address whose doors include api");
        let mut seen = BTreeMap::new();
        for (position, listen) in config.listen.iter().enumerate() {
            let index = position.to_string();
            self.expect(
                !listen.doors.is_empty(),
                ["listen", &index, "doors"],
                "an address without doors serves nothing",
            );
            if listen.address.port() != 0 {
                self.once(&mut seen, listen.address, ["listen", &index, "address"]);
            }
        }
    }

    fn queues(&mut self, config: &Config) {
        for (name, exception) in &config.queue {
            let queue: QueueName = match name.parse() {
                Ok(queue) => queue,
                Err(message) => {
                    self.expect(false, ["queue", name], message);
                    continue;
                }
            };
            let limits = config.queue_limits(&queue);
            let fits = limits.soft_timeout <= limits.hard_timeout;
            let key = if exception.soft_timeout.is_some() { "soft_timeout" } else { "hard_timeout" };
            self.expect(fits, ["queue", name, key], "leaves soft_timeout longer than hard_timeout");
        }
    }

    fn mail(&mut self, config: &Config) {
        let delimiter = config.mail.recipient_delimiter;
        let fits = delimiter.is_ascii_punctuation() && delimiter != '@';
        self.expect(fits, ["mail", "recipient_delimiter"], "must be a punctuation character other than @");
    }

    /// Says at `key` where `word` was used before, if it was.
    fn once<T: Ord + Display, const N: usize>(
        &mut self,
        seen: &mut BTreeMap<T, String>,
        word: T,
        key: [&str; N],
    ) {
        match seen.get(&word) {
            Some(first) => self.expect(false, key, format!("{word} is already taken at {first}")),
            None => {
                seen.insert(word, self.place(key));
            }
        }
    }

    fn customers(&mut self, config: &Config) {
        let (mut names, mut recipients, mut extensions, mut domains) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (position, customer) in config.customers.iter().enumerate() {
            let index = position.to_string();
            let name = ["customer", &index, "name"];
            self.expect(!customer.name.is_reserved(), name, "names starting with _ are headworks' own");
            self.once(&mut names, &customer.name, name);
            for (at, recipient) in customer.recipients.iter().enumerate() {
                self.once(&mut recipients, recipient, ["customer", &index, "recipients", &at.to_string()]);
            }
            for (at, domain) in customer.domains.iter().enumerate() {
                self.once(&mut domains, domain, ["customer", &index, "domains", &at.to_string()]);
            }
            if let Some(plus) = &customer.plus {
                let key = ["customer", &index, "plus"];
                self.once(&mut extensions, plus, key);
                self.expect(!config.spool.domains.is_empty(), key, "plus addresses need spool.domains");
            }
        }
    }

    fn rules(&mut self, config: &Config) {
        let mut names = BTreeMap::new();
        let mut set_before = BTreeSet::new();
        for (position, rule) in config.rules.iter().enumerate() {
            let index = position.to_string();
            self.once(&mut names, &rule.name, ["rule", &index, "name"]);
            self.rule(config, rule, &index);
            let set = [("category", &rule.set.category), ("type", &rule.set.type_)];
            for (coordinate, template) in set {
                if template.is_some() {
                    set_before.insert(coordinate);
                }
                let complete = !rule.stop || set_before.contains(coordinate);
                let message =
                    format!("ends the search, but neither it nor a rule before it sets {coordinate}");
                self.expect(complete, ["rule", &index], message);
            }
        }
    }

    fn rule(&mut self, config: &Config, rule: &Rule, index: &str) {
        if let Some(customer) = &rule.when.customer {
            let known: Vec<&str> = config.customers.iter().map(|known| known.name.as_str()).collect();
            if !known.contains(&customer.as_str()) {
                let near = nearest(customer.as_str(), known)
                    .map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
                let message = format!("there is no customer {customer}{near}");
                self.expect(false, ["rule", index, "when", "customer"], message);
            }
        }
        let empty =
            rule.when.attachment.as_ref().is_some_and(|like| like.name.is_none() && like.type_.is_none());
        self.expect(!empty, ["rule", index, "when", "attachment"], "says nothing about the attachment");
        let mut captures = BTreeSet::new();
        for (condition, pattern) in rule.when.patterns() {
            for name in pattern.capture_names() {
                let message =
                    format!("capture {name} of condition {condition} is also one of another condition");
                self.expect(captures.insert(name), ["rule", index, "when"], message);
            }
        }
        let set = [("category", &rule.set.category), ("type", &rule.set.type_), ("group", &rule.set.group)];
        for (coordinate, template) in set {
            for capture in template.iter().flat_map(|template| template.captures()) {
                let message = format!("no condition of this rule captures {capture}");
                self.expect(captures.contains(capture), ["rule", index, "set", coordinate], message);
            }
        }
    }
}
