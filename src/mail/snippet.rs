//! The lines that make Postfix hand its mail to this installation: the files of `postfix/`, filled in.

use crate::config::Config;
use headworks_spool::Spool;

const MAIN_CF: &str = include_str!("../../postfix/main.cf");
const MASTER_CF: &str = include_str!("../../postfix/master.cf");

/// `main.cf` and `master.cf` for the installation at hand, one after the other, each under a comment with its name.
///
/// # Errors
/// When the configuration names no domain of ours: then there is nothing Postfix could route here.
pub fn snippet(config: &Config, spool: &Spool) -> Result<String, String> {
    if config.spool.domains.is_empty() {
        return Err("spool.domains is empty: name the domains whose mail is ours".into());
    }
    Ok(format!(
        "# main.cf\n{}\n# master.cf\n{}",
        fill(MAIN_CF, config, spool),
        fill(MASTER_CF, config, spool)
    ))
}

fn fill(template: &str, config: &Config, spool: &Spool) -> String {
    let domains: Vec<String> = config.spool.domains.iter().map(ToString::to_string).collect();
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
