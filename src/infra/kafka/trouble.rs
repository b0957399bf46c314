//! Which setting is at fault where Kafka cannot be used.

use super::connection::{Login, Settings};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::fmt;

/// What stands between us and Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    kind: Kind,
    /// The setting that is at fault, if one is known to be.
    setting: Option<&'static str>,
    reason: String,
}

/// From what says least to what says most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// No broker can be used, for whatever reason.
    Away,
    /// A connection broke.
    Broken,
    /// The security of the connection does not fit, or the broker went away at the first words.
    Security,
    /// A connection was refused.
    Refused,
    /// The broker's certificate was not accepted, for one of several reasons.
    Certificate,
    /// The cause is known.
    Known,
}

/// TLS alerts with which a broker refuses a client's certificate, or says that it wants one.
const CERTIFICATE_ALERTS: [&str; 8] = ["40", "42", "43", "44", "45", "46", "48", "116"];

impl Trouble {
    /// One whose cause is known.
    pub(super) fn known(setting: &'static str, reason: String) -> Self {
        Self { kind: Kind::Known, setting: Some(setting), reason }
    }

    /// Whether it is to be told in place of `other`.
    pub(super) fn says_more_than(&self, other: &Self) -> bool {
        self.kind > other.kind
    }

    /// Whether a handshake of our own would find the cause.
    pub(super) fn is_of_certificate(&self) -> bool {
        self.kind == Kind::Certificate
    }

    /// Whether certificates or a login were refused, which may be in files that have changed.
    pub(super) fn is_of_files(&self) -> bool {
        matches!(self.kind, Kind::Certificate | Kind::Known)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.setting.iter().try_for_each(|setting| write!(f, "{setting}: "))?;
        f.write_str(&self.reason)
    }
}

/// What librdkafka means by an error of the connection; `None` if it is no such error.
pub(super) fn of(code: Option<Code>, reason: &str, settings: &Settings) -> Option<Trouble> {
    let found = |kind, setting, reason: String| Some(Trouble { kind, setting, reason });
    let known = |setting, reason| Some(Trouble::known(setting, reason));
    let broker = broker_of(reason).unwrap_or("the broker");
    let text = shortened(reason);
    if alert_of(reason).is_some_and(|alert| CERTIFICATE_ALERTS.contains(&alert)) {
        let given = settings.tls.as_ref().is_some_and(|tls| tls.certificate.is_some());
        let what =
            if given { "does not accept the client's certificate" } else { "wants a client certificate" };
        return known("kafka.certificate", format!("{broker} {what}"));
    }
    match code {
        None => known("kafka.oauth_token_endpoint", text),
        Some(Code::Authentication) => {
            known(login_setting(reason, settings), format!("{broker} refuses the login: {text}"))
        }
        Some(Code::Resolve) => found(Kind::Known, Some("kafka.bootstrap"), text),
        Some(Code::SSL) if reason.contains("certificate verify failed") => {
            found(Kind::Certificate, Some("kafka.ca"), format!("the certificate of {broker} is not accepted"))
        }
        Some(Code::SSL | Code::BrokerTransportFailure)
            if code == Some(Code::SSL) || reason.contains("SSL handshake failed") =>
        {
            found(Kind::Security, Some("kafka.security"), format!("no TLS with {broker}: {text}"))
        }
        Some(Code::BrokerTransportFailure) if is_of_security(reason) => {
            let text = format!("{broker} ends the connection, perhaps because it expects TLS or a login");
            found(Kind::Security, Some("kafka.security"), text)
        }
        // A TLS alert, read as a length.
        _ if reason.contains("Invalid response size") => {
            let text = format!("the answer of {broker} is not Kafka's, perhaps because it expects TLS");
            found(Kind::Security, Some("kafka.security"), text)
        }
        Some(Code::BrokerTransportFailure) if reason.contains("Connect to") => {
            found(Kind::Refused, Some("kafka.bootstrap"), format!("no broker answers at {broker}: {text}"))
        }
        Some(Code::BrokerTransportFailure | Code::OperationTimedOut) => {
            found(Kind::Broken, None, format!("connection to {broker}: {text}"))
        }
        Some(Code::AllBrokersDown) => found(Kind::Away, None, "no broker can be used".to_owned()),
        _ => None,
    }
}

/// Whether a broker ended the connection at our first request, as one does that expects TLS or a login.
pub(super) fn is_of_security(reason: &str) -> bool {
    reason.contains("security.protocol") || reason.contains("in state APIVERSION_QUERY")
}

/// Which part of the login is refused.
fn login_setting(reason: &str, settings: &Settings) -> &'static str {
    let mechanism = reason.contains("nsupported") || reason.contains("not enabled");
    match &settings.login {
        _ if mechanism => "kafka.sasl_mechanism",
        Some(Login::Token { .. }) => "kafka.oauth_client_id",
        _ => "kafka.password",
    }
}

