//! The lines that make Postfix hand its mail to this installation: the files of `postfix/`, filled in.

use crate::config::{Config, MailSource};
use headworks_spool::Spool;

const MAIN_CF: &str = include_str!("../../postfix/main.cf");
const MASTER_CF: &str = include_str!("../../postfix/master.cf");

/// `main.cf` and `master.cf` for the installation at hand, one after the other, each under a comment with its name.
///
/// # Errors
/// When no domain is configured: then there is nothing Postfix could route here.
pub fn snippet(config: &Config, spool: &Spool) -> Result<String, String> {
    let source = config.mail_source().ok_or("there is no source of kind mail, or it is not enabled")?;
    if source.domains.is_empty() {
        return Err(format!("source.{}.domains is empty: name the domains of your mail", source.name));
    }
    let filled = |template| fill(template, config, &source, spool);
    Ok(format!("# main.cf\n{}\n# master.cf\n{}", filled(MAIN_CF), filled(MASTER_CF)))
}

fn fill(template: &str, config: &Config, source: &MailSource<'_>, spool: &Spool) -> String {
    let domains: Vec<String> = source.domains.iter().map(ToString::to_string).collect();
    let routes: Vec<String> = domains.iter().map(|domain| format!("{domain}=mailhandler:")).collect();
    let values = [
        ("@DOMAIN@=mailhandler:", routes.join(", ")),
        ("@DOMAIN@", domains.join(", ")),
        ("@USER@", config.spool.user.clone()),
        ("@SPOOL@", config.spool.path.display().to_string()),
        ("@SPOOL_ID@", spool.id().to_string()),
        ("@MAILHANDLER@", config.spool.mailhandler.display().to_string()),
        ("@MIN_FREE@", config.spool.min_free_bytes.bytes().to_string()),
        ("@MIN_FREE_INODES@", config.spool.min_free_inodes.to_string()),
    ];
    let strict = if config.spool.strict_size { " --strict-size" } else { "" };
    let template = template.replace(" --strict-size", strict);
    values.iter().fold(template, |text, (placeholder, value)| text.replace(placeholder, value))
}
