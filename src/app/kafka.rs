//! From `[kafka]` to a connection.

use crate::config::{Kafka, SaslMechanism};
use crate::infra::kafka::{Connection, Login, Settings, Tls};

/// The connection that the settings describe; `None` without a Kafka. Connects to nothing yet.
#[must_use]
pub fn kafka(settings: &Kafka) -> Option<Connection> {
    settings.is_used().then(|| Connection::new(plain(settings)))
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
