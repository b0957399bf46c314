//! The temporary directory of the demo, with its configuration and the environment for a second terminal.

use super::mails::MAILS;
use crate::app::beside_this_program;
use crate::cli::Failure;
use crate::config::{Broker, Layers};
use std::fmt::Write;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;
use uuid::Uuid;

/// Customer and rules of the demo.
const RULES: &str = r#"
[[customer]]
name = "bobs"
title = "Bob's Burgers"
domains = ["bobs.example.com"]

[[rule]]
name = "hydrastor-report"
when = { subject = 'System Report( grid=(?<grid>\S+))?' }
set = { category = "hydrastor", type = "system_report", group = "{grid}" }
settings = { zone = "Asia/Tokyo" }

[[rule]]
name = "hydrastor-alert"
when = { subject = '^\[HYDRAstor\] ALERT .*node=(?<node>\S+)' }
set = { category = "hydrastor", type = "alert", group = "{node}" }
settings = { zone = "Asia/Tokyo" }
archive = true
"#;

/// The temporary directory.
pub struct Site(TempDir);

impl Site {
    /// Creates the directory with the configuration, the unexpected mail and a report as a file.
    pub fn make(kafka: Option<&Broker>) -> Result<Self, Failure> {
        let site = Self(tempfile::Builder::new().prefix("headworks-demo.").tempdir()?);
        let config = format!(
            "[server]\nstate_dir = {:?}\n\n[[listen]]\naddress = \"127.0.0.1:0\"\ndoors = [\"api\"]\n\n\
             [source.mail]\ndomains = [\"bobs.example.com\"]\n\n\
             [spool]\nmailhandler = {:?}\nmin_free_bytes = \"64MiB\"\n{RULES}{}",
            site.path().join("state"),
            beside_this_program(Path::new("mailhandler")),
            kafka.map(topics).unwrap_or_default(),
        );
        fs::write(site.path().join("headworks.toml"), config)?;
        fs::write(site.path().join("unexpected.eml"), MAILS[4].bytes)?;
        fs::write(site.path().join("report.txt"), include_bytes!("report.txt"))?;
        Ok(site)
    }

    /// Path of the directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Only the demo's configuration file: settings in the caller's environment are meant for another server.
    pub fn layers(&self) -> Layers {
        Layers { file: Some(self.path().join("headworks.toml")), ..Layers::default() }
    }

    /// Writes `env` for a second terminal to source. The file appears complete or not at all.
    pub fn write_environment(&self, address: SocketAddr, key: &str) -> Result<(), Failure> {
        let path = self.path();
        let programs = std::env::current_exe()?;
        let programs = programs.parent().unwrap_or(Path::new("."));
        let text = format!(
            "export DEMO={}\nexport HEADWORKS_CONFIG=$DEMO/headworks.toml\nexport DEMO_PID={}\nexport DEMO_URL=http://{address}\n\
             export DEMO_KEY={key}\nexport PATH={}:$PATH\n",
            path.display(),
            std::process::id(),
            programs.display(),
        );
        let mut file = tempfile::NamedTempFile::new_in(path)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        file.persist(path.join("env"))?;
        Ok(())
    }

    /// What to try now.
    pub fn invitation(&self, address: SocketAddr, key: &str) -> String {
        let mut text = String::new();
        let mut line = |words: &str| text.write_fmt(format_args!("{words}\n")).expect("text grows in memory");
        line("");
        line(&format!("the server is running at http://{address}"));
        line(&format!("API key: {key}"));
        line("");
        line("try it:");
        line(&format!("  curl -H 'X-Api-Key: {key}' http://{address}/api/1.0/rows/hydrastor_node_snapshot"));
        line(&format!("  curl -H 'X-Api-Key: {key}' http://{address}/api/1.0/held"));
        line("in another terminal:");
        line(&format!("  . {}", self.path().join("env").display()));
        line("  headworks held list");
        line("");
        line("Ctrl-C stops the server and removes everything.");
        text
    }

    /// Removes the directory. Sealed directories are read-only, so they are made writable first.
    pub fn remove(self) -> Result<(), Failure> {
        make_writable(self.path())?;
        Ok(self.0.close()?)
    }
}

/// Topics of this demo's own.
fn topics(broker: &Broker) -> String {
    let prefix = format!("headworks-demo-{}.", Uuid::new_v4().simple());
    let broker = broker.to_string();
    format!(
        "\n[kafka]\nbootstrap = [{broker:?}]\ntopic_prefix = {prefix:?}\ncontrol_topic = \"{prefix}relay\"\n"
    )
}

fn make_writable(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}
