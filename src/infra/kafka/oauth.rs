//! A token of an issuer, by the client credentials grant of OAuth 2.

use super::connection::Login;
use rdkafka::client::OAuthToken;
use serde::Deserialize;
use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest wait for the issuer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Life of a token whose issuer does not tell it.
const DEFAULT_LIFE: u64 = 300;

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<u64>,
}

/// Asks the issuer for a token. Blocks; librdkafka's thread, which calls this, waits for nothing else meanwhile.
pub(super) fn token(login: &Login) -> Result<OAuthToken, String> {
    // In a thread of its own, because the caller may be one of a runtime.
    let asked = std::thread::scope(|scope| {
        let asking = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(ask(login))
        };
        scope.spawn(asking).join().unwrap_or_else(|_| Err("asking for a token failed".to_owned()))
    });
    asked.map_err(|why| format!("no token: {why}"))
}

async fn ask(login: &Login) -> Result<OAuthToken, String> {
    let Login::Token { endpoint, client_id, client_secret, scope } = login else {
        return Err("the login needs no token".to_owned());
    };
    // An error only says that a provider is already installed.
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|error| chain(&error))?;
    let mut form = vec![("grant_type", "client_credentials")];
    if !scope.is_empty() {
        form.push(("scope", scope));
    }
    let body: Vec<_> = form.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    let request = client
        .post(endpoint)
        .basic_auth(client_id, Some(client_secret))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.join("&"));
    let answer = request.send().await.map_err(|error| chain(&error))?;
    let status = answer.status();
    let text = answer.bytes().await.map_err(|error| chain(&error))?;
    if !status.is_success() {
        return Err(format!("the issuer answers {status}"));
    }
    let answer: Answer = serde_json::from_slice(&text).map_err(|_| "the issuer's answer has no token")?;
    let life = Duration::from_secs(answer.expires_in.unwrap_or(DEFAULT_LIFE));
    let ends = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + life;
    Ok(OAuthToken {
        token: answer.access_token,
        principal_name: client_id.clone(),
        lifetime_ms: i64::try_from(ends.as_millis()).unwrap_or(i64::MAX),
    })
}

/// As a form wants it.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(b))
            }
            b => escaped.push_str(&format!("%{b:02X}")),
        }
    }
    escaped
}

/// The error at the end of a chain: the others only say in which layer it happened, and may name the URL.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
