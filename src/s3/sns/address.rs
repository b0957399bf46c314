//! Addresses in an envelope. Whoever sends a request chooses them, so each is compared with a shape; nothing is parsed and
//! then believed.

use percent_encoding::percent_decode_str;
use std::fmt;

/// An address that passed its rule: the only thing that may be fetched. Whoever fetches it follows no redirect, sends no
/// credentials, and refuses names that resolve to private addresses.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(String);

/// Where SNS may be, beside the hosts of AWS: origins of an operator's own, such as `sns.example.org`,
/// `https://sns.example.org:8443` or `http://127.0.0.1:4566`. Without a scheme, `https` and its port are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    origins: Vec<String>,
}

/// Domains of SNS in the partitions `aws` and `aws-cn`.
const DOMAINS: [&str; 2] = [".amazonaws.com", ".amazonaws.com.cn"];

impl Address {
    /// The address, for whoever fetches it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Without the query: that of a confirmation holds its token.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.split('?').next().unwrap_or_default())
    }
}

impl Hosts {
    /// Those of AWS, and these.
    #[must_use]
    pub fn new(origins: &[String]) -> Self {
        let whole = |origin: &String| {
            if origin.contains("://") { origin.clone() } else { format!("https://{origin}") }
        };
        Self { origins: origins.iter().map(whole).collect() }
    }

    /// The address of a signing certificate; `None` unless it is
    /// `https://sns.<region of the topic>.amazonaws.com/SimpleNotificationService-<hex>.pem`, or that path at one of an
    /// operator's `https` origins.
    #[must_use]
    pub fn certificate(&self, url: &str, topic: &str) -> Option<Address> {
        let path = self.path_of(url, topic)?;
        let name = path.strip_prefix("/SimpleNotificationService-")?.strip_suffix(".pem")?;
        let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
        (fits && url.starts_with("https://")).then(|| Address(url.to_owned()))
    }

    /// The address that confirms a subscription of `topic` with `token`; `None` if its origin is not allowed, or it does
    /// anything else.
    #[must_use]
    pub fn subscribe(&self, url: &str, topic: &str, token: &str) -> Option<Address> {
        let query = self.path_of(url, topic)?.strip_prefix("/?")?;
        let mut left = vec![("Action", "ConfirmSubscription"), ("TopicArn", topic), ("Token", token)];
        for parameter in query.split('&') {
            let (name, value) = parameter.split_once('=')?;
            let value: Vec<u8> = percent_decode_str(value).collect();
            match left.iter().position(|(wanted, _)| *wanted == name) {
                Some(place) if left[place].1.as_bytes() == value => drop(left.remove(place)),
                None if name == "Version" => {}
                _ => return None,
            }
        }
        left.is_empty().then(|| Address(url.to_owned()))
    }

    /// What follows the origin, if that is allowed.
    fn path_of<'u>(&self, url: &'u str, topic: &str) -> Option<&'u str> {
        let is_plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'\\' | b'#' | b'"' | b'<' | b'>');
        if !url.bytes().all(is_plain) {
            return None;
        }
        let begin = url.find("://")? + 3;
        let end = begin + url[begin..].find('/')?;
        let (origin, path) = url.split_at(end);
        let own = self.origins.iter().any(|allowed| allowed == origin);
        let host = origin.strip_prefix("https://").map(|host| host.strip_suffix(":443").unwrap_or(host));
        let of_aws = host.and_then(region_of).is_some_and(|region| region_of_topic(topic) == Some(region));
        (own || of_aws).then_some(path)
    }
}

/// The region in `sns.<region>.amazonaws.com`; `None` for any other host. A part like `s3-us-west-2` is no region: it
/// would be a bucket called `sns`, which anybody can own.
fn region_of(host: &str) -> Option<&str> {
    let rest = host.strip_prefix("sns.")?;
    let region = DOMAINS.iter().find_map(|domain| rest.strip_suffix(domain))?;
    let parts: Vec<&str> = region.split('-').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return None };
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let fits = (2..=4).contains(&first.len())
        && letters(first)
        && !middle.is_empty()
        && middle.iter().all(letters)
        && (1..=2).contains(&last.len())
        && last.bytes().all(|b| b.is_ascii_digit());
    fits.then_some(region)
}

