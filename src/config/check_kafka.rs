//! Checks of `[kafka]`: what a login needs, which names clash, and which options of librdkafka are ours.

use super::check::Check;
use super::{Config, Kafka, SaslMechanism, TopicName};
use std::collections::BTreeMap;
use std::time::Duration;

/// Shortest transaction: Kafka refuses less.
const LEAST_TRANSACTION: Duration = Duration::from_secs(1);

/// Options that `[kafka] options` cannot give, and the setting to be used instead. A name that ends in `*` stands for all
/// that begin with it.
const REFUSED: &[(&str, &str)] = &[
    ("bootstrap.servers", "bootstrap"),
    ("metadata.broker.list", "bootstrap"),
    ("client.id", "client_id"),
    ("compression.type", "compression"),
    ("compression.codec", "compression"),
    ("partitioner", "partitioner"),
    ("transactional.id", "transactional_id_prefix"),
    ("transaction.timeout.ms", "transaction_timeout"),
    ("security.protocol", "security"),
    ("sasl.mechanism*", "sasl_mechanism"),
    ("sasl.username", "username"),
    ("sasl.password", "password"),
    ("sasl.oauthbearer.*", "oauth_token_endpoint"),
    ("enable.sasl.oauthbearer.*", "oauth_token_endpoint"),
    ("ssl.ca.*", "ca"),
    ("ssl.certificate.*", "certificate"),
    ("ssl.key.password", "key_password"),
    ("ssl.key.*", "key"),
    ("ssl.keystore.*", "certificate"),
    ("acks", ""),
    ("request.required.acks", ""),
    ("enable.idempotence", ""),
    ("enable.gapless.guarantee", ""),
    ("isolation.level", ""),
    ("max.in.flight*", ""),
    ("group.*", ""),
    ("enable.auto.*", ""),
    ("auto.offset.reset", ""),
    ("auto.commit.*", ""),
    ("enable.partition.eof", ""),
    ("message.timeout.ms", ""),
    ("delivery.timeout.ms", ""),
    ("queuing.strategy", ""),
];

impl Check<'_> {
    pub(super) fn kafka(&mut self, config: &Config) {
        let kafka = &config.kafka;
        let words =
            [("client_id", &kafka.client_id), ("transactional_id_prefix", &kafka.transactional_id_prefix)];
        for (name, word) in words {
            self.expect(!word.is_empty(), ["kafka", name], "must not be empty");
        }
        let long = kafka.transaction_timeout.get() >= LEAST_TRANSACTION;
        self.expect(long, ["kafka", "transaction_timeout"], "must be at least 1s");
        let fits = TopicName::has_only_allowed(&kafka.topic_prefix);
        self.expect(fits, ["kafka", "topic_prefix"], "may contain only [a-zA-Z0-9._-]");
        self.kafka_login(kafka);
        self.kafka_tls(kafka);
        self.kafka_options(kafka);
        self.kafka_topics(kafka);
    }

    fn kafka_login(&mut self, kafka: &Kafka) {
        let with_token = kafka.sasl_mechanism == SaslMechanism::OauthBearer;
        let by_password = [("username", kafka.username.is_empty()), ("password", kafka.password.is_empty())];
        let by_token = [
            ("oauth_token_endpoint", kafka.oauth_token_endpoint.is_empty()),
            ("oauth_client_id", kafka.oauth_client_id.is_empty()),
            ("oauth_client_secret", kafka.oauth_client_secret.is_empty()),
        ];
        let (needed, useless) =
            if with_token { (&by_token[..], &by_password[..]) } else { (&by_password[..], &by_token[..]) };
        if !kafka.security.has_login() {
            for (name, _) in by_password.iter().chain(&by_token).filter(|(_, is_empty)| !is_empty) {
                let message = "has no effect: only kafka.security = sasl_ssl or sasl_plaintext has a login";
                self.expect(false, ["kafka", name], message);
            }
            return;
        }
        let mechanism = kafka.sasl_mechanism.word();
        for (name, _) in needed.iter().filter(|(_, is_empty)| *is_empty) {
            self.expect(false, ["kafka", name], format!("kafka.sasl_mechanism = {mechanism} needs it"));
        }
        for (name, _) in useless.iter().filter(|(_, is_empty)| !is_empty) {
            self.expect(
                false,
                ["kafka", name],
                format!("kafka.sasl_mechanism = {mechanism} does not use it"),
            );
        }
        let message =
            "must be false with kafka.sasl_mechanism = OAUTHBEARER: topics cannot be created with a token";
        self.expect(!with_token || !kafka.create_topics, ["kafka", "create_topics"], message);
        let url = &kafka.oauth_token_endpoint;
        let is_url = url.is_empty() || url.starts_with("https://") || url.starts_with("http://");
        self.expect(is_url, ["kafka", "oauth_token_endpoint"], "must begin with https:// or http://");
    }

    fn kafka_tls(&mut self, kafka: &Kafka) {
        let (certificate, key) = (kafka.certificate.is_some(), kafka.key.is_some());
        let files = [("ca", kafka.ca.is_some()), ("certificate", certificate), ("key", key)];
        for (name, is_given) in files {
            let message = "has no effect: only kafka.security = ssl or sasl_ssl has TLS";
            self.expect(!is_given || kafka.security.has_tls(), ["kafka", name], message);
        }
        self.expect(!certificate || key, ["kafka", "certificate"], "needs kafka.key");
        self.expect(!key || certificate, ["kafka", "key"], "needs kafka.certificate");
        let locked = kafka.key_password.is_empty() || key;
        self.expect(locked, ["kafka", "key_password"], "needs kafka.key");
    }

    fn kafka_options(&mut self, kafka: &Kafka) {
        for option in kafka.options.keys() {
            let is_meant = |name: &str| match name.strip_suffix('*') {
                Some(start) => option.starts_with(start),
                None => option == name,
            };
            let Some((_, instead)) = REFUSED.iter().find(|(name, _)| is_meant(name)) else { continue };
            let message = match *instead {
                "" => {
                    "the relay sets it itself, or records would be lost, doubled or out of order".to_owned()
                }
                setting => format!("use kafka.{setting}"),
            };
            self.expect(false, ["kafka", "options", option], message);
        }
    }

    /// Every name is given once. Those that are made of modules are compared with them when the modules are known.
    fn kafka_topics(&mut self, kafka: &Kafka) {
        let mut names = BTreeMap::new();
        self.once(&mut names, kafka.control_topic.to_string(), ["kafka", "control_topic"]);
        if let Some(name) = &kafka.dead_letter_topic {
            self.once(&mut names, name.to_string(), ["kafka", "dead_letter_topic"]);
        }
        for (log_topic, topic) in &kafka.topics {
            if let Some(name) = &topic.name {
                self.once(&mut names, name.to_string(), ["kafka", "topics", log_topic, "name"]);
            }
            let kept = topic.retention.is_none_or(|period| !period.get().is_zero());
            let key = ["kafka", "topics", log_topic, "retention"];
            self.expect(kept, key, "must be longer than zero");
        }
        let kept = kafka.defaults.retention.is_none_or(|period| !period.get().is_zero());
        self.expect(kept, ["kafka", "defaults", "retention"], "must be longer than zero");
        let mut grouped = BTreeMap::new();
        for (group, settings) in &kafka.group {
            for (at, log_topic) in settings.topics.iter().enumerate() {
                let key = ["kafka", "group", group.as_str(), "topics", &at.to_string()];
                self.once(&mut grouped, log_topic.clone(), key);
            }
        }
    }
}