/// Why a client could not even be made.
pub(super) fn of_creation(error: &KafkaError) -> Trouble {
    let (reason, name) = match error {
        // Never the value, which may be a secret.
        KafkaError::ClientConfig(_, why, name, _) => (format!("{name}: {why}"), name.clone()),
        KafkaError::ClientCreation(why) => (why.clone(), String::new()),
        other => (other.to_string(), String::new()),
    };
    let settings = [
        ("ssl.ca.location", "kafka.ca"),
        ("ssl.certificate.location", "kafka.certificate"),
        ("ssl.key.location", "kafka.key"),
        ("ssl.key.password", "kafka.key_password"),
        ("bootstrap.servers", "kafka.bootstrap"),
    ];
    let is_meant = |(property, _): &&(&str, &str)| name == *property || reason.contains(property);
    let setting = settings.iter().find(is_meant).map_or("kafka.options", |(_, setting)| setting);
    Trouble::known(setting, reason)
}

/// The broker in `sasl_ssl://127.0.0.1:20508/bootstrap: SSL handshake failed: …`; without TLS or login there is no scheme.
pub(super) fn broker_of(reason: &str) -> Option<&str> {
    parts(reason).map(|(broker, _)| broker)
}

/// The broker of a reason, and the text behind it. A coordinator is named by what it does, and then by its address:
/// `TxnCoordinator: 127.0.0.1:20508: Connect to …`.
fn parts(reason: &str) -> Option<(&str, &str)> {
    let reason = reason.split_once("Coordinator: ").map_or(reason, |(_, reason)| reason);
    let (name, text) = reason.split_once(": ")?;
    let name = name.split_once("://").map_or(name, |(_, name)| name);
    let broker = name.rsplit_once('/').map_or(name, |(broker, _)| broker);
    (broker.contains(':') && !broker.contains(' ')).then_some((broker, text))
}

/// The part of a reason that a person reads: without the broker before it and the circumstances behind it.
fn shortened(reason: &str) -> String {
    let text = parts(reason).map_or(reason, |(_, text)| text);
    text.rsplit_once(" (after ").map_or(text, |(text, _)| text).trim().to_owned()
}

/// The number of the TLS alert that a reason names.
fn alert_of(reason: &str) -> Option<&str> {
    let (_, rest) = reason.split_once("SSL alert number ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()
}

#[cfg(test)]
mod tests {
    use super::super::connection::{Settings, Tls};
    use super::{Code, broker_of, of};
    use std::collections::BTreeMap;

    fn settings() -> Settings {
        Settings {
            bootstrap: vec!["kafka:9093".to_owned()],
            client_id: "headworks".to_owned(),
            compression: "zstd".to_owned(),
            partitioner: "murmur2_random".to_owned(),
            tls: Some(Tls::default()),
            login: None,
            options: BTreeMap::new(),
        }
    }

    #[test]
    fn the_broker_is_found_in_every_form_of_a_reason() {
        let reason =
            "sasl_ssl://127.0.0.1:20508/bootstrap: SSL handshake failed: error (after 6ms in state X)";
        assert_eq!(broker_of(reason), Some("127.0.0.1:20508"));
        assert_eq!(broker_of("127.0.0.1:20508/1: Connect to x failed"), Some("127.0.0.1:20508"));
        assert_eq!(
            broker_of("TxnCoordinator: 127.0.0.1:20508: Connect to x failed"),
            Some("127.0.0.1:20508")
        );
        assert_eq!(broker_of("TxnCoordinator/1: Disconnected"), None);
        assert_eq!(broker_of("1/1 brokers are down"), None);
        assert_eq!(broker_of("see https://example.com/x"), None);
    }

    #[test]
    fn what_librdkafka_says_becomes_a_line_with_the_setting() {
        let told = |code, reason| of(Some(code), reason, &settings()).map(|trouble| trouble.to_string());
        let refused = "ssl://kafka:9093/bootstrap: Connect to ipv4#10.0.0.1:9093 failed: Connection refused (after 0ms in state CONNECT)";
        assert_eq!(
            told(Code::BrokerTransportFailure, refused).as_deref(),
            Some(
                "kafka.bootstrap: no broker answers at kafka:9093: Connect to ipv4#10.0.0.1:9093 failed: Connection refused"
            )
        );
        let alert = "ssl://kafka:9093/1: SSL handshake failed: ssl/record: error: tls alert bad certificate: SSL alert number 42 (after 1ms)";
        assert_eq!(
            told(Code::BrokerTransportFailure, alert).as_deref(),
            Some("kafka.certificate: kafka:9093 wants a client certificate")
        );
        assert_eq!(told(Code::Fatal, "fenced"), None);
    }

    #[test]
    fn what_says_more_is_told_and_stays() {
        let found = |code, reason| of(Some(code), reason, &settings()).unwrap();
        let down = found(Code::AllBrokersDown, "1/1 brokers are down");
        let verify = found(Code::SSL, "ssl://kafka:9093/1: SSL handshake failed: certificate verify failed");
        assert!(
            verify.says_more_than(&down) && !down.says_more_than(&verify) && !verify.says_more_than(&verify)
        );
        assert!(verify.is_of_certificate());
        let ended = "kafka:9093/1: Disconnected: verify that security.protocol is correctly configured (after 1ms in state APIVERSION_QUERY)";
        let ended = found(Code::BrokerTransportFailure, ended);
        let refused =
            found(Code::BrokerTransportFailure, "kafka:9093/1: Connect to x failed: Connection refused");
        assert!(ended.to_string().contains("perhaps because it expects TLS"));
        assert!(
            refused.says_more_than(&ended) && !ended.says_more_than(&refused),
            "the broker was about to go"
        );
    }
}
