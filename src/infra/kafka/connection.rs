//! How to reach Kafka, and what all clients made from it share.

use super::context::Context;
use super::failure::Failure;
use super::probe;
use super::trouble::{self, Trouble};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shortest time between two handshakes that look for the cause of a failed one.
const PROBE_PAUSE: Duration = Duration::from_secs(60);

/// How to reach Kafka.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Brokers to connect to first, `host:port`.
    pub bootstrap: Vec<String>,
    /// Name under which the brokers see us.
    pub client_id: String,
    /// Compression, in librdkafka's words.
    pub compression: String,
    /// Partitioner, in librdkafka's words.
    pub partitioner: String,
    /// TLS; `None` for none.
    pub tls: Option<Tls>,
    /// Login; `None` for none.
    pub login: Option<Login>,
    /// Further settings of librdkafka.
    pub options: BTreeMap<String, String>,
}

/// Files for TLS. They are read whenever a client is made.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// CA certificates; `None` for those of the system.
    pub ca: Option<PathBuf>,
    /// The client's certificate and key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Password of the key; empty for none.
    pub key_password: String,
}

/// A login.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// With a password.
    Password {
        /// PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
        mechanism: String,
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// With a token of an issuer.
    Token {
        /// Where the issuer hands out tokens.
        endpoint: String,
        /// Our id there.
        client_id: String,
        /// Our secret there.
        client_secret: String,
        /// The scope that is asked for; empty for none.
        scope: String,
    },
}

/// Whoever tells people about a connection.
pub trait Observer: Send + Sync {
    /// Kafka cannot be used. Comes many times a second while that lasts.
    fn troubled(&self, why: &str);
    /// Kafka can be used again.
    fn recovered(&self);
    /// Figures of a producer, every few seconds.
    fn measured(&self, client: &str, figures: Figures);
}

/// Figures of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Records that were not acknowledged yet.
    pub waiting_records: u64,
    /// Brokers to which it is connected.
    pub brokers: usize,
    /// Bytes sent since it was made.
    pub sent_bytes: u64,
    /// Longest recent round trip to a broker.
    pub round_trip: Duration,
}

/// How to reach Kafka, and whether it can be reached. Clones share that.
#[derive(Clone)]
pub struct Connection {
    settings: Arc<Settings>,
    state: Arc<Mutex<State>>,
    observer: Option<Arc<dyn Observer>>,
    name: Arc<str>,
    batch_bytes: Option<u32>,
}

#[derive(Default)]
struct State {
    trouble: Option<Trouble>,
    probed_at: Option<Instant>,
}

