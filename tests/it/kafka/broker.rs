//! Brokers: the shared one, and those of a test's own, which can be killed.

use crate::processes::is_available;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The broker that tests share; `None` where they do without Kafka.
pub fn shared() -> Option<String> {
    let bootstrap = std::env::var("HEADWORKS_TEST_KAFKA").ok().filter(|bootstrap| !bootstrap.is_empty());
    let missing: &[&str] = if bootstrap.is_some() { &[] } else { &["HEADWORKS_TEST_KAFKA"] };
    is_available("kafka", missing).then_some(bootstrap)?
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services/kafka").join(name)
}

/// A directory that Kafka's user, who is another one, can read.
fn open_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    directory
}

/// A broker of the test's own; ends with it.
pub struct Broker {
    directory: tempfile::TempDir,
    settings: BTreeMap<&'static str, String>,
    addresses: BTreeMap<String, String>,
}

impl Broker {
    /// Starts one with these variables, see `tests/services/kafka/start`; `None` where the tests do without Kafka.
    pub fn start_new(settings: &[(&'static str, &str)]) -> Option<Self> {
        shared()?;
        let directory = open_directory();
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let mut broker = Self { directory, settings, addresses: BTreeMap::new() };
        broker.start();
        Some(broker)
    }

    /// Starts one with certificates, two kinds of login and a user.
    pub fn start_secured(settings: &[(&'static str, &str)]) -> Option<Self> {
        shared()?;
        let certificates = open_directory().keep();
        let made = Command::new(script("certificates")).arg(&certificates).status().unwrap();
        assert!(made.success());
        let place = certificates.to_str().unwrap().to_owned();
        let settings: Vec<_> = settings.iter().copied().chain([("KAFKA_SECURITY", place.as_str())]).collect();
        Self::start_new(&settings)
    }

    /// Starts it, or brings it back.
    pub fn start(&mut self) {
        let mut command = Command::new(script("start"));
        let started = command.arg(self.home()).envs(&self.settings).output().unwrap();
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let said = String::from_utf8(started.stdout).unwrap();
        let lines = said.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        self.addresses = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    }

    /// Brings it back with another certificate.
    pub fn restart_with(&mut self, name: &'static str, value: &str) {
        self.stop();
        self.settings.insert(name, value.to_owned());
        self.start();
    }

    /// Where it listens without security.
    pub fn bootstrap(&self) -> &str {
        &self.addresses["KAFKA_BOOTSTRAP"]
    }

    /// Where it listens for one of `KAFKA_SASL_SSL` and `KAFKA_SSL`.
    pub fn address(&self, listener: &str) -> &str {
        &self.addresses[listener]
    }

    /// A file among its certificates.
    pub fn certificate(&self, name: &str) -> PathBuf {
        Path::new(&self.settings["KAFKA_SECURITY"]).join(name)
    }

    /// Ends it as a power cut does.
    pub fn kill(&self) {
        let pid = std::fs::read_to_string(self.home().join("pid")).unwrap();
        assert!(Command::new("kill").args(["-KILL", pid.trim()]).status().unwrap().success());
    }

    /// Lets it stand still, with all its connections, or go on.
    pub fn freeze(&self, frozen: bool) {
        let pid = std::fs::read_to_string(self.home().join("pid")).unwrap();
        let signal = if frozen { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
    }

    /// Ends it.
    pub fn stop(&self) {
        assert!(Command::new(script("stop")).arg(self.home()).status().unwrap().success());
    }

    /// Runs one of Kafka's own commands.
    pub fn admin(&self, arguments: &[&str]) {
        let ended: Output = Command::new(script("admin")).arg(self.home()).args(arguments).output().unwrap();
        assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("kafka")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // A second panic would hide the first.
        Command::new(script("stop")).arg(self.home()).status().ok();
        if let Some(certificates) = self.settings.get("KAFKA_SECURITY") {
            std::fs::remove_dir_all(certificates).ok();
        }
    }
}
