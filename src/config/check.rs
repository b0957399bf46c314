//! Checks of settings that are valid one by one but not together.

use super::error::{Mistake, nearest};
use super::source::Fields;
use super::tree::{Node, Value};
use super::{Config, Door, KeyPath, Origin, Period, Role, Rule, Secret, SourceKind, StoreKind};
use crate::ids::QueueName;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

/// Smallest page cache that is of any use, in bytes.
const LEAST_CACHE: u64 = 1 << 20;

/// Adds every contradiction to `mistakes`. `tree` knows where each setting was written.
pub(super) fn check(config: &Config, tree: &Node, mistakes: &mut Vec<Mistake>) {
    let mut check = Check { tree, mistakes };
    check.places(config);
    check.store(config);
    check.times(config);
    check.listeners(config);
    check.queues(config);
    check.sources(config);
    check.customers(config);
    check.rules(config);
    check.kafka(config);
    check.object_stores(config);
    check.volumes(config);
}

pub(super) struct Check<'a> {
    tree: &'a Node,
    mistakes: &'a mut Vec<Mistake>,
}

impl Check<'_> {
    /// Unless `right`, says at `key` what is wrong.
    pub(super) fn expect<const N: usize>(&mut self, right: bool, key: [&str; N], message: impl Display) {
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

    /// Whether only `config.default.toml` says what stands at `key`.
    fn is_default<const N: usize>(&self, key: [&str; N]) -> bool {
        let origin = self.tree.at(&KeyPath::of(key)).map(|node| &node.origin);
        matches!(origin, Some(Origin::Default(_)))
    }

    fn places(&mut self, config: &Config) {
        let absolute = config.server.state_dir.is_absolute();
        self.expect(absolute, ["server", "state_dir"], "must be an absolute path, starting with /");
        self.expect(
            !config.server.roles.is_empty(),
            ["server", "roles"],
            "must name at least one role: http, mail, worker, relay, keeper",
        );
        let mut directories = BTreeMap::new();
        for (name, volume) in config.volume.iter() {
            let Some(path) = volume.directory() else { continue };
            let path = config.server.state_dir.join(path).display().to_string();
            self.once(&mut directories, path, ["volume", name.word(), "path"]);
        }
    }

    fn store(&mut self, config: &Config) {
        let url = config.store.url.reveal();
        let postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
        let (needed, given) = (config.store.kind == StoreKind::Postgres, !url.is_empty());
        self.expect(
            !needed || given,
            ["store", "kind"],
            "postgres needs store.url, store.url_file or store.url_credential",
        );
        self.expect(!given || postgres, ["store", "url"], "must begin with postgres://");
        let cache = config.store.sqlite_cache.bytes() >= LEAST_CACHE;
        self.expect(cache, ["store", "sqlite_cache"], "must be at least 1MiB");
    }

    fn times(&mut self, config: &Config) {
        let (jobs, keeper, modules) = (&config.jobs, &config.keeper, &config.modules);
        let positive: &[([&str; 2], Period)] = &[
            (["store", "statement_timeout"], config.store.statement_timeout),
            (["http", "request_timeout"], config.http.request_timeout),
            (["http", "body_window"], config.http.body_window),
            (["http", "body_time"], config.http.body_time),
            (["modules", "cpu"], modules.cpu),
            (["jobs", "lease"], jobs.lease),
            (["jobs", "poll_min"], jobs.poll_min),
            (["jobs", "sweep"], jobs.sweep),
            (["jobs", "backoff_base"], jobs.backoff_base),
            (["jobs", "soft_timeout"], jobs.soft_timeout),
            (["history", "retention"], config.history.retention),
            (["held", "keep"], config.held.keep),
            (["log", "retention"], config.log.retention),
            (["log", "unrelayed_retention"], config.log.unrelayed_retention),
            (["keeper", "promote_every"], keeper.promote_every),
            (["keeper", "expire_every"], keeper.expire_every),
            (["keeper", "partition_every"], keeper.partition_every),
            (["keeper", "spool_every"], keeper.spool_every),
            (["keeper", "pending_every"], keeper.pending_every),
            (["keeper", "tmp_every"], keeper.tmp_every),
        ];
        for &(key, period) in positive {
            self.expect(!period.get().is_zero(), key, "must be longer than zero");
        }
        self.expect(
            jobs.poll_min <= jobs.poll_max,
            ["jobs", "poll_min"],
            "must not be longer than jobs.poll_max",
        );
        self.expect(
            jobs.backoff_base <= jobs.backoff_max,
            ["jobs", "backoff_base"],
            "must not be longer than jobs.backoff_max",
        );
        let renewed = jobs.heartbeat() > jobs.claim_lag.get().max(jobs.finish_linger.get());
        let lease = "must be more than three times jobs.claim_lag and jobs.finish_linger, or it ends before it is renewed";
        self.expect(renewed, ["jobs", "lease"], lease);
        let keeps_bytes = config.log.unrelayed_bytes.bytes() > 0;
        self.expect(keeps_bytes, ["log", "unrelayed_bytes"], "must be at least one byte");
        let brings_bytes = config.http.body_rate.bytes() > 0;
        self.expect(brings_bytes, ["http", "body_rate"], "must be at least one byte");
        let room = modules.archive_decoder_bytes.bytes() <= modules.memory_bytes.bytes() / 2;
        let decoder = "must not be more than half of modules.memory_bytes";
        self.expect(room, ["modules", "archive_decoder_bytes"], decoder);
        let pages = config.http.default_page <= config.http.max_page;
        self.expect(pages, ["http", "default_page"], "must not be more than http.max_page");
    }

    fn listeners(&mut self, config: &Config) {
        let http = config.server.roles.contains(&Role::Http);
        let api = config.listen.iter().any(|listen| listen.doors.contains(&Door::Api));
        self.expect(!http || api, ["listen"], "role http needs an address that serves door api");
        let mut seen = BTreeMap::new();
        for (position, listen) in config.listen.iter().enumerate() {
            let index = position.to_string();
            self.expect(
                !listen.doors.is_empty(),
                ["listen", &index, "doors"],
                "must name at least one door: api",
            );
            if listen.address.port() != 0 {
                self.once(&mut seen, listen.address, ["listen", &index, "address"]);
            }
            let (certificate, key) = (listen.certificate.is_some(), listen.key.is_some());
            let needs = [
                ("key", certificate && !key, "is needed beside certificate"),
                ("certificate", key && !certificate, "is needed beside key"),
                (
                    "certificate",
                    listen.client_ca.is_some() && !certificate && !key,
                    "is needed beside client_ca",
                ),
            ];
            for (field, is_missing, what) in needs {
                self.expect(!is_missing, ["listen", &index, field], what);
            }
        }
    }

    fn queues(&mut self, config: &Config) {
        for (name, exception) in &config.queue {
            if let Err(message) = name.parse::<QueueName>() {
                self.expect(false, ["queue", name], message);
            }
            let positive = exception.soft_timeout.is_none_or(|limit| !limit.get().is_zero());
            self.expect(positive, ["queue", name, "soft_timeout"], "must be longer than zero");
        }
    }

    fn sources(&mut self, config: &Config) {
        for (name, source) in &config.sources {
            let at = name.as_str();
            self.expect(
                !name.is_reserved(),
                ["source", at],
                "names starting with _ are reserved for headworks",
            );
            let kind = source.kind;
            self.fields(["source", at], &format!("source of kind {kind}"), &kind.fields());
            let kept = source.key_ttl.is_none_or(|ttl| !ttl.get().is_zero());
            self.expect(kept, ["source", at, "key_ttl"], "must be longer than zero");
            let is_delimiter = |delimiter: char| delimiter.is_ascii_punctuation() && delimiter != '@';
            let fits = source.recipient_delimiter.is_none_or(is_delimiter);
            let key = ["source", at, "recipient_delimiter"];
            self.expect(fits, key, "must be a punctuation character other than @");
        }
        for kind in [SourceKind::Mail, SourceKind::Rest] {
            let mut names: Vec<_> = config.sources_in_use(kind).map(|(name, _)| name.as_str()).collect();
            names.sort_by_key(|name| !self.is_default(["source", name, "kind"]));
            let [first, others @ ..] = names.as_slice() else { continue };
            for other in others {
                let place = self.place(["source", first, "kind"]);
                let message = format!(
                    "source.{first} at {place} is of kind {kind} too, and only one of them can be in use; \
                     set `source.{first}.enabled = false` or this one's"
                );
                self.expect(false, ["source", other, "kind"], message);
            }
        }
        let takes_mail = config.server.roles.contains(&Role::Mail);
        let message =
            "role mail needs a source of kind mail that is enabled, or nobody would empty the spool";
        self.expect(!takes_mail || config.mail_source().is_some(), ["server", "roles"], message);
    }

    /// The fields of a section are those of its kind.
    pub(super) fn fields(&mut self, section: [&str; 2], whose: &str, fields: &Fields) {
        let Some(Value::Table(written)) = self.tree.at(&KeyPath::of(section)).map(|node| &node.value) else {
            return;
        };
        let stem = |key| Secret::SUFFIXES.iter().find_map(|end| str::strip_suffix(key, end)).unwrap_or(key);
        let written: Vec<_> = written.iter().map(|(key, _)| (key, stem(key))).collect();
        let known: Vec<&str> = ["kind"].iter().chain(fields.needed).chain(fields.optional).copied().collect();
        let [kind, name] = section;
        for (key, _) in written.iter().filter(|(_, field)| !known.contains(field)) {
            let message = format!("a {whose} does not have this setting; it has {}", known.join(", "));
            self.expect(false, [kind, name, key], message);
        }
        for field in fields.needed.iter().filter(|field| !written.iter().any(|(_, known)| known == *field)) {
            self.expect(false, section, format!("a {whose} needs `{field}`"));
        }
    }

    /// Says at `key` where `word` was used before, if it was.
    pub(super) fn once<T: Ord + Display, const N: usize>(
        &mut self,
        seen: &mut BTreeMap<T, String>,
        word: T,
        key: [&str; N],
    ) {
        match seen.get(&word) {
            Some(first) => self.expect(false, key, format!("{word} is already used at {first}")),
            None => {
                seen.insert(word, self.place(key));
            }
        }
    }

    fn customers(&mut self, config: &Config) {
        let (mut names, mut recipients, mut extensions, mut domains) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let has_domains = config.mail_source().is_some_and(|source| !source.domains.is_empty());
        for (position, customer) in config.customers.iter().enumerate() {
            let index = position.to_string();
            let name = ["customer", &index, "name"];
            self.expect(
                !customer.name.is_reserved(),
                name,
                "names starting with _ are reserved for headworks",
            );
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
                self.expect(has_domains, key, "plus addresses need a source of kind mail with domains");
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
                    format!("ends the search, but neither this rule nor an earlier one sets {coordinate}");
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
        self.expect(!empty, ["rule", index, "when", "attachment"], "needs `name` or `type`");
        let mut captures = BTreeSet::new();
        for (condition, pattern) in rule.when.patterns() {
            for name in pattern.capture_names() {
                let message = format!(
                    "capture {name} of condition {condition} has the same name as one of another condition"
                );
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