/// The region in `arn:<partition>:sns:<region>:<account>:<name>`.
fn region_of_topic(topic: &str) -> Option<&str> {
    let parts: Vec<&str> = topic.split(':').collect();
    match parts[..] {
        ["arn", _, "sns", region, _, _] => Some(region),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "arn:aws:sns:eu-central-1:111122223333:intake-objects";
    const PATH: &str = "/SimpleNotificationService-0123456789abcdef.pem";

    fn certificate(url: &str) -> bool {
        Hosts::default().certificate(url, TOPIC).is_some()
    }

    #[test]
    fn only_the_sns_of_the_topics_region_has_certificates() {
        assert!(certificate(&format!("https://sns.eu-central-1.amazonaws.com{PATH}")));
        assert!(certificate(&format!("https://sns.eu-central-1.amazonaws.com:443{PATH}")));
        assert!(certificate(&format!("https://sns.eu-central-1.amazonaws.com.cn{PATH}")));
        for origin in [
            "http://sns.eu-central-1.amazonaws.com",
            "https://sns.eu-west-1.amazonaws.com",
            "https://sns.eu-central-1.amazonaws.com:8443",
            "https://user@sns.eu-central-1.amazonaws.com",
            "https://sns.eu-central-1.amazonaws.com@evil.example",
            "https://sns.eu-central-1.amazonaws.com.evil.example",
            "https://evil.example/sns.eu-central-1.amazonaws.com",
            "https://evil.example\\.sns.eu-central-1.amazonaws.com",
            "https://evil.example?sns.eu-central-1.amazonaws.com",
            "https://evil.example#sns.eu-central-1.amazonaws.com",
            "https://SNS.eu-central-1.amazonaws.com",
            "https://sns.eu-central-1.amazonaws.com.",
            "https://sns.amazonaws.com",
            "https://sns..amazonaws.com",
            "https://sns.s3-us-west-2.amazonaws.com",
            "https://sns.s3.eu-central-1.amazonaws.com",
            "https://sns.eu-central-1.evilamazonaws.com",
            "https://xsns.eu-central-1.amazonaws.com",
            "https://169.254.169.254",
            "https://[::1]",
            "ftp://sns.eu-central-1.amazonaws.com",
            "//sns.eu-central-1.amazonaws.com",
            " https://sns.eu-central-1.amazonaws.com",
            "",
        ] {
            assert!(!certificate(&format!("{origin}{PATH}")), "{origin}");
        }
    }

    #[test]
    fn a_bucket_called_sns_is_no_region() {
        for host in [
            "sns.s3-us-west-2.amazonaws.com",
            "sns.s3.amazonaws.com",
            "sns.us-west.amazonaws.com",
            "sns.a-b-123.amazonaws.com",
        ] {
            assert_eq!(region_of(host), None, "{host}");
        }
        assert_eq!(region_of("sns.us-gov-west-1.amazonaws.com"), Some("us-gov-west-1"));
    }

    #[test]
    fn a_certificate_has_one_shape_of_path() {
        for path in [
            "/SimpleNotificationService-0123.pem?x=1",
            "/SimpleNotificationService-0123.pem#x",
            "/SimpleNotificationService-01/../../x.pem",
            "/SimpleNotificationService-.pem",
            "/SimpleNotificationService-ABCD.pem",
            "/other.pem",
            "/",
            "",
        ] {
            assert!(!certificate(&format!("https://sns.eu-central-1.amazonaws.com{path}")), "{path}");
        }
    }

    fn subscribe(query: &str) -> bool {
        let url = format!("https://sns.eu-central-1.amazonaws.com/?{query}");
        Hosts::default().subscribe(&url, TOPIC, "t0k").is_some()
    }

    #[test]
    fn a_confirmation_confirms_this_topic_with_this_token_and_does_nothing_else() {
        let good = format!("Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t0k");
        assert!(subscribe(&good));
        assert!(subscribe(&good.replace(':', "%3A")));
        for (from, to) in [
            ("ConfirmSubscription", "Unsubscribe"),
            ("Token=t0k", "Token=other"),
            ("intake-objects", "another"),
            ("&Token=t0k", ""),
            ("&Token=t0k", "&Token=t0k&Token=t0k"),
            ("&Token=t0k", "&Token=t0k&Action=DeleteTopic"),
            ("&Token=t0k", "&Token=t0k&AuthenticateOnUnsubscribe=true"),
            ("&Token=t0k", "&Token=t0k&"),
        ] {
            assert!(!subscribe(&good.replace(from, to)), "{to}");
        }
        let elsewhere = format!("https://sns.eu-central-1.amazonaws.com/x?{good}");
        assert_eq!(Hosts::default().subscribe(&elsewhere, TOPIC, "t0k"), None);
    }

    #[test]
    fn an_operators_origin_is_compared_whole() {
        let hosts = Hosts::new(&["sns.example.org".into(), "http://127.0.0.1:4566".into()]);
        let query = format!("/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t0k");
        for (origin, subscribes, certifies) in [
            ("https://sns.example.org", true, true),
            ("http://127.0.0.1:4566", true, false),
            ("http://sns.example.org", false, false),
            ("https://sns.example.org:444", false, false),
            ("http://127.0.0.1:45660", false, false),
            ("http://127.0.0.1", false, false),
            ("https://x.sns.example.org", false, false),
        ] {
            assert_eq!(
                hosts.subscribe(&format!("{origin}{query}"), TOPIC, "t0k").is_some(),
                subscribes,
                "{origin}"
            );
            assert_eq!(hosts.certificate(&format!("{origin}{PATH}"), TOPIC).is_some(), certifies, "{origin}");
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let query = format!("Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t0k");
        let url = format!("https://sns.eu-central-1.amazonaws.com/?{query}");
        let address = Hosts::default().subscribe(&url, TOPIC, "t0k").unwrap();
        assert_eq!(format!("{address:?}"), "https://sns.eu-central-1.amazonaws.com/");
        assert_eq!(address.as_str(), url);
    }
}
