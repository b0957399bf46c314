//! Does what Postfix does: runs mailhandler with the arguments of our master.cf and the mail on standard input.

use super::super::{Exit, Failure};
use super::mails::Mail;
use crate::config::Config;
use headworks_spool::Spool;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use uuid::Uuid;

/// Delivers a mail and returns its receipt.
///
/// # Errors
/// When mailhandler does not accept it.
pub async fn deliver(config: &Config, spool: &Spool, number: usize, mail: &Mail) -> Result<Uuid, Failure> {
    let snippet = crate::mail::snippet(config, spool).map_err(|why| Failure::new(Exit::Failed, why))?;
    let (program, arguments) = command(&snippet, number, mail);
    let broken = |error: std::io::Error| Failure::new(Exit::Failed, format!("{program}: {error}"));
    let mut child = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(broken)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(mail.bytes).await.map_err(broken)?;
    }
    let ended = child.wait_with_output().await.map_err(broken)?;
    let said = String::from_utf8_lossy(&ended.stdout);
    let receipt =
        said.split_whitespace().find_map(|word| word.trim_matches(&['(', ')', ';', '.'][..]).parse().ok());
    match receipt {
        Some(receipt) if ended.status.success() => Ok(receipt),
        _ => Err(Failure::new(Exit::Failed, format!("mailhandler refused: {}", said.trim()))),
    }
}

/// The program and arguments in the lines for master.cf, with Postfix's macros replaced.
fn command(snippet: &str, number: usize, mail: &Mail) -> (String, Vec<String>) {
    let argv = snippet.split_once("argv=").map_or("", |(_, argv)| argv);
    let (queue_id, size) = (format!("4DEMO{number}"), mail.bytes.len().to_string());
    let macros = [
        ("${queue_id}", queue_id.as_str()),
        ("${size}", &size),
        ("${sender}", "grid@dc1.example"),
        ("${original_recipient}", mail.recipient),
        ("${recipient}", mail.recipient),
        ("${client_address}", "192.0.2.7"),
        ("${client_hostname}", "grid.dc1.example"),
        ("${client_helo}", "grid.dc1.example"),
        ("${client_protocol}", "ESMTP"),
        ("${sasl_username}", ""),
        ("${nexthop}", "bobs.example.com"),
    ];
    let filled = |word: &str| {
        macros.iter().find(|(name, _)| *name == word).map_or(word, |(_, value)| value).to_owned()
    };
    let mut words = argv.split_whitespace().map(filled);
    (words.next().unwrap_or_default(), words.collect())
}
