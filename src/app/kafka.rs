//! From `[kafka]` to a connection, which the log and metrics tell of.

use crate::config::{Kafka, SaslMechanism};
use crate::infra::kafka::{Connection, Figures, Login, Observer, Settings, Tls};
use crate::infra::telemetry::condition::Condition;
use crate::infra::telemetry::metrics::{KAFKA_BROKERS, KAFKA_ROUND_TRIP, KAFKA_SENT_BYTES, KAFKA_WAITING};
use std::sync::Arc;

/// The connection that the settings describe; `None` without a Kafka. Connects to nothing yet.
#[must_use]
pub fn kafka(settings: &Kafka) -> Option<Connection> {
    settings.is_used().then(|| Connection::new(plain(settings)).observed(Arc::new(Told::default())))
}

fn plain(settings: &Kafka) -> Settings {
    Settings {
        bootstrap: settings.bootstrap.iter().map(ToString::to_string).collect(),
        client_id: settings.client_id.clone(),
        compression: settings.compression.word().to_owned(),
        partitioner: settings.partitioner.word().to_owned(),
        tls: settings.security.has_tls().then(|| Tls {
            ca: settings.ca.clone(),
            certificate: settings.certificate.clone().zip(settings.key.clone()),
            key_password: settings.key_password.reveal().to_owned(),
        }),
        login: settings.security.has_login().then(|| login(settings)),
        options: settings.options.clone(),
    }
}

fn login(settings: &Kafka) -> Login {
    match settings.sasl_mechanism {
        SaslMechanism::OauthBearer => Login::Token {
            endpoint: settings.oauth_token_endpoint.clone(),
            client_id: settings.oauth_client_id.clone(),
            client_secret: settings.oauth_client_secret.reveal().to_owned(),
            scope: settings.oauth_scope.clone(),
        },
        mechanism => Login::Password {
            mechanism: mechanism.word().to_owned(),
            username: settings.username.clone(),
            password: settings.password.reveal().to_owned(),
        },
    }
}

/// One log line when Kafka cannot be used, and one when it can be again.
struct Told(Condition);

impl Default for Told {
    fn default() -> Self {
        Self(Condition::new("Kafka cannot be used", "Kafka can be used again"))
    }
}

impl Observer for Told {
    fn troubled(&self, why: &str) {
        self.0.holds(&why);
    }

    fn recovered(&self) {
        self.0.ends();
    }

    fn measured(&self, client: &str, figures: Figures) {
        let gauge =
            |name: &'static str, value: f64| metrics::gauge!(name, "client" => client.to_owned()).set(value);
        gauge(KAFKA_WAITING, figures.waiting_records as f64);
        gauge(KAFKA_BROKERS, figures.brokers as f64);
        gauge(KAFKA_SENT_BYTES, figures.sent_bytes as f64);
        gauge(KAFKA_ROUND_TRIP, figures.round_trip.as_secs_f64());
    }
}
