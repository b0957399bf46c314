//! Checks of `[s3.NAME]` and of the volumes that are there.

use super::check::Check;
use super::error::nearest;
use super::{Config, S3, S3Encryption, S3Login, VolumePlace};

/// The fields of every login.
const LOGINS: [S3Login; 5] =
    [S3Login::Key, S3Login::Profile, S3Login::Environment, S3Login::WebIdentity, S3Login::InstanceRole];

impl Check<'_> {
    pub(super) fn object_stores(&mut self, config: &Config) {
        for (name, store) in &config.s3 {
            let at = name.as_str();
            let is_url = |url: &String| is_endpoint(url);
            let endpoint = "must be http:// or https://, a host and perhaps a port, and nothing behind";
            self.expect(store.endpoint.as_ref().is_none_or(is_url), ["s3", at, "endpoint"], endpoint);
            let region = store.region.as_ref().is_none_or(|region| !region.is_empty());
            self.expect(region, ["s3", at, "region"], "must not be empty");
            let is_tls = store.endpoint.as_ref().is_none_or(|url| url.starts_with("https://"));
            let message = "has no effect: the endpoint is not https";
            self.expect(store.ca.is_none() || is_tls, ["s3", at, "ca"], message);
            let with_kms = store.sse == Some(S3Encryption::Kms);
            let message = "has no effect without sse = \"aws:kms\"";
            self.expect(store.sse_key.is_none() || with_kms, ["s3", at, "sse_key"], message);
            self.login(at, store);
        }
    }

    fn login(&mut self, name: &str, store: &S3) {
        let login = store.login();
        let is_given = |field: &str| match field {
            "access_key" => store.access_key.is_some(),
            "secret_key" => store.secret_key.is_some(),
            "session_token" => store.session_token.is_some(),
            "profile" => store.profile.is_some(),
            _ => store.profiles.is_some(),
        };
        let own = login.fields();
        for field in own.needed.iter().filter(|field| !is_given(field)) {
            let message = format!("login {} needs `{field}`", login.word());
            self.expect(false, ["s3", name], message);
        }
        for other in LOGINS.into_iter().filter(|other| *other != login) {
            let fields = other.fields();
            for field in fields.needed.iter().chain(fields.optional).filter(|field| is_given(field)) {
                let message = format!("has no effect with login {}", login.word());
                self.expect(false, ["s3", name, field], message);
            }
        }
    }

    /// Volumes have the fields of their kind, name stores that exist, and do not lie in each other.
    pub(super) fn volumes(&mut self, config: &Config) {
        let mut places: Vec<(&str, String)> = Vec::new();
        for (name, volume) in config.volume.iter() {
            let at = name.word();
            self.fields(["volume", at], &format!("volume of kind {}", volume.kind), &volume.kind.fields());
            let VolumePlace::S3 { store, bucket, prefix } = volume.place() else { continue };
            if !store.is_empty() && !config.s3.keys().any(|known| known.as_str() == store) {
                let known = config.s3.keys().map(|known| known.as_str());
                let near = nearest(store, known)
                    .map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
                self.expect(false, ["volume", at, "s3"], format!("there is no section [s3.{store}]{near}"));
            }
            let message = "must be the name of a bucket, such as \"headworks\"";
            self.expect(volume.bucket.is_none() || is_bucket(bucket), ["volume", at, "bucket"], message);
            let message = "must be names with slashes between them, without one at the beginning or end";
            self.expect(is_prefix(prefix), ["volume", at, "prefix"], message);
            let place = format!("{store}/{bucket}/{prefix}");
            let place = format!("{}/", place.trim_end_matches('/'));
            for (other, taken) in &places {
                let overlap = place.starts_with(taken.as_str()) || taken.starts_with(&place);
                let message = format!("lies in the same place as volume {other}, or one in the other");
                self.expect(!overlap, ["volume", at, "bucket"], message);
            }
            places.push((at, place));
        }
    }
}

/// An origin: requests have paths of their own.
fn is_endpoint(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    host.map(|host| host.strip_suffix('/').unwrap_or(host))
        .is_some_and(|host| !host.is_empty() && host.bytes().all(fits))
}

fn is_bucket(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=255).contains(&name.len()) && name.bytes().all(fits) && name != "." && name != ".."
}

/// Short enough to leave room for the paths of trees in the 1,024 bytes of a key.
fn is_prefix(prefix: &str) -> bool {
    let fits = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && !part.contains(|c: char| c.is_control())
    };
    prefix.is_empty() || (prefix.len() <= 256 && prefix.split('/').all(fits))
}