impl Connection {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
            state: Arc::default(),
            observer: None,
            name: "relay".into(),
            batch_bytes: None,
        }
    }

    /// The same with somebody who tells people.
    #[must_use]
    pub fn observed(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// The same for clients whose metrics have `name` as label `client`. Names are a fixed set.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self { name: name.into(), ..self.clone() }
    }

    /// The same for producers whose batches are at most this large: less than the smallest `max.message.bytes` of their
    /// topics, because that counts the whole batch.
    #[must_use]
    pub fn with_batch_bytes(&self, bytes: u32) -> Self {
        Self { batch_bytes: Some(bytes), ..self.clone() }
    }

    /// What stands between us and Kafka, with the setting that is at fault where there is one; `None` if Kafka answered last.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.with(|state| state.trouble.as_ref().map(ToString::to_string))
    }

    /// How to reach Kafka.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The label of metrics.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Kafka answered.
    pub(super) fn answers(&self) {
        if self.with(|state| state.trouble.take().is_some()) {
            self.observer.iter().for_each(|observer| observer.recovered());
        }
    }

    /// A producer has figures.
    pub(super) fn measured(&self, figures: Figures) {
        self.observer.iter().for_each(|observer| observer.measured(&self.name, figures));
    }

    /// librdkafka reports that a broker cannot be used. Repeats itself many times a second.
    pub(super) fn failed(&self, code: Option<RDKafkaErrorCode>, reason: &str) {
        let Some(found) = trouble::of(code, reason, &self.settings) else { return };
        let known = self.with(|state| state.trouble.clone());
        let found = match known {
            // The first says more than "all brokers are down" and "disconnected" after it.
            Some(known) if !found.says_more_than(&known) => known,
            _ if found.is_of_certificate() => self.probed(reason).unwrap_or(found),
            _ => found,
        };
        self.troubled(found);
    }

    fn troubled(&self, found: Trouble) {
        let why = found.to_string();
        self.with(|state| state.trouble = Some(found));
        self.observer.iter().for_each(|observer| observer.troubled(&why));
    }

    /// Whether a new client would read certificates or a login that have changed since.
    pub(super) fn may_need_new_client(&self) -> bool {
        self.with(|state| state.trouble.as_ref().is_some_and(Trouble::is_of_files))
    }

    /// The reason to tell: what stands between us and Kafka, else `otherwise`.
    pub(super) fn reason(&self, otherwise: impl ToString) -> String {
        self.trouble().unwrap_or_else(|| otherwise.to_string())
    }

    /// Shakes hands with the broker that `reason` names, unless that was done a moment ago.
    fn probed(&self, reason: &str) -> Option<Trouble> {
        let now = Instant::now();
        let is_due = self.with(|state| {
            let due = state.probed_at.is_none_or(|at| now.duration_since(at) >= PROBE_PAUSE);
            if due {
                state.probed_at = Some(now);
            }
            due
        });
        let broker = trouble::broker_of(reason).or(self.settings.bootstrap.first().map(String::as_str))?;
        is_due.then(|| probe::handshake(broker, &self.settings)).flatten()
    }

    fn with<T>(&self, use_state: impl FnOnce(&mut State) -> T) -> T {
        use_state(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a client with these properties beside those of the connection.
    pub(super) fn client<T: FromClientConfigAndContext<Context>>(
        &self,
        own: &[(&str, &str)],
    ) -> Result<T, Failure> {
        let mut config = self.config();
        for (name, value) in own {
            config.set(*name, *value);
        }
        config.create_with_context(Context::new(self.clone())).map_err(|error| {
            let found = trouble::of_creation(&error);
            let reason = found.to_string();
            self.troubled(found);
            Failure::Lost { reason, fenced: false }
        })
    }

    /// The properties that every client has.
    fn config(&self) -> ClientConfig {
        let settings = &*self.settings;
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        config
            .set("bootstrap.servers", settings.bootstrap.join(","))
            .set("client.id", &settings.client_id)
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.keepalive.enable", "true")
            .set("topic.metadata.refresh.interval.ms", "60000")
            .set("topic.metadata.propagation.max.ms", "3000");
        for (name, value) in &settings.options {
            config.set(name, value);
        }
        let protocol = match (&settings.tls, &settings.login) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        let mut file = |name: &str, path: &PathBuf| {
            config.set(name, path.display().to_string());
        };
        if let Some(tls) = &settings.tls {
            tls.ca.iter().for_each(|ca| file("ssl.ca.location", ca));
            if let Some((certificate, key)) = &tls.certificate {
                file("ssl.certificate.location", certificate);
                file("ssl.key.location", key);
            }
            if !tls.key_password.is_empty() {
                config.set("ssl.key.password", &tls.key_password);
            }
        }
        match &settings.login {
            Some(Login::Password { mechanism, username, password }) => {
                config.set("sasl.mechanism", mechanism);
                config.set("sasl.username", username).set("sasl.password", password);
            }
            Some(Login::Token { .. }) => {
                config.set("sasl.mechanism", "OAUTHBEARER");
            }
            None => {}
        }
        config
    }

    /// The properties that producers have besides.
    pub(super) fn of_producers(&self) -> Vec<(&'static str, String)> {
        let mut own = vec![
            ("compression.type", self.settings.compression.clone()),
            ("partitioner", self.settings.partitioner.clone()),
            ("enable.idempotence", "true".to_owned()),
        ];
        let defaults = [
            // The broker decides what is too large; what waits here is bounded by the caller.
            ("message.max.bytes", "1000000000"),
            ("queue.buffering.max.kbytes", "1048576"),
            ("statistics.interval.ms", "5000"),
            ("linger.ms", "2"),
        ];
        let defaults = defaults.into_iter().filter(|(name, _)| !self.settings.options.contains_key(*name));
        own.extend(defaults.map(|(name, value)| (name, value.to_owned())));
        own.extend(self.batch_bytes.map(|bytes| ("batch.size", bytes.to_string())));
        own
    }
}
